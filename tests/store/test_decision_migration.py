"""A log that an earlier build wrote is brought up to date when it is opened, and loses nothing by that."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adplatform.contracts.errors import SetupError
from adplatform.contracts.serving import EventKind
from adplatform.store.decision_file import connect, micros, newest_version, reading
from adplatform.store.decision_log import DecisionLog
from adplatform.store.decision_rows import Tail
from adplatform.store.decision_writes import Idempotency, Judged, KeyConflict
from tests.store.decisions import AT, decision, event, kept

VERSION_1 = """
create table decisions (
    sequence integer primary key, decision_id text not null unique, decided_at integer not null,
    user_id text, creative_id text not null, payload blob not null
);
create index decisions_by_time on decisions (decided_at);
create table events (
    sequence integer primary key, event_id text not null unique, digest blob not null, kind text not null,
    decision_id text not null, occurred_at integer not null, received_at integer not null, value real,
    held integer not null
);
create index events_by_time on events (occurred_at);
create index events_held on events (decision_id) where held = 1;
create table joined (sequence integer primary key autoincrement, event_id text not null);
create table rejected (
    sequence integer primary key, received_at integer not null, event_id text, reason text not null,
    payload blob not null, unique (event_id, payload)
);
create table answers (
    caller text not null, key text not null, digest blob not null, body blob not null,
    created_at integer not null, primary key (caller, key)
) without rowid;
pragma user_version = 1;
"""
"""The tables as version 1 made them: a copy, so that a change of that step is seen here."""
KEY = Idempotency.of("key-1", "/v1/decide k1", b"body")
CLICK = event("c1", EventKind.CLICK, "d1", 5)
EARLY = [event("early-1", EventKind.IMPRESSION, "d9"), event("early-2", EventKind.CLICK, "d9", 3)]
ROWS = {
    "decisions": "decision_id, decided_at, user_id, creative_id, payload",
    "events": "event_id, digest, kind, decision_id, occurred_at, received_at, value, held",
    "joined": "event_id",
    "rejected": "received_at, event_id, reason, payload",
    "answers": "caller, key, digest, body, created_at",
}


def row(sent: Judged, held: bool) -> tuple[Any, ...]:
    made = sent.event
    assert made is not None
    digest = hashlib.sha256(made.model_dump_json().encode()).digest()
    occurred, received = micros(made.occurred_at), micros(AT)
    return made.event_id, digest, made.kind.value, made.decision_id, occurred, received, made.value, int(held)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two decisions, one with an impression and a click and a kept answer, two events that came too early, one rejected."""
    found = tmp_path / "decisions.sqlite"
    written: dict[str, list[tuple[Any, ...]]] = {
        "decisions": [
            (n.decision_id, micros(n.decided_at), n.user_id, n.creative_id, n.payload)
            for n in (decision("d1"), decision("d2", None, AT + timedelta(days=1)))
        ],
        "events": [row(event("i1", EventKind.IMPRESSION, "d1"), False), row(CLICK, False), *(row(e, True) for e in EARLY)],
        "joined": [("i1",), ("c1",)],
        "rejected": [(micros(AT), "bad", "kind: is no kind", b'{"kind": "view"}')],
        "answers": [(KEY.caller, KEY.key, KEY.digest, b'{"decision_id": "d1"}', micros(AT))],
    }  # fmt: skip
    with closing(sqlite3.connect(found)) as log:
        log.execute("pragma auto_vacuum = incremental")
        log.execute("pragma journal_mode = wal")
        log.executescript(VERSION_1)
        for name, rows in written.items():
            marks = ",".join("?" * len(rows[0]))
            log.executemany(f"insert into {name} ({ROWS[name]}) values ({marks})", rows)
        log.commit()
    return found


def content(path: Path) -> tuple[int, dict[str, list[tuple[Any, ...]]]]:
    """Version and every row, read without opening the file as a log."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as log:
        (version,) = log.execute("pragma user_version").fetchone()
        return version, {name: log.execute(f"select * from {name} order by 1, 2").fetchall() for name in ROWS}


def schema(path: Path) -> list[tuple[Any, ...]]:
    with reading(path) as log:
        return log.execute("select type, name, tbl_name, sql from sqlite_master order by 1, 2").fetchall()


def test_every_row_is_kept_and_a_second_open_changes_nothing(path: Path, tmp_path: Path) -> None:
    version, rows = content(path)
    assert version == 1
    assert [len(rows[name]) for name in ROWS] == [2, 4, 2, 1, 1]
    connect(path).close()
    assert content(path) == (newest_version(), rows)
    migrated = schema(path)
    connect(path).close()
    with DecisionLog(path):
        pass
    assert content(path) == (newest_version(), rows)
    assert schema(path) == migrated

    def names(found: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        return [entry[:3] for entry in found]

    connect(tmp_path / "new.sqlite").close()
    assert names(migrated) == names(schema(tmp_path / "new.sqlite")), "an old file has all that a new one has"


def test_what_came_before_the_migration_is_joined_known_and_answered_after_it(path: Path) -> None:
    with DecisionLog(path) as log:
        assert log.record(decision("d1"), KEY).result(5) == b'{"decision_id": "d1"}'
        with pytest.raises(KeyConflict):
            log.record(decision("d7"), KEY._replace(digest=b"another body")).result(5)
        told = log.accept([CLICK, *EARLY], AT + timedelta(hours=1)).result(5)
        assert (told.accepted, told.duplicates) == (0, 3)
        other = event("c1", EventKind.CLICK, "d1", 6)
        assert len(log.accept([other], AT).result(5).rejected) == 1
        with pytest.raises(sqlite3.IntegrityError):
            log.record(decision("d2")).result(5)
        log.record(decision("d9")).result(5)  # by today's trigger the two that version 1 held are joined
        log.accept([event("v2", EventKind.CONVERSION, "d2", 9, 9.5)], AT).result(5)
    assert kept(path, "select decision_id from decisions") == ["d1", "d2", "d9"]
    assert kept(path, "select event_id from events where held = 1") == []
    tail = Tail(path)
    assert [o.event_id for o in tail.read()] == ["i1", "c1", "early-1", "early-2", "v2"]
    tail.close()


def test_a_file_of_a_newer_version_is_refused_and_left_as_it_is(path: Path) -> None:
    connect(path).close()
    with closing(sqlite3.connect(path)) as log:
        log.execute(f"pragma user_version = {newest_version() + 1}")
    before = content(path)
    for opened in (lambda: connect(path), lambda: connect(path, read_only=True), DecisionLog(path).__enter__):
        with pytest.raises(SetupError, match="was written by a newer adplatform; upgrade this one"):
            opened()
    assert content(path) == before
