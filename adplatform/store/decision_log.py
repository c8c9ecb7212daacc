"""The decision log: the one owner of durability and uniqueness online, whatever the number of workers.

A SQLite file in WAL mode with ``synchronous=FULL``: what is committed survives a kill -9 and a power cut, an id is
there once, and several processes may write. Each process has one writer thread; it commits whatever has queued up
meanwhile as one transaction, so that a burst shares one sync. A caller's future ends after the commit, never before;
one that was cancelled before its turn leaves nothing.
"""

from __future__ import annotations

import hashlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from adplatform.contracts.errors import AdPlatformError, SetupError
from adplatform.contracts.serving import Event
from adplatform.store.decision_file import connect, micros

MOST_TOGETHER: Final = 256
"""Pieces of work in one transaction."""


class KeyConflict(AdPlatformError):
    """The idempotency key was used before with another body."""


class Unwritable(SetupError):
    """The log could not be written (a full disk); nothing was acknowledged."""


class Idempotency(NamedTuple):
    """A client's key for a change, and the hash of the body it came with."""

    caller: str
    key: str
    digest: bytes

    @classmethod
    def of(cls, caller: str, key: str, body: bytes) -> Idempotency:
        """The key with the SHA-256 of the body."""
        return cls(caller, key, hashlib.sha256(body).digest())


class NewDecision(NamedTuple):
    """A decision to record: ``payload`` is a LoggedDecision as JSON, ``answer`` what the client is told."""

    decision_id: str
    decided_at: datetime
    user_id: str | None
    creative_id: str
    payload: bytes
    answer: bytes


class Judged(NamedTuple):
    """An event of a batch: valid, or with the reason why not. ``payload`` is its JSON as it came."""

    event_id: str | None
    event: Event | None
    payload: bytes
    reason: str | None


class Accepted(NamedTuple):
    """What came of a batch; ``rejected`` holds (index, event id, reason)."""

    accepted: int
    duplicates: int
    held: int
    rejected: tuple[tuple[int, str | None, str], ...]


Work = Callable[[sqlite3.Connection], Any]


