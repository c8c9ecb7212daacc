"""What the decision log keeps of decisions, events and answers: each function works within the caller's transaction."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, Final, NamedTuple

import orjson

from adplatform.contracts.errors import AdPlatformError
from adplatform.contracts.serving import Event
from adplatform.store.decision_file import micros

_LISTED: Final = "(select value from json_each(?))"


class KeyConflict(AdPlatformError):
    """The idempotency key was used before with another body."""


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


def expire(connection: sqlite3.Connection, now: int, before: int) -> int:
    """Reject events that have been held since ``before``, and keep them; how many. Both in microseconds since 1970."""
    late = "from events where held = 1 and received_at < ?"
    moved = connection.execute(
        "insert into rejected (received_at, event_id, reason, payload) select ?, event_id, "
        "'decision_id: no such decision came within the horizon', json_object('event_id', event_id, 'kind', kind, "
        f"'decision_id', decision_id, 'occurred_at', occurred_at, 'value', value) {late} on conflict do nothing",
        (now, before),
    ).rowcount
    connection.execute(f"delete {late}", (before,))
    return moved
