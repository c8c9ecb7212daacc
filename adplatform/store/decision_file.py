"""The file behind the decision log: its tables, how it is opened, and how an older file is brought up to date."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Final

from adplatform.contracts.errors import SetupError

BUSY_SECONDS: Final = 5.0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MIGRATIONS: Final = (
    """
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
    """,
    """
    create trigger early_events after insert on decisions begin
        insert into joined (event_id) select event_id from events where held = 1 and decision_id = new.decision_id;
        update events set held = 0 where held = 1 and decision_id = new.decision_id;
    end;
    """,
)
"""Each entry brings a file from its index to the next; ``pragma user_version`` says how far a file is."""


def newest_version() -> int:
    """``pragma user_version`` of a file that is up to date."""
    return len(_MIGRATIONS)


def connect(path: Path, read_only: bool = False) -> sqlite3.Connection:
    """A connection that syncs on every commit. Makes and migrates the file. Raises SetupError on a damaged or newer one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        if connection.execute("pragma page_count").fetchone() == (0,):
            connection.execute("pragma auto_vacuum = incremental")  # of a new file alone; it takes the writer's lock
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        _migrate(connection, path)
        if read_only:
            connection.execute("pragma query_only = on")
    except sqlite3.DatabaseError as error:
        connection.close()  # else a migration that failed would keep the file locked
        mend = "run it again" if "locked" in str(error) else "restore it from a backup (docs/operations.md)"
        raise SetupError(f"{path} does not open ({error})", mend) from error
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    (done,) = connection.execute("pragma user_version").fetchone()
    if done > len(_MIGRATIONS):
        raise SetupError(f"{path} was written by a newer adplatform", "upgrade this one")
    if done == len(_MIGRATIONS):
        return
    connection.execute("begin immediate")
    (done,) = connection.execute("pragma user_version").fetchone()  # another process may have been quicker
    for number, script in enumerate(_MIGRATIONS[done:], start=done + 1):
        for statement in _statements(script):
            connection.execute(statement)
        connection.execute(f"pragma user_version = {number}")
    connection.commit()


def _statements(script: str) -> Iterator[str]:
    """One by one: a script that is run as a whole commits first. A trigger has semicolons of its own."""
    statement = ""
    for part in script.strip().removesuffix(";").split(";"):
        statement += f"{part};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def micros(at: datetime) -> int:
    """Microseconds since 1970 UTC, exact."""
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_micros(value: int) -> datetime:
    """The inverse of ``micros``."""
    return _EPOCH + timedelta(microseconds=value)


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that sees one state of the log and changes nothing."""
    connection = connect(path, read_only=True)
    connection.execute("begin")
    try:
        yield connection
    finally:
        connection.close()


def bounds(day: date) -> tuple[int, int]:
    """First microsecond of a UTC day and of the next."""
    start = datetime.combine(day, time(), UTC)
    return micros(start), micros(start + timedelta(days=1))
