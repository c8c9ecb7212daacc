"""Promise 3 online: what was acknowledged is there, once, whoever was killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adplatform.contracts.errors import SetupError
from adplatform.contracts.serving import Event, EventKind
from adplatform.store.decision_file import connect, from_micros, micros, reading
from adplatform.store.decision_log import DecisionLog, Unwritable
from adplatform.store.decision_writes import Idempotency, Judged, KeyConflict, NewDecision

AT = datetime(2026, 11, 25, 12, tzinfo=UTC)


def decision(number: int, answer: bytes = b"{}") -> NewDecision:
    return NewDecision(f"d{number}", AT, f"u{number}", "c01-1", b"{}", answer)


def click(event: str, decision_id: str, seconds: float = 0.0) -> Judged:
    made = Event(
        event_id=event, kind=EventKind.CLICK, decision_id=decision_id, occurred_at=AT + timedelta(seconds=seconds)
    )
    return Judged(event, made, made.model_dump_json().encode(), None)


def count(path: Path, sql: str) -> int:
    with reading(path) as connection:
        return int(connection.execute(sql).fetchone()[0])


def test_no_answer_leaves_before_its_data_is_synced(tmp_path: Path) -> None:
    gate = threading.Event()

    def slow(connection: sqlite3.Connection) -> None:
        gate.wait(10)
        connection.commit()

    with DecisionLog(tmp_path / "log.sqlite", commit=slow) as log:
        decided, told = log.record(decision(1)), log.accept([click("e1", "d1")], AT)
        time.sleep(0.2)
        assert not decided.done()
        assert not told.done()
        assert count(log.path, "select count(*) from decisions") == 0
        gate.set()
        assert decided.result(5) == b"{}"
        assert told.result(5).accepted == 1
        assert count(log.path, "select count(*) from decisions") == 1


def test_every_commit_syncs_the_file(tmp_path: Path) -> None:
    connection = connect(tmp_path / "log.sqlite")
    assert connection.execute("pragma synchronous").fetchone()[0] == 2  # FULL
    assert connection.execute("pragma journal_mode").fetchone()[0] == "wal"


def test_a_full_disk_acknowledges_nothing_and_the_next_request_may_succeed(tmp_path: Path) -> None:
    full = True

    def commit(connection: sqlite3.Connection) -> None:
        if full:
            raise sqlite3.OperationalError("database or disk is full")
        connection.commit()

    with DecisionLog(tmp_path / "log.sqlite", commit=commit) as log:
        with pytest.raises(Unwritable, match="full"):
            log.record(decision(1)).result(5)
        with pytest.raises(Unwritable, match="full"):
            log.accept([click(f"e{i}", "d1") for i in range(3)], AT).result(5)
        assert count(log.path, "select count(*) from events") == 0
        full = False
        assert log.record(decision(1)).result(5) == b"{}"


def test_a_file_that_may_not_grow_is_a_full_disk(tmp_path: Path) -> None:
    with DecisionLog(tmp_path / "log.sqlite") as log:
        log.record(decision(0)).result(5)
    code = """
import resource, sys
from datetime import UTC, datetime
from pathlib import Path
from adplatform.store.decision_log import DecisionLog, Unwritable
from adplatform.store.decision_writes import NewDecision
path = Path(sys.argv[1])
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
told = 0
with DecisionLog(path) as log:
    try:
        for i in range(1, 100):
            log.record(NewDecision(f"d{i}", datetime.now(UTC), None, "c", b"x" * 20_000, b"{}")).result(10)
            told += 1
    except Unwritable as error:
        print(told, "refused")
