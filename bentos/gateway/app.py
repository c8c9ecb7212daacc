"""The gateway's paths: JSON in and out is ``contracts/``, no other shape."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import orjson
from fastapi import FastAPI
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from adplatform.contracts.errors import InputError
from adplatform.contracts.problems import Problem
from adplatform.contracts.serving import (
    MOST_EVENTS,
    DecideRequest,
    Decision,
    Event,
    EventBatch,
    EventReport,
    Rejection,
)
from adplatform.store.decision_log import Idempotency, Judged, KeyConflict, Unwritable
from bentos.gateway.worker import Worker
from bentos.middleware import problem

M = TypeVar("M", bound=BaseModel)
AHEAD: Final = timedelta(hours=1)
"""A clock may be this much ahead of ours."""
BODIES: Final[dict[str, tuple[type[BaseModel], type[BaseModel]]]] = {
    "/v1/decide": (DecideRequest, Decision),
    "/v1/events": (EventBatch, EventReport),
}
REFUSALS: Final = {
    400: "The body is not JSON.",
    401: "The key is missing, unknown, expired or revoked.",
    403: "The key has another scope.",
    409: "The idempotency key came with another body.",
    413: "The body is too large.",
    415: "The body is not declared as JSON.",
    422: "A field is wrong; the detail names it.",
    429: "Too many requests of this key.",
    503: "Overloaded, draining, or the disk is full; try again after Retry-After seconds.",
}


class Refused(Exception):
    """An answer that is not 200."""

    def __init__(self, status: int, error: str, detail: str, retry: bool = False) -> None:
        self.status, self.error, self.detail, self.retry = status, error, detail, retry
        super().__init__(detail)


def make_app(worker: Worker) -> FastAPI:
    """The app; what it serves from is asked of the worker at each request, which opens it when the service starts."""
    app = FastAPI(title="adplatform gateway", docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
        return problem(request.scope, error.status, error.error, error.detail, error.retry)

    @app.post("/v1/decide", **_documented("/v1/decide", "Choose a creative, with its exact probability."))
    async def decide(request: Request) -> Response:
        body = await request.body()
        asked = parse(DecideRequest, body)
        try:
            made = worker.deciding.decide(asked, datetime.now(UTC))
        except InputError as error:
            raise Refused(422, "invalid", str(error)) from error
        return _json(await _durable(worker.log.record(made.record, _key(request, body))))

    @app.post("/v1/events", **_documented("/v1/events", "What followed decisions; each event is judged for itself."))
    async def events(request: Request) -> Response:
        body = await request.body()
        now = datetime.now(UTC)
        judged = [_judged(one, now) for one in _batch(body)]
        found = await _durable(worker.log.accept(judged, now))
        rejected = tuple(Rejection(index=i, event_id=e, reason=r) for i, e, r in found.rejected)
        report = EventReport(accepted=found.accepted, duplicates=found.duplicates, held=found.held, rejected=rejected)
        return _json(report.model_dump_json().encode())

    return app


def parse(kind: type[M], body: bytes) -> M:
    """The message, or Refused with the first field that is wrong and what is wrong with it."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise _refused(error) from error


def _refused(error: ValidationError) -> Refused:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return Refused(400, "malformed", f"body: {first['msg']}; send JSON")
    return Refused(422, "invalid", _line(first))


def _line(first: Any) -> str:
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error" and not first["loc"]:
        return str(message)  # a rule over several fields names them itself
    return f"{'.'.join(str(part) for part in first['loc']) or 'body'}: {message}"


def _batch(body: bytes) -> list[Any]:
    try:
        sent = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, "malformed", f"body: {error}; send JSON") from error
    found = sent.get("events") if isinstance(sent, dict) else None
    if not isinstance(found, list) or set(sent) != {"events"} or not 1 <= len(found) <= MOST_EVENTS:
        raise Refused(422, "invalid", f'events: send {{"events": [...]}} with 1 to {MOST_EVENTS} events')
    return found


def _judged(sent: Any, now: datetime) -> Judged:
    payload = orjson.dumps(sent)
    name = sent.get("event_id") if isinstance(sent, dict) else None
    event_id = name[:128] if isinstance(name, str) else None
    try:
        event = Event.model_validate(sent)
    except ValidationError as error:
        return Judged(event_id, None, payload, _line(error.errors(include_url=False, include_context=False)[0]))
    if event.occurred_at > now + AHEAD:
        return Judged(event_id, None, payload, f"occurred_at: {event.occurred_at} is ahead of our clock; send UTC")
    return Judged(event_id, event, payload, None)


def _key(request: Request, body: bytes) -> Idempotency | None:
    sent = request.headers.get("idempotency-key")
    if sent is None:
        return None
    if not (1 <= len(sent) <= 128 and sent.isascii() and sent.isprintable()):
        raise Refused(422, "invalid", "Idempotency-Key: send 1 to 128 printable ASCII characters")
    return Idempotency.of(request.scope["state"]["key_id"], sent, body)


async def _durable(future: Any) -> Any:
    try:
        return await asyncio.wrap_future(future)
    except KeyConflict as error:
        raise Refused(409, "conflict", str(error)) from error
    except Unwritable as error:
        raise Refused(503, "unavailable", "the decision log cannot be written; nothing was stored", True) from error


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


def _documented(path: str, summary: str) -> dict[str, Any]:
    asked, answered = BODIES[path]
    return {
        "summary": summary,
        "responses": {
            200: {"model": answered, "description": "Durable before it was sent."},
            **{code: {"model": Problem, "description": why} for code, why in REFUSALS.items()},
        },
        "openapi_extra": {
            "requestBody": {"required": True, "content": {"application/json": {"schema": _schema_of_body(asked)}}}
        },
    }


def _schema_of_body(kind: type[BaseModel]) -> dict[str, Any]:
    schema = schema_of(kind)
    if kind is EventBatch:  # its events are judged one by one, so the message itself takes any object
        schema["properties"]["events"]["items"] = schema_of(Event)
    return schema


def schema_of(kind: type[BaseModel]) -> dict[str, Any]:
    """JSON schema in one piece: a route that reads its body by itself has no components."""
    schema = kind.model_json_schema()
    definitions = schema.pop("$defs", {})

    def whole(part: Any) -> Any:
        if isinstance(part, dict):
            name = part.get("$ref", "").removeprefix("#/$defs/")
            return whole(definitions[name]) if name else {k: whole(v) for k, v in part.items()}
        return [whole(p) for p in part] if isinstance(part, list) else part

    found: dict[str, Any] = whole(schema)
    return found
