"""What callers in one turn of an event loop ask for, done together.

Decisions are scored by one call of the model, which costs little more for a few rows than for one. They are handed to the
decision log's writer together, and come back together: for each hand-over the two threads take turns with the
interpreter's lock, which costs a decision's own time and more.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

from adplatform.store.decision_log import DecisionLog, Group, Work, settle

Item = TypeVar("Item")


class Turn(Generic[Item]):
    """Items that are given in one turn of the running loop, each with its future; ``over`` gets them in the next."""

    def __init__(
        self, over: Callable[[list[tuple[Item, asyncio.Future[Any]]], asyncio.AbstractEventLoop], None]
    ) -> None:
        self._over, self._given = over, list[tuple[Item, asyncio.Future[Any]]]()

    def give(self, item: Item) -> asyncio.Future[Any]:
        """The item's future. Raises RuntimeError where no loop runs."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if not self._given:
            loop.call_soon(self._end, loop)
        self._given.append((item, future))
        return future

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        some, self._given = self._given, []
        self._over(some, loop)


def together(work: Callable[[list[Item]], Sequence[Any]]) -> Turn[Item]:
    """A turn whose items are worked on by one call, but for those whose callers have left. An error that it gives for an
    item is raised in its future, one that it raises in all.
    """

    def over(some: list[tuple[Item, asyncio.Future[Any]]], loop: asyncio.AbstractEventLoop) -> None:
        wanted = [one for one in some if not one[1].cancelled()]
        try:
            results: Sequence[Any] = work([item for item, _ in wanted]) if wanted else ()
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it
            results = [error] * len(wanted)
        for (_, future), result in zip(wanted, results, strict=True):
            future.set_exception(result) if isinstance(result, Exception) else future.set_result(result)

    return Turn(over)


class TurnLog(DecisionLog):
    """``DecisionLog`` whose futures are the running loop's, where there is one."""

    def __init__(self, path: Path, commit: Callable[[sqlite3.Connection], None] = sqlite3.Connection.commit) -> None:
        super().__init__(path, commit)
        self._turn: Turn[Work] = Turn(self._turn_over)

    def _submit(self, work: Work) -> Any:
        try:
            return self._turn.give(work)
        except RuntimeError:
            return super()._submit(work)

    def _turn_over(self, some: list[tuple[Work, asyncio.Future[Any]]], loop: asyncio.AbstractEventLoop) -> None:
        def tell(results: Sequence[tuple[Any, Any, Exception | None]]) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(settle, results)

        self.hand_over(Group(some, tell))