class DecisionLog:
    """The log at ``path``. Use it as a context manager: leaving it commits what is queued and ends the writer."""

    def __init__(self, path: Path, commit: Callable[[sqlite3.Connection], None] = sqlite3.Connection.commit) -> None:
        self.path, self._commit = path, commit
        self._queue: queue.SimpleQueue[tuple[Work, Future[Any]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> DecisionLog:
        with closing(connect(self.path)):
            pass  # made and migrated before the first request
        self._thread = threading.Thread(target=self._write, name="decision-log", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._queue.put(None)
        if self._thread:
            self._thread.join()

    def record(self, new: NewDecision, key: Idempotency | None = None) -> Future[bytes]:
        """The answer to give, once it is durable: an earlier one where the key was used before.

        The future raises KeyConflict where the key came with another body, Unwritable on a full disk.
        """

        def work(connection: sqlite3.Connection) -> bytes:
            earlier = kept_answer(connection, key) if key else None
            if earlier is not None:
                return earlier
            connection.execute(
                "insert into decisions (decision_id, decided_at, user_id, creative_id, payload) values (?, ?, ?, ?, ?)",
                (new.decision_id, micros(new.decided_at), new.user_id, new.creative_id, new.payload),
            )
            early = connection.execute(
                "update events set held = 0 where decision_id = ? and held = 1 returning event_id", (new.decision_id,)
            ).fetchall()
            connection.executemany("insert into joined (event_id) values (?)", early)
            if key:
                keep_answer(connection, key, new.answer, new.decided_at)
            return new.answer

        return self._submit(work)

    def accept(self, events: Sequence[Judged], received_at: datetime) -> Future[Accepted]:
        """Store a batch. Raises, in the future, Unwritable on a full disk; nothing of the batch is kept then."""
        return self._submit(lambda connection: accept_events(connection, events, micros(received_at)))

    def once(self, key: Idempotency, answer: bytes, at: datetime) -> Future[bytes]:
        """Keep an answer under its key, or give the one that is kept. For changes that leave nothing else here."""

        def work(connection: sqlite3.Connection) -> bytes:
            earlier = kept_answer(connection, key)
            if earlier is None:
                keep_answer(connection, key, answer, at)
            return answer if earlier is None else earlier

        return self._submit(work)

    def expire(self, now: datetime, horizon: timedelta) -> Future[int]:
        """Reject events whose decision has not come within ``horizon`` of their arrival; they are kept. How many."""
        return self._submit(lambda connection: _expire(connection, micros(now), micros(now - horizon)))

    def _submit(self, work: Work) -> Future[Any]:
        future: Future[Any] = Future()
        self._queue.put((work, future))
        return future

    def _write(self) -> None:
        connection = connect(self.path)
        ending = False
        while not ending:
            taken = [self._queue.get()]
            while len(taken) < MOST_TOGETHER and not self._queue.empty():
                taken.append(self._queue.get())
            ending = None in taken
            some = [t for t in taken if t is not None and t[1].set_running_or_notify_cancel()]
            if len(some) > 1 and self._together(connection, some):
                continue
            for one in some:  # one by one where together one of them failed
                self._together(connection, [one], last=True)
        connection.close()

    def _together(
        self, connection: sqlite3.Connection, some: list[tuple[Work, Future[Any]]], last: bool = False
    ) -> bool:
        """Do the work in one transaction; futures end after its commit. False if it failed and nothing was done."""
        try:
            connection.execute("begin immediate")
            results = [work(connection) for work, _ in some]
            self._commit(connection)
        except Exception as error:  # noqa: BLE001 - whatever it was, the callers must hear of it
            if connection.in_transaction:
                connection.rollback()
            if last:
                for _, future in some:
                    future.set_exception(_told(error, self.path))
            return False
        for (_, future), result in zip(some, results, strict=True):
            future.set_result(result)
        return True


def _told(error: Exception, path: Path) -> Exception:
    if isinstance(error, sqlite3.OperationalError | OSError):
        return Unwritable(f"{path} cannot be written ({error})", "free some space, then send it again")
    return error


def kept_answer(connection: sqlite3.Connection, key: Idempotency) -> bytes | None:
    """The answer that was given for this key. Raises KeyConflict where it came with another body."""
    row = connection.execute(
        "select digest, body from answers where caller = ? and key = ?", (key.caller, key.key)
    ).fetchone()
    if row is None:
        return None
    if row[0] != key.digest:
        raise KeyConflict(f"idempotency key {key.key}: was used with another body; send a new key")
    return bytes(row[1])


def keep_answer(connection: sqlite3.Connection, key: Idempotency, body: bytes, at: datetime) -> None:
    """Keep an answer with the transaction that made it true."""
    connection.execute(
        "insert into answers (caller, key, digest, body, created_at) values (?, ?, ?, ?, ?)",
        (key.caller, key.key, key.digest, body, micros(at)),
    )


def accept_events(connection: sqlite3.Connection, events: Sequence[Judged], received_at: int) -> Accepted:
    """Store a batch within the open transaction; ``received_at`` in microseconds since 1970."""
    accepted = duplicates = held = 0
    rejected: list[tuple[int, str | None, str]] = []
    for index, judged in enumerate(events):
        reason, event = judged.reason, judged.event
        if event is not None:
            digest = hashlib.sha256(event.model_dump_json().encode()).digest()
            row = connection.execute(
                "insert into events (event_id, digest, kind, decision_id, occurred_at, received_at, value, held) "
                "values (?, ?, ?, ?, ?, ?, ?, not exists (select 1 from decisions where decision_id = ?)) "
                "on conflict (event_id) do nothing returning held",
                (event.event_id, digest, event.kind.value, event.decision_id, micros(event.occurred_at), received_at,
                 event.value, event.decision_id),
            ).fetchone()  # fmt: skip
            if row is not None:
                accepted, held = accepted + 1, held + row[0]
                if not row[0]:
                    connection.execute("insert into joined (event_id) values (?)", (event.event_id,))
                continue
            known = connection.execute("select digest from events where event_id = ?", (event.event_id,)).fetchone()
            if known[0] == digest:
                duplicates += 1
                continue
            reason = "event_id: is known with other content; an event does not change, send another id"
        rejected.append((index, judged.event_id, str(reason)))
        connection.execute(
            "insert into rejected (received_at, event_id, reason, payload) values (?, ?, ?, ?) on conflict do nothing",
            (received_at, judged.event_id or "", reason, judged.payload),
        )
    return Accepted(accepted, duplicates, held, tuple(rejected))


def _expire(connection: sqlite3.Connection, now: int, before: int) -> int:
    late = "from events where held = 1 and received_at < ?"
    moved = connection.execute(
        "insert into rejected (received_at, event_id, reason, payload) select ?, event_id, "
        "'decision_id: no such decision came within the horizon', json_object('event_id', event_id, 'kind', kind, "
        f"'decision_id', decision_id, 'occurred_at', occurred_at, 'value', value) {late} on conflict do nothing",
        (now, before),
    ).rowcount
    connection.execute(f"delete {late}", (before,))
    return moved
