"""Compaction: what has landed and is old leaves the decision log; what has not landed never does."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow.compute as pc

from adplatform.contracts.tables import TABLES
from adplatform.store.decision_file import connect, from_micros, micros
from adplatform.store.decision_upkeep import AT_ONCE, Progress, give_back, rows_of, start_of, transaction
from adplatform.store.zone import Zone

_KEYS: Final = {
    "decision_log": "decision_id",
    "impressions": "impression_id",
    "clicks": "click_id",
    "conversions": "conversion_id",
}
_LANDED: Final = "exists (select 1 from landed where what = '{}' and id = {})"
_NOT_LANDED: Final = f"""
    select distinct d.decision_id from events e join decisions d using (decision_id)
    where d.decided_at < :before and not (e.occurred_at < :before and case e.kind
        when 'conversion' then d.user_id is null or {_LANDED.format("conversions", "e.event_id")}
        when 'click' then {_LANDED.format("clicks", "e.event_id")} and {_LANDED.format("impressions", "d.decision_id")}
        else {_LANDED.format("impressions", "d.decision_id")} end)
"""


class Compacted(NamedTuple):
    """What left the log, what is older but stays because it has not landed whole, and the file's size before and after."""

    decisions: int
    events: int
    answers: int
    waiting: int
    bytes_before: int
    bytes_after: int
    rewritten: bool
    """Whether the whole file was written anew, as one made before its pages could be given back singly is, once."""


def compact(
    path: Path, landing: Path, before: date, answers_before: datetime, progress: Progress = lambda share: None
) -> Compacted:
    """Remove decisions of days before ``before`` with their events, where each of them is landed, and old answers.

    A conversion of nobody known has no row to land. Servers may write meanwhile: an event that comes for a decision keeps it.
    """
    size = path.stat().st_size
    with closing(connect(path)) as log:
        floor = _newest(log)
        _choose(log, Zone(landing), start_of(before), floor)
        (chosen,) = log.execute("select count(*) from gone").fetchone()
        old = log.execute("select count(*) from decisions where decided_at < ?", (start_of(before),)).fetchone()[0]
        decisions = events = 0
        for part in _parts(rows_of(log, "select decision_id from gone")):
            taken = _remove(log, part, floor)
            decisions, events = decisions + taken[0], events + taken[1]
            progress(decisions / max(1, chosen))
        answers = _remove_answers(log, micros(answers_before))
        rewritten = not give_back(log)
    return Compacted(decisions, events, answers, old - decisions, size, path.stat().st_size, rewritten)


def _newest(log: sqlite3.Connection) -> int:
    """The last joined event: its decision stays, so that every event that comes from now on has a higher number."""
    return int(log.execute("select coalesce(max(sequence), 0) from events where held = 0").fetchone()[0])


def _choose(log: sqlite3.Connection, zone: Zone, before: int, floor: int) -> None:
    """Fill the temporary table ``gone`` with what may leave; reads alone, so no writer waits."""
    log.execute("create temp table landed (what text, id text, primary key (what, id)) without rowid")
    days = rows_of(
        log,
        "select distinct decided_at / 86400000000 from decisions where decided_at < ? "
        "union select distinct occurred_at / 86400000000 from events where occurred_at < ?",
        (before, before),
    )
    for day in (from_micros(d * 86_400_000_000).date() for d in days):
        for what, key in _KEYS.items():
            ids = pc.unique(zone.read(TABLES[what], day, [key])[key]).to_pylist()
            log.executemany("insert or ignore into landed values (?, ?)", ((what, name) for name in ids))
    log.execute(f"create temp table waiting as {_NOT_LANDED}", {"before": before})
    log.execute("insert into waiting select decision_id from events where sequence = ?", (floor,))
    log.execute("create temp table gone (decision_id text primary key) without rowid")
    log.execute(
        f"insert into gone select decision_id from decisions d where decided_at < ? "
        f"and {_LANDED.format('decision_log', 'd.decision_id')} and decision_id not in (select decision_id from waiting)",
        (before,),
    )
    log.execute("create temp table gone_events (decision_id text, event integer, joined integer)")
    log.execute(
        "insert into gone_events select e.decision_id, e.sequence, j.sequence "
        "from joined j join events e using (event_id) join gone using (decision_id)"
    )
    log.execute("create index temp.gone_events_of on gone_events (decision_id)")


def _parts(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), AT_ONCE):
        yield names[start : start + AT_ONCE]


def _remove(log: sqlite3.Connection, names: list[str], floor: int) -> tuple[int, int]:
    """Remove these decisions but for those that an event came for meanwhile; decisions and events removed."""
    with transaction(log):
        late = set(rows_of(log, "select decision_id from events where sequence > ?", (floor,)))
        some = [(name,) for name in names if name not in late]
        events = 0
        for name in some:
            events += log.execute(
                "delete from events where sequence in (select event from gone_events where decision_id = ?)", name
            ).rowcount
            log.execute(
                "delete from joined where sequence in (select joined from gone_events where decision_id = ?)", name
            )
        decisions = log.executemany("delete from decisions where decision_id = ?", some).rowcount if some else 0
    return decisions, events


def _remove_answers(log: sqlite3.Connection, before: int) -> int:
    removed = 0
    while True:
        with transaction(log):
            some = log.execute(
                "delete from answers where (caller, key) in (select caller, key from answers where created_at < ? limit ?)",
                (before, AT_ONCE),
            ).rowcount
        removed += some
        if some < AT_ONCE:
            return removed
