"""How many requests a worker takes on at once, and how much of a body it reads."""

from __future__ import annotations

import asyncio
from collections import deque

from bentos.refusals import Message, Receive, Refusal


class Places:
    """``most`` requests in progress; ``waiting`` more may wait ``seconds`` for a place, first come, first served."""

    def __init__(self, most: int, waiting: int, seconds: float) -> None:
        self._most, self._limit, self._seconds = most, waiting, seconds
        self._busy = 0
        self._queue: deque[asyncio.Future[bool]] = deque()

    async def enter(self) -> bool:
        """Take a place; False where there is none in time. Whoever got True calls ``leave``."""
        if self._busy < self._most:
            self._busy += 1
            return True
        if len(self._queue) >= self._limit:
            return False
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        self._queue.append(turn)
        timer = loop.call_later(self._seconds, self._give_up, turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self.leave()
            elif turn in self._queue:
                self._queue.remove(turn)
            raise
        finally:
            timer.cancel()

    def leave(self) -> None:
        """Hand the place to the one who waits longest, or free it."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(True)
                return
        self._busy -= 1

    def _give_up(self, turn: asyncio.Future[bool]) -> None:
        if not turn.done():
            turn.set_result(False)
            self._queue.remove(turn)


class Rates:
    """At most ``per_second`` requests a second of each key, a second's worth at once; None: as many as it likes."""

    def __init__(self, per_second: float | None) -> None:
        self._per_second = per_second
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, key_id: str, now: float) -> bool:
        """Whether the key may send one more at ``now`` (seconds)."""
        if self._per_second is None:
            return True
        most = max(1.0, self._per_second)
        left, since = self._left.get(key_id, (most, now))
        left = min(most, left + (now - since) * self._per_second)
        self._left[key_id] = (left - 1 if left >= 1 else left, now)
        return left >= 1


class ClientLeft(Exception):
    """Nobody is there to be answered."""


async def read_body(receive: Receive, limit: int, seconds: float) -> bytes:
    """The whole body. Raises Refusal: 413 as soon as it is larger than ``limit`` bytes, whatever length was declared,
    408 where it is not there after ``seconds``. Raises ClientLeft.
    """
    parts, taken = [], 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise ClientLeft
                parts.append(message.get("body", b""))
                taken += len(parts[-1])
                if taken > limit:
                    raise too_large(limit)
                if not message.get("more_body"):
                    return parts[0] if len(parts) == 1 else b"".join(parts)
    except TimeoutError:
        detail = f"body: is not whole after {seconds:g} s; send it at once"
        raise Refusal(408, "too_slow", detail, retry=True, close=True) from None


def too_large(limit: int) -> Refusal:
    """What is said of a body over the limit."""
    return Refusal(413, "too_large", f"body: more than {limit:,} bytes; send less at once", close=True)


def replayed(body: bytes, receive: Receive) -> Receive:
    """``receive`` of a request whose body was read already."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
