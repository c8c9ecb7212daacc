"""Upkeep of the decision log: backup and restore, compaction, and judging again what was rejected.

All but the restore go on while servers write: work on the file is cut into transactions of milliseconds.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from adplatform.contracts.errors import InputError, SetupError
from adplatform.store.atomic import disk_errors, sync_directory
from adplatform.store.decision_file import BUSY_SECONDS, connect, from_micros, micros, newest_version
from adplatform.store.decision_writes import Judged, accept_events
from adplatform.store.judging import judge

AT_ONCE: Final = 500
"""Decisions, answers or rejected events in one transaction."""
PAGES: Final = 1000
"""Free pages given back in one transaction."""
NEVER_CAME: Final = "decision_id: no such decision"
Progress = Callable[[float], None]


class Contents(NamedTuple):
    """How much a log holds, and its size."""

    decisions: int
    events: int
    rejected: int
    answers: int
    bytes: int


class Restored(NamedTuple):
    """What serves now, and where the file before is kept; None where there was none."""

    contents: Contents
    aside: Path | None


class Replayed(NamedTuple):
    """Rejected events that were judged again: ``accepted`` and ``duplicates`` left the table, ``reasons`` counts the rest."""

    judged: int
    accepted: int
    duplicates: int
    reasons: dict[str, int]


def contents(path: Path) -> Contents:
    """Counts of a log. Raises SetupError where it does not open."""
    with closing(connect(path, read_only=True)) as log:
        return _contents(log, path)


def backup(path: Path, target: Path) -> Contents:
    """Copy the log as it is at one moment to ``target``, a new file; servers may write meanwhile.

    Raises InputError where there is no log or ``target`` is there, SetupError on a full disk; no file is left then.
    """
    if not path.exists():
        raise InputError(str(path), "there is no decision log", "serve first")
    if target.exists():
        raise InputError(str(target), "is there already", "give the name of a new file")
    beside = target.with_name(f".{target.name}.tmp")
    with disk_errors(f"writing {target}"):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            found = _copy(path, beside)
            os.link(beside, target)  # unlike a rename, this never replaces a file
            sync_directory(target.parent)
        finally:
            _remove(beside)
    return found


def restore(path: Path, source: Path, now: datetime) -> Restored:
    """Put the backup ``source`` in the place of the log; the file before stays beside it.

    Raises InputError where ``source`` is no whole log of this or an older version, SetupError while a server holds the
    log; nothing has changed then. Cut off half-way, the old log or the new one is in place.
    """
    _check_backup(source)
    beside = path.with_name(f".{path.name}.restoring")
    aside = path.with_name(f"{path.name}.before-{now:%Y%m%dT%H%M%S%fZ}") if path.exists() else None
    with disk_errors(f"restoring {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _remove(beside)
            _copy(source, beside)
            with _alone(path):
                if aside:
                    os.link(path, aside)
                for leftover in ("-wal", "-shm"):  # of a log that does not open; else there is none
                    with suppress(FileNotFoundError):
                        os.replace(f"{path}{leftover}", f"{aside}{leftover}")
                os.replace(beside, path)
                sync_directory(path.parent)
        finally:
            _remove(beside)
    return Restored(contents(path), aside)


def replay(path: Path, now: datetime, progress: Progress = lambda share: None) -> Replayed:
    """Judge every rejected event again. One that is good now and whose decision is known is accepted and leaves the table."""
    judged = accepted = duplicates = last = 0
    reasons: dict[str, int] = {}
    with closing(connect(path)) as log:
        (many,) = log.execute("select count(*) from rejected").fetchone()
        while True:
            with transaction(log):
                rows = log.execute(
                    "select sequence, event_id, reason, payload from rejected where sequence > ? order by sequence limit ?",
                    (last, AT_ONCE),
                ).fetchall()
                for sequence, event_id, reason, payload in rows:
                    outcome, why = _judge_again(log, event_id, reason, payload, now)
                    accepted, duplicates = accepted + (outcome == "accepted"), duplicates + (outcome == "duplicate")
                    if outcome == "rejected":
                        reasons[why] = reasons.get(why, 0) + 1
                        log.execute("update rejected set reason = ? where sequence = ?", (why, sequence))
                    else:
                        log.execute("delete from rejected where sequence = ?", (sequence,))
            if not rows:
                return Replayed(judged, accepted, duplicates, reasons)
            last, judged = rows[-1][0], judged + len(rows)
            progress(min(1.0, judged / many) if many else 1.0)


def _judge_again(
    log: sqlite3.Connection, event_id: str, reason: str, payload: bytes | str, now: datetime
) -> tuple[str, str]:
    sent = orjson.loads(payload)
    if reason.startswith(NEVER_CAME) and isinstance(sent, dict) and isinstance(sent.get("occurred_at"), int):
        sent["occurred_at"] = from_micros(
            sent["occurred_at"]
        ).isoformat()  # an event that was held is kept as it was stored
    found = judge(sent, now)
    if found.event is None:
        return "rejected", str(found.reason)
    name = found.event.decision_id
    if log.execute("select 1 from decisions where decision_id = ?", (name,)).fetchone() is None:
        return "rejected", reason if reason.startswith(NEVER_CAME) else f"{NEVER_CAME} is known"
    told = accept_events(log, [Judged(event_id, found.event, found.payload, None)], micros(now))
    if told.rejected:
        return "rejected", told.rejected[0][2]
    return ("accepted" if told.accepted else "duplicate"), ""


def give_back(log: sqlite3.Connection) -> bool:
    """Give free pages back to the disk, some at a time. False where the file was made before it could: it is rewritten
    once, which keeps writers waiting for that time."""
    (mode,) = log.execute("pragma auto_vacuum").fetchone()
    if mode != 2:
        log.execute("pragma auto_vacuum = incremental")
        log.execute("vacuum")
    while log.execute("pragma freelist_count").fetchone()[0]:
        log.execute(f"pragma incremental_vacuum({PAGES})").fetchall()
    log.execute("pragma wal_checkpoint(truncate)").fetchall()
    return bool(mode == 2)


def start_of(day: date) -> int:
    """First microsecond of a UTC day."""
    return micros(datetime.combine(day, time(), UTC))


@contextmanager
def transaction(log: sqlite3.Connection) -> Iterator[None]:
    """One write transaction: all of it or nothing."""
    log.execute("begin immediate")
    try:
        yield
    except BaseException:
        log.rollback()
        raise
    log.commit()


def _copy(source: Path, target: Path) -> Contents:
    """A synced copy of the log in one file without journal, whole and checked."""
    uri = f"{source.resolve().as_uri()}?mode=ro"
    try:
        with (
            closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as log,
            closing(sqlite3.connect(target, isolation_level=None)) as copy,
        ):
            log.backup(copy)  # in one step, of one snapshot: in pieces it would begin anew at every commit of a server
            copy.execute("pragma journal_mode = delete")
            verdict = copy.execute("pragma integrity_check").fetchone()[0]
            found = _contents(copy, target)
    except sqlite3.DatabaseError as error:
        if "full" in str(error):
            raise SetupError(f"disk is full while writing {target}", "free some space and run it again") from error
        verdict = str(error)
    if verdict != "ok":
        raise SetupError(f"{source} is damaged ({verdict})", "restore the log from a backup")
    with target.open("rb") as handle:
        os.fsync(handle.fileno())
    return found


def _contents(log: sqlite3.Connection, path: Path) -> Contents:
    def count(table: str) -> int:
        return int(log.execute(f"select count(*) from {table}").fetchone()[0])

    return Contents(count("decisions"), count("events"), count("rejected"), count("answers"), path.stat().st_size)


def _check_backup(source: Path) -> None:
    """Raises InputError unless it is a decision log that this version can bring up to date."""
    if not source.is_file():
        raise InputError(str(source), "there is no such file", "give the path of a backup")
    try:
        with closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as log:
            (version,) = log.execute("pragma user_version").fetchone()
            tables = {row[0] for row in log.execute("select name from sqlite_master where type = 'table'")}
            whole = log.execute("pragma quick_check").fetchone()[0] == "ok"
    except sqlite3.DatabaseError as error:
        raise InputError(str(source), f"is no backup of a decision log ({error})", "give another") from error
    if not {"decisions", "events", "rejected", "answers"} <= tables or not whole:
        raise InputError(str(source), "is no whole decision log", "give another backup")
    if version > newest_version():
        raise InputError(str(source), "was written by a newer adplatform", "upgrade this one")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Nobody else has the log open, and nobody can write to it until this ends.

    Leaving WAL mode is what SQLite refuses as long as any other connection is open, an idle one too.
    """
    if not path.exists():
        yield
        return
    log = sqlite3.connect(path, timeout=0.5, isolation_level=None)
    try:
        try:
            log.execute("pragma journal_mode = delete")
            log.execute("begin exclusive")
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise SetupError(f"{path} is in use", "end adplatform serve (Ctrl-C), then restore") from error
            raise
        except sqlite3.DatabaseError:
            pass  # it does not open, for a server neither: that is why one restores
        yield
    finally:
        log.close()


def _remove(path: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.unlink(f"{path}{suffix}")


def rows_of(log: sqlite3.Connection, sql: str, arguments: tuple[Any, ...] = ()) -> list[Any]:
    """First column of a query."""
    return [row[0] for row in log.execute(sql, arguments)]
