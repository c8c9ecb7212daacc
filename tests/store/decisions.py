"""Decisions and events as the gateway records them, for the tests of the log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from adplatform.contracts.serving import Event, EventKind
from adplatform.decisions import land_day
from adplatform.state import State
from adplatform.store.decision_file import reading
from adplatform.store.decision_log import DecisionLog
from adplatform.store.decision_writes import Idempotency, Judged, NewDecision

DAY = timedelta(days=1)
AT = datetime(2026, 2, 20, 23, 59, 59, 999999, tzinfo=UTC)


def decision(name: str, user: str | None = "u-1", at: datetime = AT) -> NewDecision:
    logged = {
        "decision": {
            "decision_id": name, "decided_at": at.isoformat(), "creative_id": "k-1", "propensity": 0.1 + 0.2,
            "policy_version": "v1", "reasons": ["drawn"], **({"profile_version": "p1"} if user else {}),
        },
        "request": {"candidates": ["k-1", "k-2"], "placement": "feed", "position": 2, **({"user_id": user} if user else {})},
        "personal": user is not None,
        "context": {"hour": 23, "audience": None},
        "exposures": [1.0 if user else None, None],
        "probabilities": [0.1 + 0.2, 0.7],
    }  # fmt: skip
    return NewDecision(name, at, user, "k-1", orjson.dumps(logged), b"{}")


def event(name: str, kind: EventKind, decision_id: str, later: float = 0.0, value: float | None = None) -> Judged:
    made = Event(
        event_id=name, kind=kind, decision_id=decision_id, occurred_at=AT + timedelta(seconds=later), value=value
    )
    return Judged(name, made, b"{}", None)


LATER = AT + 40 * DAY


def kept(path: Path, sql: str) -> list[str]:
    with reading(path) as log:
        return sorted(str(row[0]) for row in log.execute(sql))


def decisions(path: Path) -> list[str]:
    return kept(path, "select decision_id from decisions")


def fill_days(state: State) -> None:
    """d1 with an impression and a click, d2 with nothing, d3 of nobody with a conversion, d4 a day later, d5 the newest."""
    with DecisionLog(state.settings.decisions) as log:
        for new in (
            decision("d1"), decision("d2"), decision("d3", None), decision("d4", at=AT + DAY), decision("d5", at=LATER),
        ):  # fmt: skip
            log.record(new, Idempotency.of("key", new.decision_id, b"body")).result(5)
        sent = [
            event("i1", EventKind.IMPRESSION, "d1"), event("c1", EventKind.CLICK, "d1", 5),
            event("v3", EventKind.CONVERSION, "d3", 60, 9.5), event("i4", EventKind.IMPRESSION, "d4", 86_400),
            event("i5", EventKind.IMPRESSION, "d5", 40 * 86_400),
        ]  # fmt: skip
        log.accept(sent, AT).result(5)


def land(state: State, *days: datetime) -> None:
    for day in days:
        land_day(state, day.date())