"""
    ran = subprocess.run([sys.executable, "-c", code, str(log.path)], capture_output=True, text=True, check=False)
    told = int(ran.stdout.split()[0])
    assert "refused" in ran.stdout, ran.stderr
    assert count(log.path, "select count(*) from decisions") == told + 1


def test_one_piece_of_work_that_fails_does_not_take_its_neighbours_with_it(tmp_path: Path) -> None:
    gate = threading.Event()
    first = True

    def commit(connection: sqlite3.Connection) -> None:
        nonlocal first
        if first:
            first = False
            gate.wait(10)
        connection.commit()

    with DecisionLog(tmp_path / "log.sqlite", commit=commit) as log:
        waiting = log.record(decision(0))
        time.sleep(0.1)
        good, twice, other = log.record(decision(1)), log.record(decision(0)), log.record(decision(2))
        gate.set()
        assert waiting.result(5) == good.result(5) == other.result(5) == b"{}"
        with pytest.raises(sqlite3.IntegrityError):
            twice.result(5)


def test_an_event_counts_once_and_does_not_change(tmp_path: Path) -> None:
    with DecisionLog(tmp_path / "log.sqlite") as log:
        log.record(decision(1)).result(5)
        assert log.accept([click("e", "d1")], AT).result(5)[:3] == (1, 0, 0)
        assert log.accept([click("e", "d1")], AT).result(5)[:3] == (0, 1, 0)
        changed = log.accept([click("e", "d1", 1.0)], AT).result(5)
        assert (changed.accepted, changed.duplicates) == (0, 0)
        assert changed.rejected[0][:2] == (0, "e")
        assert "other content" in changed.rejected[0][2]
        assert count(log.path, "select count(*) from rejected") == 1


def test_an_early_event_is_held_and_joins_when_its_decision_comes(tmp_path: Path) -> None:
    with DecisionLog(tmp_path / "log.sqlite") as log:
        assert log.accept([click("early", "d1"), click("orphan", "d9")], AT).result(5).held == 2
        log.record(decision(1)).result(5)
        assert count(log.path, "select held from events where event_id = 'early'") == 0
        assert count(log.path, "select held from events where event_id = 'orphan'") == 1


def test_an_event_whose_decision_never_came_is_rejected_after_the_horizon_and_kept(tmp_path: Path) -> None:
    with DecisionLog(tmp_path / "log.sqlite") as log:
        log.accept([click("orphan", "d9")], AT).result(5)
        day = timedelta(days=1)
        assert log.expire(AT + day, 3 * day).result(5) == 0
        assert log.expire(AT + 4 * day, 3 * day).result(5) == 1
        assert count(log.path, "select count(*) from events") == 0
        assert count(log.path, "select count(*) from rejected where event_id = 'orphan'") == 1


def test_the_same_key_and_body_give_the_same_bytes_across_restarts_and_another_body_a_conflict(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    with DecisionLog(path) as log:
        assert log.record(decision(1, b"first"), Idempotency.of("k1", "a", b"body")).result(5) == b"first"
    with DecisionLog(path) as log:
        assert log.record(decision(2, b"second"), Idempotency.of("k1", "a", b"body")).result(5) == b"first"
        with pytest.raises(KeyConflict):
            log.record(decision(3), Idempotency.of("k1", "a", b"other")).result(5)
        assert log.record(decision(4, b"its own"), Idempotency.of("k2", "a", b"other")).result(5) == b"its own"
        assert count(path, "select count(*) from decisions") == 2


def _send(path: Path, seed: int, many: int) -> None:
    order = random.Random(seed).sample(range(many), many)
    with DecisionLog(path) as log:
        for future in [log.accept([click(f"e{i}", "d0")], AT) for i in order]:
            future.result(30)


def test_several_processes_store_each_event_once(tmp_path: Path) -> None:
    path, many = tmp_path / "log.sqlite", 300
    context = multiprocessing.get_context("spawn")
    senders = [context.Process(target=_send, args=(path, seed, many)) for seed in range(3)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(60)
        assert sender.exitcode == 0
    assert count(path, "select count(*) from events") == many


ACKNOWLEDGE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from adplatform.store.decision_log import DecisionLog
from adplatform.store.decision_writes import NewDecision
with DecisionLog(Path(sys.argv[1])) as log:
    number = 0
    while True:
        some = [log.record(NewDecision(f"{sys.argv[2]}-{number + i}", datetime.now(UTC), None, "c", b"{}", b"")) for i in range(5)]
        for i, future in enumerate(some):
            future.result(30)
            print(f"{sys.argv[2]}-{number + i}", flush=True)
        number += 5
"""


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    path, told = tmp_path / "log.sqlite", set()
    for number in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", ACKNOWLEDGE, str(path), f"run{number}"], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        told.add(process.stdout.readline().strip())
        time.sleep(random.Random(number).uniform(0.0, 0.15))
        os.kill(process.pid, signal.SIGKILL)
        told |= {line.strip() for line in process.stdout if line.endswith("\n")}
        process.wait(10)
    with reading(path) as connection:
        kept = {row[0] for row in connection.execute("select decision_id from decisions")}
    assert len(told) > 10
    assert told <= kept


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1)), min_size=1, max_size=30), st.randoms())
@settings(max_examples=25, deadline=None)
def test_whatever_the_order_and_cut_each_batch_adds_up_and_each_id_is_stored_once(
    tmp_path_factory: pytest.TempPathFactory, sent: list[tuple[int, int]], rng: random.Random
) -> None:
    path = tmp_path_factory.mktemp("log") / "log.sqlite"
    events = [click(f"e{i}", "d", float(version)) for i, version in sent]
    with DecisionLog(path) as log:
        while events:
            size = rng.randint(1, len(events))
            batch, events = events[:size], events[size:]
            told = log.accept(batch, AT).result(5)
            assert told.accepted + told.duplicates + len(told.rejected) == size
    assert count(path, "select count(*) from events") == len({i for i, _ in sent})


def test_a_damaged_or_newer_file_is_refused_with_the_mend(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(b"no database at all" * 100)
    with pytest.raises(SetupError, match="backup"):
        connect(damaged)
    newer = tmp_path / "newer.sqlite"
    connect(newer).execute("pragma user_version = 999")
    with pytest.raises(SetupError, match="newer"):
        connect(newer)


@given(st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)))
def test_times_are_kept_to_the_microsecond(at: datetime) -> None:
    assert from_micros(micros(at.replace(tzinfo=UTC))) == at.replace(tzinfo=UTC)
