"""When a drift report may start a training: once for each report, and at most so often in a week."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

from adplatform.contracts.monitoring import DriftReport

WEEK: Final = timedelta(days=7)


class Attempt(NamedTuple):
    """A training that drift started: its cause, the day of the report behind it, when, and whether it still runs."""

    cause: str
    report_day: date
    started: datetime
    open: bool


class Request(NamedTuple):
    """A training to start; ``run_key`` is the cause and the number of the attempt, as run keys are remembered for ever."""

    run_key: str
    cause: str
    attempt: int
    report_day: date


def request(
    report: DriftReport | None, champion: str | None, attempts: Sequence[Attempt], now: datetime, per_week: int
) -> Request | str:
    """The training to start, or why none is. ``attempts`` are all that drift ever started, ``now`` is UTC."""
    if report is None:
        return "there is no drift report yet"
    if not report.decision.retrain:
        return f"{report.day}: {report.decision.reason}"
    if report.champion != champion:
        return f"{report.day}: the report is of {report.champion}, {champion} serves since"
    cause = report.decision.cause
    own = [a for a in attempts if a.cause == cause]
    if any(a.open for a in attempts):
        return f"{cause}: a training that drift started still runs"
    if any(a.report_day >= report.day for a in own):
        return f"{cause}: tried on the report of {report.day}; another attempt waits for the next day's"
    recent = [a for a in attempts if now - a.started < WEEK]
    if len(recent) >= per_week:
        return f"{cause}: drift has started {len(recent)} trainings in 7 days, {per_week} are allowed"
    return Request(f"drift:{cause}:{len(own) + 1}", cause, len(own) + 1, report.day)
