"""What routes share: reading a body into a contract, one shape of refusal, and how both are documented."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar

from fastapi import FastAPI, Path
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from adplatform.contracts.base import IDENTIFIER_PATTERN
from adplatform.contracts.problems import Problem, line_of
from bentos.middleware import problem

M = TypeVar("M", bound=BaseModel)
PathId = Annotated[str, Path(min_length=1, max_length=128, pattern=IDENTIFIER_PATTERN)]
"""An id in a path."""
REFUSALS: Final = {
    400: "The body is not JSON, or the path is malformed.",
    401: "The key is missing, unknown, expired or revoked.",
    403: "The key has another scope.",
    404: "Something that the request names is not known; the detail says what.",
    408: "The body did not come in time.",
    409: "The idempotency key came with another body.",
    413: "The body is too large.",
    415: "The body is not declared as JSON.",
    422: "A field is wrong; the detail names it.",
    429: "More requests than this key may send in a second.",
    500: "The request was in order and the service failed.",
    503: "Overloaded, past the deadline, or what answers is not available; try again after Retry-After seconds.",
}


class Refused(Exception):
    """An answer that is not 200."""

    def __init__(self, status: int, error: str, detail: str, retry: bool = False) -> None:
        self.status, self.error, self.detail, self.retry = status, error, detail, retry
        super().__init__(detail)


def new_app(title: str) -> FastAPI:
    """An app without routes that answers Refused as a Problem, and whose page says that every operation wants a key."""
    app = FastAPI(title=title, docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    described = app.openapi

    def page() -> dict[str, Any]:
        found = described()
        found["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"key": []}]
        return found

    app.openapi = page  # type: ignore[method-assign]

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
        return problem(request.scope, error.status, error.error, error.detail, error.retry)

    @app.exception_handler(RequestValidationError)
    async def wrong_path(request: Request, error: RequestValidationError) -> Response:
        return problem(request.scope, 422, "invalid", line_of(error.errors()[0]))

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> Response:
        answer = problem(request.scope, error.status_code, "no_route", f"path: {error.detail}; see /docs.json")
        answer.headers.update(error.headers or {})
        return answer

    return app


def parse(kind: type[M], body: bytes, strict: bool = True) -> M:
    """The message, or Refused with the first field that is wrong and what is wrong with it.

    ``strict``: a text or a truth value is no number. The hot path does without, its one number sees to that itself.
    """
    try:
        return kind.model_validate_json(body, strict=strict)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise Refused(400, "malformed", f"body: {first['msg']}; send JSON") from error
        raise Refused(422, "invalid", line_of(first)) from error


def json_answer(body: bytes) -> Response:
    """JSON bytes as they are."""
    return Response(body, media_type="application/json")


def documented(asked: type[BaseModel] | None, answered: type[BaseModel], summary: str) -> dict[str, Any]:
    """Arguments of a route that reads its body itself, so that its page says what it takes and every answer it gives."""
    found: dict[str, Any] = {
        "summary": summary,
        "responses": {
            200: {"model": answered, "description": "The answer."},
            **{code: {"model": Problem, "description": why} for code, why in REFUSALS.items()},
        },
    }
    if asked is not None:
        content = {"application/json": {"schema": schema_of(asked)}}
        found["openapi_extra"] = {"requestBody": {"required": True, "content": content}}
    return found


def schema_of(kind: type[BaseModel]) -> dict[str, Any]:
    """JSON schema in one piece: a route that reads its body by itself has no components."""
    schema = kind.model_json_schema()
    definitions = schema.pop("$defs", {})

    def whole(part: Any) -> Any:
        if isinstance(part, dict):
            name = part.get("$ref", "").removeprefix("#/$defs/")
            found = {k: whole(v) for k, v in part.items() if k != "$ref"}
            return whole(definitions[name]) | found if name else found
        return [whole(p) for p in part] if isinstance(part, list) else part

    found: dict[str, Any] = whole(schema)
    return found
