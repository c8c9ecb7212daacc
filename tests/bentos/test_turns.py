"""What one turn of an event loop decides is stored by one commit; who no longer waits leaves nothing."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from adplatform.store.decision_file import reading
from bentos.gateway.turns import TurnLog, together
from tests.store.decisions import decision


def stored(path: Path) -> list[str]:
    with reading(path) as log:
        return [row[0] for row in log.execute("select decision_id from decisions order by decision_id")]


def test_a_turn_is_one_commit_and_each_turn_has_its_own(tmp_path: Path) -> None:
    commits = 0

    def commit(connection: sqlite3.Connection) -> None:
        nonlocal commits
        commits += 1
        connection.commit()

    async def two_turns(log: TurnLog) -> None:
        for turn in range(2):
            assert await asyncio.gather(*(log.record(decision(f"d{turn}{n}")) for n in range(5))) == [b"{}"] * 5

    with TurnLog(tmp_path / "log.sqlite", commit) as log:
        asyncio.run(two_turns(log))
        assert commits == 2
        assert log.record(decision("d9")).result(5) == b"{}"  # without a loop
    assert stored(log.path) == [f"d{t}{n}" for t in range(2) for n in range(5)] + ["d9"]


def test_one_that_fails_is_told_alone_and_a_cancelled_one_is_not_stored(tmp_path: Path) -> None:
    async def turn(log: TurnLog) -> None:
        good, twice, left, other = (log.record(decision(name)) for name in ("d1", "d0", "d2", "d3"))
        left.cancel()
        assert await good == await other == b"{}"
        with pytest.raises(sqlite3.IntegrityError):
            await twice

    with TurnLog(tmp_path / "log.sqlite") as log:
        log.record(decision("d0")).result(5)
        asyncio.run(turn(log))
    assert stored(log.path) == ["d0", "d1", "d3"]


def test_a_turn_is_worked_on_by_one_call_without_those_who_left_and_each_hears_of_its_own_error() -> None:
    calls: list[list[int]] = []

    def work(items: list[int]) -> list[float | Exception]:
        calls.append(items)
        return [ValueError("zero") if item == 0 else 1 / item for item in items]

    async def two_turns() -> None:
        turn = together(work)
        first, left, zero = (turn.give(item) for item in (2, 9, 0))
        left.cancel()
        assert await first == 0.5
        with pytest.raises(ValueError, match="zero"):
            await zero
        assert await asyncio.gather(turn.give(4), turn.give(5)) == [0.25, 0.2]
        turn.give(1).cancel()
        await asyncio.sleep(0)

    asyncio.run(two_turns())
    assert calls == [[2, 0], [4, 5]]


def test_where_work_fails_as_a_whole_each_is_worked_on_alone_and_hears_of_its_own() -> None:
    def work(items: list[int]) -> list[float]:
        return [1 / item for item in items]

    async def turn() -> None:
        given = together(work)
        good, bad, other = (given.give(item) for item in (2, 0, 4))
        assert (await good, await other) == (0.5, 0.25)
        with pytest.raises(ZeroDivisionError):
            await bad

    asyncio.run(turn())
