"""The decision log for callers in an event loop.

What one turn of the loop decides is handed to the writer together, and comes back together: for each hand-over the two
threads take turns with the interpreter's lock, which costs a decision's own time and more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from adplatform.store.decision_log import DecisionLog, Group, Work

Results = Sequence[tuple["asyncio.Future[Any]", Any, Exception | None]]


class TurnLog(DecisionLog):
    """``DecisionLog`` whose futures are the running loop's, where there is one."""

    _waiting: list[tuple[Work, asyncio.Future[Any]]] | None = None

    def _submit(self, work: Work) -> Any:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return super()._submit(work)
        future: asyncio.Future[Any] = loop.create_future()
        if self._waiting is None:
            self._waiting = []
            loop.call_soon(self._turn_over, loop)
        self._waiting.append((work, future))
        return future

    def _turn_over(self, loop: asyncio.AbstractEventLoop) -> None:
        some, self._waiting = self._waiting or [], None

        def tell(results: Results) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(_settle, results)

        self.hand_over(Group(some, tell))


def _settle(results: Results) -> None:
    for future, result, error in results:
        if not future.done():
            future.set_result(result) if error is None else future.set_exception(error)
