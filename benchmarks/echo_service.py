"""The floor of ``serving``: a Bento behind the same guard, with the same kind of route, that answers what it was sent."""

from __future__ import annotations

import bentoml
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adplatform.serve import end_with_parent
from bentos.http import json_answer
from bentos.middleware import freeze, guard

app = FastAPI()


@app.post("/v1/decide")
async def echo(request: Request) -> Response:
    """The body, back."""
    return json_answer(await request.body())


@bentoml.asgi_app(app, path="/")
@bentoml.service(name="echo", workers=1)
class Echo:
    """As the gateway, without what it does."""

    def __init__(self) -> None:
        end_with_parent()
        freeze()


guard(Echo, {("POST", "/v1/decide"): "decide"})


async def _ready(request: Request) -> Response:
    return Response()


async def _bare(request: Request) -> Response:
    return json_answer(await request.body())


bare = Starlette(routes=[Route("/v1/decide", _bare, methods=["POST"]), Route("/readyz", _ready)])
"""Without Bento, guard, key and log: what uvicorn alone can do."""
