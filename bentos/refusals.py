"""One shape for every answer that is not 200, whoever gives it: the guard, a route, FastAPI or BentoML."""

from __future__ import annotations

import math
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from starlette.responses import Response

from adplatform.contracts.problems import Problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
WORDS: Final = {
    404: ("no_route", "path: there is nothing here; see /docs.json", False),
    405: ("no_route", "method: is not taken here; see /docs.json", False),
    500: ("internal", "the request was in order, we failed; report it with its request_id", False),
    503: ("unavailable", "the service cannot answer now; try again", True),
}
"""What is said where a library answers in words of its own: error, detail, retry."""


class Refusal(Exception):
    """Why the guard does not pass a request on. ``close``: what is left of its body is not read."""

    def __init__(self, status: int, error: str, detail: str, retry: bool = False, close: bool = False) -> None:
        self.status, self.error, self.detail, self.retry, self.close = status, error, detail, retry, close
        super().__init__(detail)


def too_late() -> Refusal:
    """The deadline of a request has passed. Whatever it changed may be there: the same idempotency key tells."""
    return Refusal(503, "too_late", "the deadline passed; try again, with the same Idempotency-Key", retry=True)


def request_id(sent: bytes | None) -> str:
    """The client's id where it is harmless, else a new one."""
    if sent is not None:
        text = sent.decode("latin-1")
        if REQUEST_ID.fullmatch(text):
            return text
    return secrets.token_hex(8)


def body_of(scope: Scope, error: str, detail: str, retry: bool = False) -> bytes:
    """A Problem as JSON."""
    made = Problem(error=error, detail=detail, retry=retry, request_id=scope["state"]["request_id"])
    return made.model_dump_json().encode()


def problem(scope: Scope, status: int, error: str, detail: str, retry: bool = False) -> Response:
    """A Problem as a response, for routes."""
    headers = {"retry-after": "1"} if retry else {}
    return Response(body_of(scope, error, detail, retry), status, headers, "application/json")


async def refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    """Answer with a Problem."""
    body = body_of(scope, refusal.error, refusal.detail, refusal.retry)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(b"retry-after", b"1")] if refusal.retry else []
    headers += [(b"www-authenticate", b"Bearer")] if refusal.status == 401 else []
    headers += [(b"connection", b"close")] if refusal.close else []
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Answer:
    """``send`` of one request: adds its id, remembers the status, says errors of libraries in our shape, and nothing
    good after ``deadline`` (``time.perf_counter``).
    """

    __slots__ = ("_header", "_scope", "_send", "_swallow", "deadline", "status", "whole")

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send, self._swallow = scope, send, False
        self.status, self.whole, self.deadline = 0, False, math.inf
        self._header = (b"x-request-id", scope["state"]["request_id"].encode())

    async def __call__(self, message: Message) -> None:
        """Pass a message on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message.get("headers", ())
            if self.status < 400:
                if time.perf_counter() > self.deadline:
                    late = too_late()
                    self.status = late.status
                    await self._instead((), late.error, late.detail, late.retry)
                    return
            elif (b"content-type", b"application/json") not in map(tuple, headers):
                said = WORDS.get(self.status, ("refused", f"the answer is {self.status}", self.status > 500))
                await self._instead(headers, *said)
                return
            message["headers"] = [*headers, self._header]
        elif self._swallow:
            return
        else:
            self.whole = not message.get("more_body")
        await self._send(message)

    async def _instead(self, headers: Any, error: str, detail: str, retry: bool) -> None:
        self._swallow = self.whole = True
        body = body_of(self._scope, error, detail, retry)
        kept = [(k, v) for k, v in headers if k.lower() in (b"allow", b"retry-after", b"connection")]
        more = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), self._header]
        more += [(b"retry-after", b"1")] if retry and not any(k.lower() == b"retry-after" for k, _ in kept) else []
        await self._send({"type": "http.response.start", "status": self.status, "headers": [*kept, *more]})
        await self._send({"type": "http.response.body", "body": body})
