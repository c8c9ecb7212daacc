"""The decision log: the one owner of durability and uniqueness online, whatever the number of workers.

A SQLite file in WAL mode with ``synchronous=FULL``: what is committed survives a kill -9 and a power cut, an id is
there once, and several processes may write. Each process has one writer thread; it commits whatever has queued up
meanwhile as one transaction, so that a burst shares one sync. A caller's future ends after the commit, never before;
one that was cancelled before its turn leaves nothing. Many rows go in by one statement, and a trigger joins what came
before them: SQLite gives up the interpreter's lock for each statement, and a busy event loop takes up to its switch
interval to give it back.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import closing, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from adplatform.contracts.errors import SetupError
from adplatform.store.decision_file import connect, micros
from adplatform.store.decision_writes import (
    Accepted,
    Idempotency,
    Judged,
    NewDecision,
    accept_events,
    expire,
    insert_decisions,
    keep_answer,
    kept_answer,
)

MOST_TOGETHER: Final = 256
"""Groups of work in one transaction."""


class Unwritable(SetupError):
    """The log could not be written (a full disk); nothing was acknowledged."""


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
            insert_decisions(connection, [new])
            return new.answer

        return self._submit(new) if key is None else self._once(key, work, new.decided_at)

    def accept(self, events: Sequence[Judged], received_at: datetime) -> Future[Accepted]:
        """Store a batch. Raises, in the future, Unwritable on a full disk; nothing of the batch is kept then."""
        return self._submit(lambda connection: accept_events(connection, events, micros(received_at)))

    def report(
        self,
        events: Sequence[Judged],
        received_at: datetime,
        told: Callable[[Accepted], bytes],
        key: Idempotency | None,
    ) -> Future[bytes]:
        """``accept``, and the answer that ``told`` makes of it; an earlier one, and nothing stored, where the key was used
        before. The future raises KeyConflict as well, where the key came with another body.
        """

        def work(connection: sqlite3.Connection) -> bytes:
            return told(accept_events(connection, events, micros(received_at)))

        return self._submit(work) if key is None else self._once(key, work, received_at)

    def once(self, key: Idempotency, answer: bytes, at: datetime) -> Future[bytes]:
        """Keep an answer under its key, or give the one that is kept. For changes that leave nothing else here."""
        return self._once(key, lambda _: answer, at)

    def _once(self, key: Idempotency, change: Callable[[sqlite3.Connection], bytes], at: datetime) -> Future[bytes]:
        """The answer that ``change`` makes, kept in its transaction; where one is kept already that, and no change."""

        def work(connection: sqlite3.Connection) -> bytes:
            earlier = kept_answer(connection, key)
            if earlier is not None:
                return earlier
            answer = change(connection)
            keep_answer(connection, key, answer, at)
            return answer

        return self._submit(work)

    def expire(self, now: datetime, horizon: timedelta) -> Future[int]:
        """Reject events whose decision has not come within ``horizon`` of their arrival; they are kept. How many."""
        return self._submit(lambda connection: expire(connection, micros(now), micros(now - horizon)))

    def _submit(self, work: Work) -> Future[Any]:
        future: Future[Any] = Future()
        self.hand_over(Group([(work, future)], settle))
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


def settle(results: Sequence[tuple[Any, Any, Exception | None]]) -> None:
    """Tell futures, of a thread or of the event loop that this runs in, how their work ended, but for cancelled ones."""
    for future, result, error in results:
        if not future.done():
            with suppress(InvalidStateError):  # cancelled by another thread just now
                future.set_result(result) if error is None else future.set_exception(error)


def _told(error: Exception, path: Path) -> Exception:
    if isinstance(error, sqlite3.OperationalError | OSError):
        return Unwritable(f"{path} cannot be written ({error})", "free some space, then send it again")
    return error
