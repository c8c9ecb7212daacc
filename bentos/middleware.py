"""What stands before every service: JSON alone, a body limit, keys with scopes, load shedding, a deadline, metrics.

BentoML guards its entry service alone against pickled bodies; this stands on each. Plain ASGI: a Starlette
BaseHTTPMiddleware costs 200 microseconds a request.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import signal
import time
from collections.abc import Mapping
from typing import Any, Final

from adplatform.settings import Settings, settings
from adplatform.store.keys import KeyRefused, Keys
from bentos import metrics
from bentos.admission import ClientLeft, Places, Rates, read_body, replayed, too_large
from bentos.refusals import WORDS, Answer, App, Receive, Refusal, Scope, Send, problem, refuse, request_id, too_late
from bentos.shedding import shed

__all__ = ["Guard", "freeze", "guard", "problem"]
PROBES: Final = frozenset({"/livez", "/readyz", "/healthz"})
JSON: Final = re.compile(rb"application/json(\s*;\s*charset=\"?utf-8\"?)?", re.IGNORECASE)
CLIMBS: Final = re.compile(rb"%(2e|2f|5c|00|0a|0d)|/\.{1,2}(/|$)|//|\\", re.IGNORECASE)
"""In a raw path: dots, slashes, backslashes, nulls and line ends in disguise, and steps upwards."""
CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
PICKLED: Final = frozenset({b"args-number", b"batch-size", b"buffer-lengths"})
PICKLED_PREFIXES: Final = (b"payload-", b"bento-", b"bentoml-")
"""How BentoML's protocols between its own processes announce pickled bodies (CVE-2025-27520, CVE-2025-32375, and
``_bentoml_impl/serde.py``); nobody outside needs them."""
ONCE: Final = (
    b"authorization", b"content-type", b"content-length", b"content-encoding", b"transfer-encoding", b"x-deadline-ms",
)  # fmt: skip
"""Sent twice, one may be what we look at and the other what a library looks at."""
LONGEST_DEADLINE_MS: Final = 600_000
CLIENT_LEFT: Final = 499
_log = logging.getLogger(__name__)


class Guard:
    """The middleware. ``scopes`` says which scope a (method, path) needs, where a path that ends in / stands for all
    below it; what is not in it needs ``read``. ``seconds`` says how long a path may take, likewise; what is not in it
    has ``deadline_ms`` of the settings.
    """

    def __init__(
        self, app: App, scopes: Mapping[tuple[str, str], str], config: Settings | None = None, name: str = "service",
        seconds: Mapping[str, float] | None = None,
    ) -> None:  # fmt: skip
        config = config or settings()
        self.app, self.name, self.keys = app, name, Keys(config.keys)
        self.exact = dict(scopes)
        self.below = [(m, p, scope) for (m, p), scope in self.exact.items() if p.endswith("/")]
        self.limit, self.deadline = config.body_limit_bytes, config.deadline_ms / 1000
        self.seconds = dict(seconds or {})
        self.seconds_below = [(p, s) for p, s in self.seconds.items() if p.endswith("/")]
        self.body_seconds, self.drain_seconds = config.body_seconds, config.drain_ms / 1000
        self.places = Places(config.concurrency, config.queue, config.queue_ms / 1000)
        self.rates = Rates(config.key_requests_per_second)
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        if scope["type"] == "lifespan":
            self._listen()
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})  # no service speaks it; the server answers 403

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, state = dict(scope["headers"]), scope.setdefault("state", {})
        started = state.get("arrived") or time.perf_counter()
        state["request_id"] = request_id(headers.get(b"x-request-id"))
        answer = Answer(scope, send)
        if scope["path"] in PROBES:
            await self._probe(scope, receive, answer)
            return
        try:
            self._examine(scope, headers, started)
            await self._answer(scope, receive, answer)
        except Refusal as refusal:
            await refuse(scope, answer, refusal)
        except ClientLeft:
            answer.status = CLIENT_LEFT
        except Exception:
            if answer.status and not answer.whole:
                raise  # the server hangs up, so that nobody takes a part for the whole
            _log.exception("request %s failed", scope["state"]["request_id"])
            if not answer.status:
                await refuse(scope, answer, Refusal(500, *WORDS[500]))
        finally:
            seconds = time.perf_counter() - started
            metrics.requested(self.name, metrics.template_of(scope), answer.status or CLIENT_LEFT, seconds)

    async def _probe(self, scope: Scope, receive: Receive, answer: Answer) -> None:
        if self.draining and scope["path"] == "/readyz":
            await refuse(scope, answer, Refusal(503, "draining", "this server is ending; ask another", retry=True))
        else:
            await self.app(scope, receive, answer)

    def _examine(self, scope: Scope, headers: Mapping[bytes, bytes], started: float) -> None:
        """Everything that is known before the body. Raises Refusal."""
        length = headers.get(b"content-length")
        body = b"transfer-encoding" in headers or (length is not None and length != b"0")
        try:
            self._well_formed(scope, headers)
            self._authorized(scope, headers)
            self._json_alone(headers, body)
            if length is not None and (len(length) > 12 or int(length) > self.limit):
                raise too_large(self.limit)
            scope["state"]["deadline"] = started + self._seconds(scope["path"], headers.get(b"x-deadline-ms"))
        except Refusal as refusal:
            refusal.close = refusal.close or body
            raise

    def _well_formed(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        raw = scope.get("raw_path") or scope["path"].encode()
        if CLIMBS.search(raw.split(b"?", 1)[0]):
            raise Refusal(400, "malformed", "path: has an escaped or doubled separator; send plain ids")
        if len(headers) != len(scope["headers"]):
            names = [name for name, _ in scope["headers"]]
            for name in ONCE:
                if names.count(name) > 1:
                    raise Refusal(400, "malformed", f"{name.decode()}: is sent twice; send it once")
        if CONTROL.search(b"".join(headers.values())):
            raise Refusal(400, "malformed", "headers: one has a control character; send printable text")
        length, encoding = headers.get(b"content-length"), headers.get(b"transfer-encoding")
        if length is not None and (encoding is not None or not length.isdigit()):
            raise Refusal(400, "malformed", "Content-Length: is no number, or comes with Transfer-Encoding; send one")
        if encoding is not None and encoding.lower() != b"chunked":
            raise Refusal(400, "malformed", "Transfer-Encoding: is not chunked; send Content-Length")

    def _authorized(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        secret = authorization[7:] if authorization[:7].lower() == "bearer " else None
        try:
            key = self.keys.authenticate(secret, self._scope(scope["method"], scope["path"]))
        except KeyRefused as error:
            word = "unauthorized" if error.status == 401 else "forbidden"
            raise Refusal(error.status, word, error.detail) from error
        scope["state"]["key_id"] = key.key_id
        if not self.rates.take(key.key_id, time.monotonic()):
            raise Refusal(429, "too_many", f"key {key.key_id} sends more than it may; wait a second", retry=True)

    def _json_alone(self, headers: Mapping[bytes, bytes], body: bool) -> None:
        for name in headers:
            if name in PICKLED or name.startswith(PICKLED_PREFIXES):
                raise Refusal(415, "unsupported", f"{name.decode('latin-1')}: is not taken here; send JSON")
        declared = headers.get(b"content-type", b"" if body else None)
        if declared is not None and not JSON.fullmatch(declared.strip()):
            raise Refusal(415, "unsupported", "Content-Type: is not application/json; send JSON")
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise Refusal(415, "unsupported", "Content-Encoding: is not taken; send plain JSON")

    def _seconds(self, path: str, sent: bytes | None) -> float:
        usual = self.seconds.get(path) or next((s for p, s in self.seconds_below if path.startswith(p)), self.deadline)
        if sent is None:
            return usual
        if not sent.isdigit() or len(sent) > 6 or not 1 <= int(sent) <= LONGEST_DEADLINE_MS:
            detail = f"X-Deadline-Ms: is no whole number from 1 to {LONGEST_DEADLINE_MS}; send milliseconds"
            raise Refusal(422, "invalid", detail)
        return min(usual, int(sent) / 1000)

    def _scope(self, method: str, path: str) -> str:
        exact = self.exact.get((method, path))
        if exact is not None:
            return exact
        return next((s for m, prefix, s in self.below if m == method and path.startswith(prefix)), "read")

    async def _answer(self, scope: Scope, receive: Receive, answer: Answer) -> None:
        if scope["path"] == "/metrics":  # not behind the queue: it is looked at when there are too many requests
            await self._metrics(scope, answer)
            return
        if not await self.places.enter():
            raise Refusal(503, "overloaded", "too many requests at once; try again", retry=True, close=False)
        try:
            whole = await read_body(receive, self.limit, self.body_seconds)
            answer.deadline = scope["state"]["deadline"]
            await self._in_time(scope, replayed(whole, receive), answer)
        finally:
            self.places.leave()

    async def _in_time(self, scope: Scope, receive: Receive, answer: Answer) -> None:
        """Have it answered before its deadline; what is still awaited then is cancelled. Raises Refusal."""
        left = answer.deadline - time.perf_counter()
        if left <= 0:
            raise too_late()
        try:
            async with asyncio.timeout(left):
                await self.app(scope, receive, answer)
        except TimeoutError:
            if answer.status:
                raise
            raise too_late() from None

    async def _metrics(self, scope: Scope, answer: Answer) -> None:
        page, kind = await asyncio.to_thread(metrics.page)
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(page)).encode())]
        await answer({"type": "http.response.start", "status": 200, "headers": headers})
        await answer({"type": "http.response.body", "body": page})

    def _listen(self) -> None:
        """After SIGTERM say for a while that we are not ready, so that a balancer sends nobody, then let the server end:
        it finishes what is in progress.
        """
        before = signal.getsignal(signal.SIGTERM)
        loop = asyncio.get_running_loop()

        def leave(number: int, frame: Any) -> None:
            if not self.draining and callable(before):
                self.draining = True
                loop.call_soon_threadsafe(loop.call_later, self.drain_seconds, before, number, frame)

        if callable(before):
            try:
                signal.signal(signal.SIGTERM, leave)
            except ValueError:
                _log.info("not the main thread: whoever runs the loop ends it")


class Never(float):
    """A timeout that is none: BentoML's own makes a task for each request and keeps its timer, 800 bytes, until it would
    have fired. Its settings take positive numbers alone, its server asks whether there is one.
    """

    def __bool__(self) -> bool:
        return False


def guard(service: Any, scopes: Mapping[tuple[str, str], str], seconds: Mapping[str, float] | None = None) -> None:
    """Put the Guard before a BentoML service, and its metrics and deadlines in the place of BentoML's."""
    service.config["metrics"] = {"enabled": False}
    service.config["traffic"] = {**service.config.get("traffic", {}), "timeout": Never(660)}
    metrics.own_directory(settings().home / "online" / "metrics", service.name)
    shed(settings().turn_requests, service.name)
    service.add_asgi_middleware(Guard, scopes=scopes, name=service.name, seconds=seconds)


def freeze() -> None:
    """Keep the collector away from what was loaded: a full collection of it stops the process for 70 to 130 ms."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)
