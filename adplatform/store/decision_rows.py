"""A day of the decision log as landing tables: decisions, and what followed them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa

from adplatform.contracts.errors import AdPlatformError
from adplatform.contracts.profiles import Outcome
from adplatform.contracts.serving import EventKind, LoggedDecision
from adplatform.contracts.tables import TABLES
from adplatform.store.convert import schema_of
from adplatform.store.decision_file import bounds, connect, from_micros, reading

LANDED: Final = ("decision_log", "impressions", "clicks", "conversions")
"""The tables of a day, in an order in which references can be checked."""
_OUTCOME: Final = (
    "e.event_id, e.kind, e.decision_id, d.user_id, d.creative_id, d.decided_at, e.occurred_at "
    "from joined j join events e using (event_id) join decisions d using (decision_id)"
)


class Advertised(NamedTuple):
    """Whose a creative is."""

    campaign_id: str
    product_id: str


def tables_of(path: Path, day: date, library: Mapping[str, Advertised]) -> dict[str, pa.Table]:
    """The day's rows by landing table.

    A decision is an impression once an impression or a click says that it was shown; its time is the decision's. A
    click and a conversion lie in the day they occurred on; a conversion of nobody known has no row, because purchases
    are attributed by user. Events that are held have none yet. The impression of a click of the day comes with it,
    whatever its own day.
    """
    with reading(path) as log:
        shown = log.execute(
            "select distinct d.payload from decisions d join events e using (decision_id) "
            "where e.kind in ('impression', 'click') and (d.decided_at >= :start and d.decided_at < :end "
            "or e.kind = 'click' and e.occurred_at >= :start and e.occurred_at < :end)",
            dict(zip(("start", "end"), bounds(day), strict=True)),
        )
        impressions = [_impression(_read(row[0]), library) for row in shown]
        decisions = [
            _decision(_read(row[0]))
            for row in log.execute(
                "select payload from decisions where decided_at >= ? and decided_at < ?", bounds(day)
            )
        ]
        events = _events(log, day, library)
    rows = {"decision_log": decisions, "impressions": impressions, **events}
    return {name: pa.Table.from_pylist(rows[name], schema=schema_of(TABLES[name])) for name in LANDED}


def days_with_events(path: Path) -> list[date]:
    """UTC days on which something was decided or occurred, in order."""
    with reading(path) as log:
        found = log.execute(
            "select decided_at / 86400000000 from decisions union select occurred_at / 86400000000 from events"
        ).fetchall()
    return sorted(from_micros(row[0] * 86_400_000_000).date() for row in found)


def outcomes(log: sqlite3.Connection) -> Iterator[tuple[int, Outcome]]:
    """Everything that joined, in that order, with when it could be told: once it and its decision were there, in
    microseconds since 1970.
    """
    rows = log.execute(f"select max(e.received_at, d.decided_at), {_OUTCOME} order by j.sequence")
    return ((came, _outcome(row)) for came, *row in rows)


class Tail:
    """Follows the log from its first event: what each joined event means for a profile, once, in the order of joining."""

    def __init__(self, path: Path) -> None:
        self._log, self._last = connect(path, read_only=True), 0

    def read(self, most: int = 10_000) -> list[Outcome]:
        """Outcomes that joined since the last call, ``most`` at once; none when all were read. Raises AdPlatformError."""
        rows = self._joined("j.sequence > ? order by j.sequence limit ?", self._last, most)
        if rows:
            self._last = rows[-1][0]
        return _outcomes(rows)

    def of_days_before(self, at: datetime) -> list[Outcome]:
        """Outcomes so far that a profile of the UTC day of ``at`` knows of; ``read`` gives them again."""
        start, _ = bounds(at.astimezone(UTC).date())
        return _outcomes(self._joined("d.decided_at < ? or e.occurred_at < ?", start, start))

    def close(self) -> None:
        """Close the file."""
        self._log.close()

    def _joined(self, where: str, *values: int) -> list[tuple[Any, ...]]:
        try:
            return self._log.execute(f"select j.sequence, {_OUTCOME} where {where}", values).fetchall()
        except sqlite3.Error as error:
            raise AdPlatformError(f"the decision log cannot be followed ({error})") from error


def _outcomes(rows: Iterable[Sequence[Any]]) -> list[Outcome]:
    return [_outcome(row) for _, *row in rows]


def _outcome(row: Sequence[Any]) -> Outcome:
    event, kind, decision, user, creative, decided, occurred = row
    return Outcome(event, EventKind(kind), decision, user, creative, from_micros(decided), from_micros(occurred))


def _events(log: sqlite3.Connection, day: date, library: Mapping[str, Advertised]) -> dict[str, list[dict[str, Any]]]:
    found = log.execute(
        "select e.kind, e.event_id, e.decision_id, e.occurred_at, e.value, d.user_id, d.creative_id "
        "from events e join decisions d using (decision_id) "
        "where e.occurred_at >= ? and e.occurred_at < ? and e.kind in ('click', 'conversion')",
        bounds(day),
    )
    clicks, conversions = [], []
    for kind, event_id, decision_id, occurred_at, value, user_id, creative_id in found:
        at = from_micros(occurred_at)
        if kind == "click":
            clicks.append({"click_id": event_id, "impression_id": decision_id, "occurred_at": at})
        elif user_id is not None:
            product = library[creative_id].product_id
            conversions.append(
                {
                    "conversion_id": event_id,
                    "user_id": user_id,
                    "product_id": product,
                    "occurred_at": at,
                    "value": value,
                }
            )
    return {"clicks": clicks, "conversions": conversions}


def _read(payload: bytes) -> LoggedDecision:
    return LoggedDecision.model_validate_json(payload)


def _decision(logged: LoggedDecision) -> dict[str, Any]:
    made, asked, shadow = logged.decision, logged.request, logged.shadow
    return {
        "decision_id": made.decision_id,
        "decided_at": made.decided_at,
        "user_id": asked.user_id if logged.personal else None,
        "creative_id": made.creative_id,
        "placement": asked.placement,
        "position": asked.position,
        "policy_version": made.policy_version,
        "propensity": made.propensity,
        "profile_version": made.profile_version,
        "candidates": json.dumps(asked.candidates),
        "probabilities": json.dumps(logged.probabilities),
        "context": json.dumps(logged.context, sort_keys=True),
        "exposures": json.dumps(logged.exposures),
        "shadow_version": shadow.policy_version if shadow else None,
        "shadow_probabilities": json.dumps(shadow.probabilities) if shadow else None,
    }


def _impression(logged: LoggedDecision, library: Mapping[str, Advertised]) -> dict[str, Any]:
    made, asked = logged.decision, logged.request
    return {
        "impression_id": made.decision_id,
        "user_id": asked.user_id if logged.personal else None,
        "campaign_id": library[made.creative_id].campaign_id,
        "creative_id": made.creative_id,
        "occurred_at": made.decided_at,
        "placement": asked.placement,
        "position": asked.position,
        "policy_version": made.policy_version,
        "propensity": made.propensity,
    }
