"""The decision log: the one owner of durability and uniqueness online, whatever the number of workers.

A SQLite file in WAL mode with ``synchronous=FULL``: what is committed survives a kill -9 and a power cut, an id is
there once, and several processes may write. Each process has one writer thread; it commits whatever has queued up
meanwhile as one transaction, so that a burst shares one sync. A caller's future ends after the commit, never before;
one that was cancelled before its turn leaves nothing. Many rows go in by one statement, and a trigger joins what came
before them: SQLite gives up the interpreter's lock for each statement, and a busy event loop takes up to its switch
interval to give it back.
"""

from __future__ import annotations

import hashlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import closing, suppress
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from adplatform.contracts.errors import AdPlatformError, SetupError
from adplatform.contracts.serving import Event
from adplatform.store.decision_file import connect, micros

MOST_TOGETHER: Final = 256
"""Pieces of work in one transaction."""
_LISTED: Final = "(select value from json_each(?))"


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
    """An event of a batch: valid, or the reason why not and its JSON as it came."""

    event_id: str | None
    event: Event | None
    payload: bytes | None
    reason: str | None


class Accepted(NamedTuple):
    """What came of a batch; ``rejected`` holds (index, event id, reason)."""

    accepted: int
    duplicates: int
    held: int
    rejected: tuple[tuple[int, str | None, str], ...]


Work = Callable[[sqlite3.Connection], Any] | NewDecision
"""What one caller wants done in a transaction, or a decision to record, which goes in with others."""


class Group(NamedTuple):
    """Work that is handed over together, each piece with its future, and what hears, in the writer's thread, how each
    ended, with a result once it is durable, or an error.
    """

    some: Sequence[tuple[Work, Any]]
    tell: Callable[[Sequence[tuple[Any, Any, Exception | None]]], None]


class DecisionLog:
    """The log at ``path``. Use it as a context manager: leaving it commits what is queued and ends the writer."""

    def __init__(self, path: Path, commit: Callable[[sqlite3.Connection], None] = sqlite3.Connection.commit) -> None:
        self.path, self._commit = path, commit
        self._queue: queue.SimpleQueue[Group | None] = queue.SimpleQueue()
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
            assert key
            earlier = kept_answer(connection, key)
            if earlier is not None:
                return earlier
            insert_decisions(connection, [new])
            keep_answer(connection, key, new.answer, new.decided_at)
            return new.answer

        return self._submit(work if key else new)

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
        self.hand_over(Group([(work, future)], _settle))
        return future

    def hand_over(self, group: Group) -> None:
        """Have it done by the writer."""
        self._queue.put(group)

    def _write(self) -> None:
        connection = connect(self.path)
        ending = False
        while not ending:
            taken = [self._queue.get()]
            while len(taken) < MOST_TOGETHER and not self._queue.empty():
                taken.append(self._queue.get())
            ending = None in taken
            groups = [g for g in taken if g is not None]
            if len(groups) > 1 and self._together(connection, groups):
                continue
            for group in groups:  # one by one where together one of them failed
                alone = len(group.some) == 1
                if not self._together(connection, [group], last=alone) and not alone:
                    for one in group.some:
                        self._together(connection, [Group([one], group.tell)], last=True)
        connection.close()

    def _together(self, connection: sqlite3.Connection, groups: Sequence[Group], last: bool = False) -> bool:
        """Do the work in one transaction; callers hear of it after its commit. False if it failed and nothing was done."""
        todo = [(group.tell, [one for one in group.some if not one[1].cancelled()]) for group in groups]
        if not any(some for _, some in todo):
            return True  # nobody waits any more
        try:
            connection.execute("begin immediate")
            insert_decisions(connection, [w for _, some in todo for w, _ in some if isinstance(w, NewDecision)])
            done = [
                (tell, [(f, w.answer if isinstance(w, NewDecision) else w(connection), None) for w, f in some])
                for tell, some in todo
            ]
            self._commit(connection)
        except Exception as error:  # noqa: BLE001 - whatever it was, the callers must hear of it
            if connection.in_transaction:
                connection.rollback()
            if last:
                for tell, some in todo:
                    tell([(future, None, _told(error, self.path)) for _, future in some])
            return False
        for tell, results in done:
            tell(results)
        return True


def _settle(results: Sequence[tuple[Future[Any], Any, Exception | None]]) -> None:
    for future, result, error in results:
        with suppress(InvalidStateError):  # cancelled meanwhile
            future.set_result(result) if error is None else future.set_exception(error)


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


def insert_decisions(connection: sqlite3.Connection, some: Sequence[NewDecision]) -> None:
    """Record decisions within the open transaction; a trigger joins the events that came before them."""
    if not some:
        return
    rows = [(n.decision_id, micros(n.decided_at), n.user_id, n.creative_id, n.payload) for n in some]
    _insert(connection, "decisions (decision_id, decided_at, user_id, creative_id, payload)", rows)


def accept_events(connection: sqlite3.Connection, events: Sequence[Judged], received_at: int) -> Accepted:
    """Store a batch within the open transaction; ``received_at`` in microseconds since 1970."""
    good = [judged.event for judged in events if judged.event is not None]
    ids, decisions = _list(e.event_id for e in good), _list({e.decision_id for e in good})
    kept = connection.execute(f"select event_id, digest from events where event_id in {_LISTED}", (ids,)).fetchall()
    decided = connection.execute(
        f"select json_group_array(decision_id) from decisions where decision_id in {_LISTED}", (decisions,)
    ).fetchone()
    known, joins = dict[str, bytes](kept), set(orjson.loads(decided[0]))
    new: list[tuple[Any, ...]] = []
    rejected: list[tuple[int, str | None, str]] = []
    payloads: list[bytes | None] = []
    for index, (event_id, event, payload, reason) in enumerate(events):
        if event is not None:
            payload = event.model_dump_json().encode()
            digest = hashlib.sha256(payload).digest()
            before = known.setdefault(event.event_id, digest)
            if before is digest:
                new.append((event.event_id, digest, event.kind.value, event.decision_id, micros(event.occurred_at),
                            received_at, event.value, event.decision_id not in joins))  # fmt: skip
            if before == digest:
                continue
            reason = "event_id: is known with other content; an event does not change, send another id"
        rejected.append((index, event_id, str(reason)))
        payloads.append(payload)
    _insert(connection, "events (event_id, digest, kind, decision_id, occurred_at, received_at, value, held)", new)
    _insert(connection, "joined (event_id)", [row[:1] for row in new if not row[-1]])
    connection.executemany(
        "insert into rejected (received_at, event_id, reason, payload) values (?, ?, ?, ?) on conflict do nothing",
        [(received_at, event_id or "", why, p) for (_, event_id, why), p in zip(rejected, payloads, strict=True)],
    )
    held = sum(row[-1] for row in new)
    return Accepted(len(new), len(events) - len(new) - len(rejected), held, tuple(rejected))


def _list(values: Iterable[str]) -> str:
    """What ``_LISTED`` reads: many values as one parameter."""
    return orjson.dumps(list(values)).decode()


def _insert(connection: sqlite3.Connection, into: str, rows: Sequence[Sequence[Any]]) -> None:
    """All rows by one statement."""
    if rows:
        one = f"({','.join('?' * len(rows[0]))})"
        connection.execute(f"insert into {into} values {','.join([one] * len(rows))}", list(chain.from_iterable(rows)))


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
