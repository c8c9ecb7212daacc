"""A retraining is priced, and started once for each report within the week's budget."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from adplatform.contracts.monitoring import DriftDay, DriftKind, DriftReport
from adplatform.monitoring.judging import judge_day
from adplatform.monitoring.report import Prices, alarmed_since, decide, lost_clicks, statistics
from adplatform.monitoring.retrain import Attempt, Request, request
from adplatform.monitoring.statistics import stacked
from tests.monitoring.days import LEVELS, LIBRARY, World, day

DATES = [date(2026, 1, 5) + timedelta(days=i) for i in range(57)]
NOW = datetime(2026, 3, 3, 9, tzinfo=UTC)
PRICES = Prices(click_value=0.5, horizon_days=28, cost=5)


def judged(last: World) -> tuple:
    rng = np.random.default_rng(2)
    days = stacked([*(day(rng, World(rows=100_000)) for _ in range(56)), day(rng, last)])
    return days, judge_day(days, np.arange(57) % 7, LEVELS, LIBRARY, 0.003)


def short(at: int, *names: str) -> DriftDay:
    return DriftDay(day=DATES[at], strongest=dict.fromkeys(DriftKind, 0.5), alarms=names)


def report(last: World, prices: Prices = PRICES) -> DriftReport:
    days, alarms = judged(last)
    recent = (short(55), short(56, *(a.tested.name for a in alarms if a.alarm)))
    since = alarmed_since(recent)
    return DriftReport(
        day=DATES[-1], champion="v1", reference_first=DATES[0], reference_last=DATES[-2], reference_days=56, budget=0.003,
        statistics=statistics(alarms, DATES), decision=decide(days, alarms, since, "v1", prices), recent=recent,
        alarmed_since=since,
    )  # fmt: skip


def test_what_drift_loses_is_the_covariance_of_score_and_clicks_that_is_gone() -> None:
    days, alarms = judged(World(rows=100_000, slope=0.0))
    held = days.predicted_by_score[-1].sum(axis=0)
    from adplatform.monitoring.statistics import SCORES

    mean = (held * SCORES).sum() / held.sum()
    variance = (held * (SCORES - mean) ** 2).sum() / held.sum()
    assert lost_clicks(days, alarms) == pytest.approx(5000 * 1.1 * variance, rel=0.25)


def test_no_day_loses_more_than_its_clicks() -> None:
    days, alarms = judged(World(rows=100_000))
    wild = [a._replace(tested=a.tested._replace(effect=5.0)) for a in alarms]
    assert lost_clicks(days, wild) == days.clicks_by_score[-1].sum()


def test_drift_that_loses_more_than_a_training_costs_is_answered_and_the_sum_is_shown() -> None:
    found = report(World(rows=100_000, slope=0.0))
    assert found.decision.retrain
    assert found.decision.cause == f"{DATES[-1]}:v1"
    assert found.decision.expected_gain == pytest.approx(found.decision.loss_per_day * 28)
    assert "training costs 5.00" in found.decision.reason


def test_drift_that_is_cheaper_than_a_training_is_not() -> None:
    found = report(World(rows=100_000, slope=0.0), PRICES._replace(cost=1e9))
    assert found.alarms
    assert not found.decision.retrain
    assert found.decision.reason.startswith("keep: ")


def test_without_an_alarm_nothing_is_lost_and_nothing_is_trained() -> None:
    found = report(World(rows=100_000))
    assert not found.alarms
    assert found.decision.lost_clicks_per_day == 0
    assert not found.decision.retrain
    assert found.reason == "no drift"


def test_alarms_come_first_and_say_day_value_expectation_and_limit() -> None:
    found = report(World(rows=100_000, slope=0.0))
    first = found.statistics[0]
    assert first.alarm
    assert first.day.isoformat() in first.reason
    assert "expected" in first.reason
    assert "limit" in first.reason


def test_a_drift_begins_with_the_first_of_its_consecutive_days() -> None:
    assert alarmed_since([short(0, "a"), short(1), short(2, "a"), short(3, "b")]) == DATES[2]
    assert alarmed_since([short(0, "a"), short(1)]) is None


def attempt(days_ago: float, cause: str = "other", of: date = DATES[0], is_open: bool = False) -> Attempt:
    return Attempt(cause, of, NOW - timedelta(days=days_ago), is_open)


def test_a_training_is_requested_once_for_each_report_and_numbered() -> None:
    drifted = report(World(rows=100_000, slope=0.0))
    cause = drifted.decision.cause
    first = request(drifted, "v1", [], NOW, 2)
    assert first == Request(f"drift:{cause}:1", cause, 1, DATES[-1])
    assert "tried on the report" in request(drifted, "v1", [attempt(0.1, cause, DATES[-1])], NOW, 2)
    later = drifted.model_copy(update={"day": DATES[-1] + timedelta(days=1)})
    second = request(later, "v1", [attempt(1, cause, DATES[-1])], NOW, 2)
    assert isinstance(second, Request)
    assert second.run_key.endswith(":2")


def test_no_more_trainings_than_the_week_allows() -> None:
    drifted = report(World(rows=100_000, slope=0.0))
    assert "2 are allowed" in request(drifted, "v1", [attempt(1), attempt(6)], NOW, 2)
    assert isinstance(request(drifted, "v1", [attempt(1), attempt(7.5)], NOW, 2), Request)
    assert "0 are allowed" in request(drifted, "v1", [], NOW, 0)


def test_nothing_is_requested_while_one_runs_without_drift_or_for_a_champion_that_has_gone() -> None:
    drifted = report(World(rows=100_000, slope=0.0))
    assert "still runs" in request(drifted, "v1", [attempt(8, is_open=True)], NOW, 2)
    assert "serves since" in request(drifted, "v2", [], NOW, 2)
    assert "nothing alarms" in request(report(World(rows=100_000)), "v1", [], NOW, 2)
    assert "no drift report" in request(None, "v1", [], NOW, 2)
