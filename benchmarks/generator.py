"""Load from a process of its own, pinned to one core: prepared bytes over connections that stay open.

An open loop has no coordinated omission: requests are due at fixed times, whatever has come back, and an answer's time
counts from when its request was due, also where it had to wait here for a connection.
"""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import os
import time
from array import array
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple

import numpy as np
import uvloop

LOST: Final = 0
"""Status of a request whose connection ended without an answer, or could not be made."""
BY_DEFAULT: Final = 1
"""Status of an answer with 200 whose choice is not the policy's: the default rule is quicker, and not what is measured."""
DEFAULT_RULE: Final = b'"policy_version":"uniform"'
PATIENCE_SECONDS: Final = 10.0
"""How long it waits for answers after the last request was due."""
PROBE: Final = b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
"""First on every connection: a server may take up one new connection in a turn of its loop, and not before it is idle."""


class Load(NamedTuple):
    """``requests`` by turns for ``seconds``: ``rate`` a second (open loop), or each connection at once again (None).
    ``once``: each request one time, however long that takes.
    """

    port: int
    requests: Sequence[bytes]
    seconds: float
    connections: int
    rate: float | None = None
    once: bool = False

    @property
    def most(self) -> int | None:
        """How many are sent, where that is known."""
        if self.once:
            return len(self.requests)
        return None if self.rate is None else int(self.seconds * self.rate)


class Answers(NamedTuple):
    """One entry a request, in the order of answering: which it was; when it was due, left and was answered, in seconds
    since ``start`` (``time.perf_counter``, which all processes share); its status. ``share``: of one core, what the
    generator itself used; ``unanswered``: when it gave up.
    """

    number: np.ndarray
    due: np.ndarray
    left: np.ndarray
    answered: np.ndarray
    status: np.ndarray
    start: float
    seconds: float
    share: float
    unanswered: int

    def milliseconds(self, status: int = 200) -> np.ndarray:
        """From due to answered, of requests with that status."""
        return np.asarray(1000 * (self.answered - self.due)[self.status == status])

    def count(self, *status: int) -> int:
        """How many had one of these."""
        return int(np.isin(self.status, status).sum())


def request(path: str, body: Any, key: str, headers: Mapping[str, str] | None = None) -> bytes:
    """A whole POST of JSON."""
    sent = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
    lines = [
        f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {key}", "Content-Type: application/json",
        f"Content-Length: {len(sent)}", *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]  # fmt: skip
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + sent


class Generator(NamedTuple):
    """The process that sends."""

    pool: ProcessPoolExecutor

    def start(self, load: Load) -> Future[Answers]:
        """Send in the background."""
        return self.pool.submit(send, load)

    def send(self, load: Load) -> Answers:
        """Send, and wait for the answers."""
        return self.start(load).result()


@contextmanager
def generator() -> Iterator[Generator]:
    """A generator that ends with the context."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_pin) as pool:
        yield Generator(pool)


def _pin() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def send(load: Load) -> Answers:
    """Send ``load`` from this process."""
    gc.collect()
    gc.disable()
    try:
        return uvloop.run(_Sender(load).run())
    finally:
        gc.enable()


class _Sender:
    """One run of a load."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.free: deque[_Connection] = deque()
        self.waiting: deque[float] = deque()
        self.which, self.status = array("l"), array("h")
        self.due, self.left, self.answered = array("d"), array("d"), array("d")
        self.number = self.open = 0
        self.idle = asyncio.Event()
        self.ending = False

    async def run(self) -> Answers:
        loop = asyncio.get_running_loop()
        for _ in range(self.load.connections):
            await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self.load.port)
        while len(self.free) < self.load.connections:
            await asyncio.sleep(0.01)
        self.start, cpu = time.perf_counter(), time.process_time()
        await (self._closed() if self.load.rate is None else self._due(self.load.rate))
        self.idle.clear()
        share = (time.process_time() - cpu) / (time.perf_counter() - self.start)
        seconds = time.perf_counter() - self.start
        if self.open or self.waiting:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.idle.wait(), PATIENCE_SECONDS)
        self.ending = True
        which, due, left = np.array(self.which), np.array(self.due), np.array(self.left)
        columns = (which, due, left, np.array(self.answered), np.array(self.status))
        return Answers(*columns, self.start, seconds, share, self.open + len(self.waiting))

    async def _due(self, rate: float) -> None:
        many, sent = self.load.most or 0, 0
        while sent < many:
            now = time.perf_counter() - self.start
            while sent < many and sent / rate <= now:
                self.waiting.append(sent / rate)
                sent += 1
            self._send_waiting()
            await asyncio.sleep(max(0.0, sent / rate - (time.perf_counter() - self.start)))

    async def _closed(self) -> None:
        self.waiting.extend([0.0] * self.load.connections)
        self._send_waiting()
        if self.load.once:
            await self.idle.wait()
        else:
            await asyncio.sleep(self.load.seconds)

    def _send_waiting(self) -> None:
        while self.waiting and self.free:
            connection = self.free.popleft()
            connection.due, connection.left = self.waiting.popleft(), time.perf_counter() - self.start
            connection.number = self.number % len(self.load.requests)
            connection.asked = True
            self.open += 1
            self.number += 1
            connection.transport.write(self.load.requests[connection.number])

    def ended(self, connection: _Connection, status: int) -> None:
        """An answer, or the loss of a connection under way."""
        now = time.perf_counter() - self.start
        self.which.append(connection.number)
        self.due.append(connection.due)
        self.left.append(connection.left)
        self.answered.append(now)
        self.status.append(status)
        connection.asked = False
        self.open -= 1
        if self.load.rate is None and (
            self.number < len(self.load.requests) if self.load.once else now < self.load.seconds
        ):
            self.waiting.append(now)
        if status != LOST:
            self.freed(connection)
        if not self.open and not self.waiting:
            self.idle.set()

    def freed(self, connection: _Connection) -> None:
        """It can take the next request."""
        self.free.append(connection)
        if self.waiting:
            self._send_waiting()

    def lost(self, connection: _Connection) -> None:
        """Make another in its place."""
        if connection in self.free:
            self.free.remove(connection)
        if not self.ending:
            self.again = asyncio.get_running_loop().create_task(self._another())

    async def _another(self) -> None:
        loop = asyncio.get_running_loop()
        while not self.ending:
            try:
                await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self.load.port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                return


class _Connection(asyncio.Protocol):
    """One request after the other."""

    transport: asyncio.Transport

    def __init__(self, sender: _Sender) -> None:
        self._sender, self._data, self._taken_up = sender, b"", False
        self.number, self.due, self.left, self.asked = 0, 0.0, 0.0, False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.transport.write(PROBE)

    def data_received(self, data: bytes) -> None:
        data = self._data + data
        head, length = data.find(b"\r\n\r\n"), data.find(b"content-length: ")
        if head < 0 or len(data) < head + 4 + int(data[length + 16 : data.index(b"\r\n", length)]):
            self._data = data
            return
        self._data = b""
        if self._taken_up:
            status = int(data[9:12])
            self._sender.ended(self, BY_DEFAULT if status == 200 and DEFAULT_RULE in data else status)
        else:
            self._taken_up = True
            self._sender.freed(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.asked:
            self._sender.ended(self, LOST)
        self._sender.lost(self)
