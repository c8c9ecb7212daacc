"""Taking one person out of the decision log, and out of the bytes of its file."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

from adplatform.contracts.errors import SetupError
from adplatform.store.decision_file import connect
from adplatform.store.decision_upkeep import rows_of, transaction
from adplatform.store.tokens import names

WAIT_SECONDS: Final = 30.0


class Erased(NamedTuple):
    """Rows that were removed."""

    decisions: int = 0
    events: int = 0
    answers: int = 0
    rejected: int = 0

    @property
    def any(self) -> bool:
        """Whether there were any."""
        return any(self)


def erase_user(path: Path, user_id: str) -> Erased:
    """Remove the person's decisions with their events and answers, and rejected events that name the person or those.

    In one transaction; servers may write meanwhile. ``scrub`` takes the bytes out of the file.
    """
    with closing(connect(path)) as log:
        log.execute("pragma secure_delete = on")
        log.create_function("names", 2, lambda text, word: _names(text, word), deterministic=True)
        erased = Erased()
        while True:  # the search reads alone; what a server adds meanwhile is found by the next round
            found = _find(log, user_id)
            if not any(found.values()):
                return erased
            with transaction(log):
                removed = Erased(**{table: _delete(log, table, found[table]) for table in Erased._fields})
                _delete(log, "joined", found["joined"])
            erased = Erased(*(a + b for a, b in zip(erased, removed, strict=True)))


def scrub(path: Path) -> None:
    """Write the file anew without what was removed, free pages and journal too. Raises SetupError where readers hold it."""
    with closing(connect(path)) as log:
        log.execute("pragma secure_delete = on")
        log.execute("vacuum")
        deadline = time.monotonic() + WAIT_SECONDS
        while log.execute("pragma wal_checkpoint(truncate)").fetchone()[0]:
            if time.monotonic() > deadline:
                raise SetupError(
                    f"{path}: a reader holds its journal", "run the command again, or end the servers first"
                )
            time.sleep(0.1)


def _find(log: sqlite3.Connection, user_id: str) -> dict[str, list[Any]]:
    """Row numbers of what is the person's, by table; of ``answers``, which has none, (caller, key)."""
    log.execute("create temp table if not exists theirs (decision_id text primary key) without rowid")
    log.execute("delete from theirs")
    log.execute("insert into theirs select decision_id from decisions where user_id = ?", (user_id,))
    of_theirs = "decision_id in (select decision_id from theirs)"
    answers = log.execute(
        "select caller, key from answers where names(key, ?1) or names(body, ?1) or json_valid(cast(body as text)) "
        "and json_extract(cast(body as text), '$.decision_id') in (select decision_id from theirs)",
        (user_id,),
    ).fetchall()
    return {
        "decisions": rows_of(log, f"select sequence from decisions where {of_theirs}"),
        "events": rows_of(log, f"select sequence from events where {of_theirs}"),
        "joined": rows_of(
            log, f"select j.sequence from joined j join events e using (event_id) where {of_theirs}"
        ),
        "answers": answers,
        "rejected": rows_of(
            log,
            "select sequence from rejected where names(event_id, ?1) or names(payload, ?1) or names(reason, ?1) "
            "or json_extract(cast(payload as text), '$.decision_id') in (select decision_id from theirs)",
            (user_id,),
        ),
    }  # fmt: skip


def _delete(log: sqlite3.Connection, table: str, rows: list[Any]) -> int:
    if table == "answers":
        return log.executemany("delete from answers where caller = ? and key = ?", rows).rowcount if rows else 0
    return log.executemany(f"delete from {table} where sequence = ?", [(r,) for r in rows]).rowcount if rows else 0


def _names(text: object, word: str) -> bool:
    content = text.encode() if isinstance(text, str) else text
    return isinstance(content, bytes) and names(content, word)
