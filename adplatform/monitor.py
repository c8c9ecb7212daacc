"""Drift of a home: daily statistics from the marts and the champion's predictions, judged, priced, and kept.

A drift that was answered by a new champion begins a new reference: what came before it is no longer the usual.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Final

import numpy as np

from adplatform.contracts.base import Message
from adplatform.contracts.errors import InputError
from adplatform.contracts.monitoring import DriftReport
from adplatform.monitor_data import daily_statistics, names_of
from adplatform.monitoring.judging import REFERENCE_DAYS, judge_day
from adplatform.monitoring.report import Prices, alarmed_since, decide, in_short, statistics
from adplatform.monitoring.statistics import window
from adplatform.state import State
from adplatform.targeting.response import Response, load_response

REPORTS: Final = "drift_report"
LATEST: Final = "latest"
REGIME: Final = "drift_regime"
RECENT_DAYS: Final = 14
KEPT_DAYS: Final = REFERENCE_DAYS + RECENT_DAYS


class Regime(Message):
    """Since when the present state of the market is the usual one: a drift that was answered begins a new reference."""

    since: date
    cause: str


def make_report(state: State, today: date | None = None) -> DriftReport:
    """Judge the last whole day before ``today`` (UTC), keep the report under its day and as the latest.

    Raises InputError when there is no such day or no champion.
    """
    champion = state.registry.champion("response_model")
    if champion is None:
        raise InputError("response_model", "has no champion", "materialize response_model_champion first")
    model = load_response(state.registry.path("response_model", champion.version))
    names = names_of(state, today or datetime.now(UTC).date(), KEPT_DAYS, _since(state, champion.version, model))
    days, levels = daily_statistics(state, names, champion.version, model)
    weekday, budget = np.array([d.weekday() for d in names.days]), state.settings.drift_budget
    recent, last = [], len(names.days) - 1
    for at in range(max(1, last - RECENT_DAYS + 1), last + 1) if last else [0]:
        first = max(0, at - REFERENCE_DAYS)
        part = window(days, first, at)
        alarms = judge_day(part, weekday[first : at + 1], levels, names.library, budget) if at else []
        recent.append(in_short(alarms, names.days[at]))
    since = alarmed_since(recent)
    first = max(0, last - REFERENCE_DAYS)
    report = DriftReport(
        day=names.days[last], champion=champion.version, reference_first=names.days[first],
        reference_last=names.days[max(last - 1, 0)], reference_days=last - first, budget=budget,
        statistics=statistics(alarms, names.days[first:]),
        decision=decide(part, alarms, since, champion.version, _prices(state)), recent=tuple(recent), alarmed_since=since,
    )  # fmt: skip
    keep(state, report)
    return report


def keep(state: State, report: DriftReport) -> None:
    """Keep the report under its day and as the latest."""
    state.documents.put(REPORTS, report.day.isoformat(), report)
    state.documents.put(REPORTS, LATEST, report)


def latest(state: State) -> DriftReport | None:
    """The latest report, None before the first."""
    return state.documents.find(REPORTS, LATEST, DriftReport)


def _since(state: State, champion: str, model: Response) -> date | None:
    """First day of the present regime, kept: that of the last drift which a newer champion was trained through."""
    before, held = latest(state), state.documents.find(REGIME, "all", Regime)
    if before is not None and before.decision.retrain and before.alarmed_since is not None:
        answered = before.champion != champion and model.trained_through >= before.alarmed_since
        if answered and (held is None or held.since < before.alarmed_since):
            held = Regime(since=before.alarmed_since, cause=before.decision.cause)
            state.documents.put(REGIME, "all", held)
    return held.since if held else None


def _prices(state: State) -> Prices:
    """A click's value: that of the conversions it led to in the marts, else the setting."""
    row = state.warehouse.read(
        "select sum(conversion_value) as value, sum(matured_clicks) as clicks from reward_statistics_daily"
    ).to_pylist()[0]
    value = float(row["value"] or 0.0) / float(row["clicks"]) if row["clicks"] else 0.0
    config = state.settings
    return Prices(value or config.click_value, config.retrain_horizon_days, config.retrain_cost)
