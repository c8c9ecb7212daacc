"""A small service behind the guard, for tests of what stands before every service.

As BentoML serves it, or by itself: ``python -m tests.bentos.tiny PORT``, as a service that is not the entry (BentoML
takes pickled bodies there). TINY_UNGUARDED leaves the guard away.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any

import bentoml
from fastapi import FastAPI, Request

from bentos.middleware import freeze, guard

app = FastAPI(openapi_url=None)


@app.post("/v1/decide")
async def decide(request: Request) -> dict[str, Any]:
    deadline = request.scope.get("state", {}).get("deadline", float("inf"))
    return {"left": deadline - time.perf_counter(), "process": os.getpid()}


@app.post("/v1/events")
async def slow(request: Request) -> dict[str, float]:
    seconds = float((await request.json())["seconds"])
    await asyncio.sleep(seconds)
    return {"slept": seconds}


@app.get("/v1/things/{thing}")
async def thing(thing: str) -> dict[str, str]:
    return {"thing": thing}


@app.get("/v1/broken")
async def broken() -> None:
    raise RuntimeError("on purpose")


@bentoml.asgi_app(app, path="/")
@bentoml.service(name="tiny", workers=int(os.environ.get("TINY_WORKERS", "1")))
class Tiny:
    def __init__(self) -> None:
        freeze()

    @bentoml.api
    def items(self, value: dict[str, Any]) -> dict[str, Any]:
        return value


if "TINY_UNGUARDED" not in os.environ:
    guard(Tiny, {("POST", "/v1/decide"): "decide", ("POST", "/v1/events"): "ingest"}, {"/v1/events": 10.0})


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(Tiny.to_asgi(is_main=False), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
