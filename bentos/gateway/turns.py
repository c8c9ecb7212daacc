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
Given = tuple[Item, asyncio.Future[Any]]


class MicroBatch(Generic[Item]):
    """Items that are given in one turn of the running loop, each with its future; ``over`` gets them in the next."""

    def __init__(self, over: Callable[[list[Given[Item]]], None]) -> None:
        self._over, self._given = over, list[Given[Item]]()

    def give(self, item: Item) -> asyncio.Future[Any]:
        """The item's future. Raises RuntimeError where no loop runs."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if not self._given:
            loop.call_soon(self._end)
        self._given.append((item, future))
        return future

    def _end(self) -> None:
        some, self._given = self._given, []
        self._over(some)


def together(work: Callable[[list[Item]], Sequence[Any]]) -> MicroBatch[Item]:
    """A batch that one call works on, without the items whose callers have left. An error that it gives for an item is
    raised in its future; where it raises one itself, each item is worked on alone.
    """

    def over(some: list[Given[Item]]) -> None:
        wanted = [one for one in some if not one[1].cancelled()]
        if not wanted:
            return
        try:
            results = work([item for item, _ in wanted])
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it
            if len(wanted) > 1:
                for one in wanted:
                    over([one])
                return
            results = [error]
        for (_, future), result in zip(wanted, results, strict=True):
            future.set_exception(result) if isinstance(result, Exception) else future.set_result(result)

    return MicroBatch(over)


class TurnLog(DecisionLog):
    """``DecisionLog`` whose futures are the running loop's, where there is one."""

    def __init__(self, path: Path, commit: Callable[[sqlite3.Connection], None] = sqlite3.Connection.commit) -> None:
        super().__init__(path, commit)
        self._batch: MicroBatch[Work] = MicroBatch(self._turn_over)

    def _submit(self, work: Work) -> Any:
        try:
            return self._batch.give(work)
        except RuntimeError:
            return super()._submit(work)

    def _turn_over(self, some: list[Given[Work]]) -> None:
        loop = asyncio.get_running_loop()

        def tell(results: Sequence[tuple[Any, Any, Exception | None]]) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(settle, results)

        self.hand_over(Group(some, tell))
