"""What stands before every service: JSON alone, a body limit, keys with scopes, load shedding.

BentoML guards its entry service alone against pickled bodies; this stands on each. Plain ASGI: it adds some 20
microseconds to a request, where a Starlette BaseHTTPMiddleware adds 200.
"""

from __future__ import annotations

import asyncio
import gc
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from starlette.responses import Response

from adplatform.contracts.problems import Problem
from adplatform.settings import Settings, settings
from adplatform.store.keys import KeyRefused, Keys

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PROBES: Final = frozenset({"/livez", "/readyz", "/healthz"})
JSON: Final = re.compile(rb"^application/json(\s*;\s*charset=utf-8)?$", re.IGNORECASE)
REQUEST_ID: Final = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
ESCAPED: Final = re.compile(rb"%(2e|2f|5c|00|0a|0d)|\.\.|//|\\", re.IGNORECASE)
"""In a raw path: dots, slashes, backslashes, nulls and line ends in disguise, and steps upwards."""
REFUSED_HEADERS: Final = (b"payload-container", b"payload-meta", b"batch-size", b"args-number")
"""How BentoML's runner protocol announces a pickled body; nobody outside needs it."""


class Guard:
    """The middleware. ``scopes`` says which scope a (method, path prefix) needs; what is not in it needs ``read``."""

    def __init__(self, app: App, scopes: Mapping[tuple[str, str], str], config: Settings | None = None) -> None:
        config = config or settings()
        self.app, self.scopes, self.keys = app, dict(scopes), Keys(config.keys)
        self.body_limit, self.deadline = config.body_limit_bytes, config.deadline_ms / 1000
        self.most, self.waiting_limit, self.patience = config.concurrency, config.queue, config.queue_ms / 1000
        self._busy, self._waiting, self._free = 0, 0, asyncio.Condition()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no service speaks WebSocket
        state = scope.setdefault("state", {})
        headers = dict(scope["headers"])
        state["request_id"] = request_id(headers.get(b"x-request-id"))
        send = _with_request_id(send, state["request_id"])
        path = scope["path"]
        if path in PROBES:
            await self.app(scope, receive, send)
            return
        refused = self._examine(scope, headers, state)
        if refused is not None:
            await refuse(scope, send, *refused)
            return
        await self._run(scope, receive, send)

    def _examine(
        self, scope: Scope, headers: Mapping[bytes, bytes], state: dict[str, Any]
    ) -> tuple[int, str, str] | None:
        """Everything that is known before the body: (status, error, detail) where it is refused."""
        raw = scope.get("raw_path") or scope["path"].encode()
        if ESCAPED.search(raw.split(b"?", 1)[0]):
            return 400, "malformed", "path: has an escaped or doubled separator; send plain ids"
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        secret = authorization[7:] if authorization[:7].lower() == "bearer " else None
        try:
            state["key_id"] = self.keys.authenticate(secret, self._scope(scope["method"], scope["path"])).key_id
        except KeyRefused as error:
            return error.status, "unauthorized" if error.status == 401 else "forbidden", error.detail
        for name in REFUSED_HEADERS:
            if name in headers:
                return 415, "unsupported", f"{name.decode()}: is not taken here; send JSON"
        length = headers.get(b"content-length")
        body = b"transfer-encoding" in headers or (length is not None and length != b"0")
        if body:
            if not JSON.match(headers.get(b"content-type", b"").strip()):
                return 415, "unsupported", "Content-Type: is not application/json; send JSON"
            if headers.get(b"content-encoding", b"identity") != b"identity":
                return 415, "unsupported", "Content-Encoding: is not taken; send plain JSON"
        if length is not None and (not length.isdigit() or int(length) > self.body_limit):
            return 413, "too_large", f"body: more than {self.body_limit:,} bytes; send less at once"
        return self._deadline(headers.get(b"x-deadline-ms"), state)

    def _deadline(self, sent: bytes | None, state: dict[str, Any]) -> tuple[int, str, str] | None:
        seconds = self.deadline
        if sent is not None:
            if not sent.isdigit() or not 1 <= int(sent) <= 600_000:
                return 422, "invalid", "X-Deadline-Ms: is no whole number from 1 to 600000; send milliseconds"
            seconds = min(seconds, int(sent) / 1000)
        state["deadline"] = time.perf_counter() + seconds
        return None

    def _scope(self, method: str, path: str) -> str:
        exact = self.scopes.get((method, path))
        if exact is not None:
            return exact
        for (wanted, prefix), scope in self.scopes.items():
            if wanted == method and prefix.endswith("/") and path.startswith(prefix):
                return scope
        return "read"

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not await self._enter():
            await refuse(scope, send, 503, "overloaded", "too many requests at once; try again", retry=True)
            return
        try:
            whole = await self._body(receive)
            if whole is None:
                detail = f"body: more than {self.body_limit:,} bytes; send less at once"
                await refuse(scope, send, 413, "too_large", detail)
            else:
                await self.app(scope, _replayed(whole, receive), send)
        finally:
            self._leave()

    async def _body(self, receive: Receive) -> bytes | None:
        """The whole body; None as soon as it is too large, whatever length was declared, and at a client that left."""
        parts, taken = [], 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            parts.append(message.get("body", b""))
            taken += len(parts[-1])
            if taken > self.body_limit:
                return None
            if not message.get("more_body"):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _enter(self) -> bool:
        """Take a place among those in progress, or wait a little for one. Decided before the body is read."""
        if self._busy < self.most:
            self._busy += 1
            return True
        if self._waiting >= self.waiting_limit:
            return False
        self._waiting += 1
        try:
            async with asyncio.timeout(self.patience), self._free:
                await self._free.wait_for(lambda: self._busy < self.most)
                self._busy += 1
                return True
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1

    def _leave(self) -> None:
        self._busy -= 1
        if self._waiting:
            _background(self._tell())

    async def _tell(self) -> None:
        async with self._free:
            self._free.notify()


