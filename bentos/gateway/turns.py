"""The decision log for callers in an event loop.

What one turn of the loop decides is handed to the writer together, and comes back together: for each hand-over the two
threads take turns with the interpreter's lock, which costs a decision's own time and more.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from adplatform.store.decision_log import DecisionLog, Group, Work, settle


class TurnLog(DecisionLog):
    """``DecisionLog`` whose futures are the running loop's, where there is one."""

    def __init__(self, path: Path, commit: Callable[[sqlite3.Connection], None] = sqlite3.Connection.commit) -> None:
        super().__init__(path, commit)
        self._waiting: list[tuple[Work, asyncio.Future[Any]]] = []

    def _submit(self, work: Work) -> Any:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return super()._submit(work)
        future: asyncio.Future[Any] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._turn_over, loop)
        self._waiting.append((work, future))
        return future

    def _turn_over(self, loop: asyncio.AbstractEventLoop) -> None:
        some, self._waiting = self._waiting, []

        def tell(results: Sequence[tuple[Any, Any, Exception | None]]) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(settle, results)

        self.hand_over(Group(some, tell))
