"""Load shed before a request is parsed: a worker's event loop takes on so many requests in one turn, the rest it refuses.

What one turn takes on is worked on in the next ones without a pause, so it is how long everybody else waits, and the queue
that counts is the one in the sockets, which nobody sees. A refusal by the guard costs a third of an answer (the
server's parser, tracing and access log come before it), so that at five times the peak there would be nothing left to
answer with; here it costs 20 us. Only whole POSTs under /v1/ are refused: probes and metrics pass. Nobody's key is looked
at for it.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import sys
import time
from contextlib import suppress
from typing import Any, Final

from uvicorn import config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from adplatform.contracts.problems import Problem
from bentos import metrics

_ID: Final = "0123456789abcdef"
_PROBLEM: Final = Problem(
    error="overloaded", detail="too many requests at once; try again", retry=True, request_id=_ID
).model_dump_json()
_TCP_INFO_BYTES: Final = 56
"""Of Linux's ``struct tcp_info`` as far as ``tcpi_last_data_recv``, its last field of these: milliseconds since the last
bytes came in (include/uapi/linux/tcp.h)."""
_ANSWER: Final = (
    f"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {len(_PROBLEM)}\r\n"
    f"retry-after: 1\r\nx-request-id: {_ID}\r\n\r\n{_PROBLEM}"
)


class Turn:
    """How many requests the present turn of the event loop has taken on, of ``most``."""

    def __init__(self, most: int, service: str) -> None:
        self._most, self._service, self._taken = most, service, 0

    def take(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether one more may be taken on."""
        if self._taken == 0:
            loop.call_soon(self._begin)
        if self._taken >= self._most:
            return False
        self._taken += 1
        return True

    def refusal(self) -> bytes:
        """A whole answer, counted."""
        metrics.refused(self._service, 503)
        return _ANSWER.replace(_ID, secrets.token_hex(8)).encode()

    def _begin(self) -> None:
        """Called before the first of the turn's requests is worked on; what comes after that waits for the next turn."""
        self._taken = 0


class SheddingProtocol(HttpToolsProtocol):
    """The server's HTTP protocol, which refuses what ``turn`` does not take on. ``scope["state"]["arrived"]`` of the rest:
    when the last bytes of its head came in (``time.perf_counter``).
    """

    turn: Turn | None = None
    _parsed = True

    def data_received(self, data: bytes) -> None:
        """Refuse, or pass on."""
        idle = self._parsed and (self.cycle is None or self.cycle.response_complete)
        if self.turn is None or not idle or not _whole(data) or self.turn.take(self.loop):
            super().data_received(data)
            return
        self._unset_keepalive_if_required()
        self.transport.write(self.turn.refusal())
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def on_message_begin(self) -> None:
        """A request of which nothing more may come has begun."""
        self._parsed = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Say when it came in."""
        self.scope["state"]["arrived"] = time.perf_counter() - self._lain()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The next bytes are another request's."""
        self._parsed = True
        super().on_message_complete()

    def _lain(self) -> float:
        """Seconds, to a few ms, for which the last bytes lay in the socket; 0 where the system does not tell."""
        with suppress(AttributeError, OSError):
            told = self.transport.get_extra_info("socket").getsockopt(
                socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES
            )
            return int.from_bytes(told[-4:], sys.byteorder) / 1000 if len(told) == _TCP_INFO_BYTES else 0.0
        return 0.0


def shed(most: int, service: str) -> None:
    """Let the server of this process, not yet started, take on ``most`` requests in one turn of its event loop."""
    SheddingProtocol.turn = Turn(most, service)
    protocols: dict[str, Any] = config.HTTP_PROTOCOLS
    protocols["auto"] = f"{__name__}:{SheddingProtocol.__name__}"  # BentoML passes no protocol on


def _whole(data: bytes) -> bool:
    """Whether this is one POST under /v1/, body included, whose head can be understood in one way only."""
    end = data.find(b"\r\n\r\n")
    if end < 0 or not data.startswith(b"POST /v1/"):
        return False
    head = data[: end + 2].lower()
    length = b"\r\ncontent-length: %d\r\n" % (len(data) - end - 4)
    return (
        length in head
        and head.count(b"content-length") == 1
        and b" http/1.1\r\n" in head
        and b"transfer-encoding" not in head
    )