def _replayed(body: bytes, receive: Receive) -> Receive:
    """``receive`` of a request whose body was read already."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


_TASKS: Final[set[asyncio.Task[None]]] = set()


def _background(work: Any) -> None:
    task = asyncio.get_running_loop().create_task(work)
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)


def request_id(sent: bytes | None) -> str:
    """The client's id where it is harmless, else a new one."""
    if sent is not None:
        text = sent.decode("latin-1")
        if REQUEST_ID.fullmatch(text):
            return text
    return secrets.token_hex(8)


def _with_request_id(send: Send, name: str) -> Send:
    header = (b"x-request-id", name.encode())

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), header]
        await send(message)

    return sending


def body_of(scope: Scope, error: str, detail: str, retry: bool = False) -> bytes:
    """A Problem as JSON."""
    made = Problem(error=error, detail=detail, retry=retry, request_id=scope["state"]["request_id"])
    return made.model_dump_json().encode()


async def refuse(scope: Scope, send: Send, status: int, error: str, detail: str, retry: bool = False) -> None:
    """Answer with a Problem."""
    body = body_of(scope, error, detail, retry)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(b"retry-after", b"1")] if retry else []
    headers += [(b"www-authenticate", b"Bearer")] if status == 401 else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def guard(service: Any, scopes: Mapping[tuple[str, str], str]) -> None:
    """Put the Guard before a BentoML service."""
    service.add_asgi_middleware(Guard, scopes=scopes)


def freeze() -> None:
    """Keep the collector away from what was loaded: a full collection of it stops the process for 70 to 130 ms."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)


def problem(scope: Scope, status: int, error: str, detail: str, retry: bool = False) -> Response:
    """A Problem as a response, for routes."""
    headers = {"retry-after": "1"} if retry else {}
    return Response(body_of(scope, error, detail, retry), status, headers, "application/json")
