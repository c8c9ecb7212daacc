"""Which change alarms, by which kind, and what is no drift."""

from __future__ import annotations

import numpy as np
import pytest

from adplatform.contracts.monitoring import DriftKind
from adplatform.monitoring.judging import BOTH, SLOPE, UNEVEN, judge_day
from adplatform.monitoring.statistics import stacked
from tests.monitoring.days import LEVELS, LIBRARY, World, day

BUDGET = 0.003
WEEKDAY = np.arange(57) % 7


def alarms(*last: World, usual: World | None = None, seed: int = 1, days: int = 57) -> set[str]:
    """Names of what alarms after ``usual`` days; ``last`` are the last of them."""
    rng = np.random.default_rng(seed)
    worlds = [usual or World()] * (days - len(last)) + list(last)
    found = judge_day(stacked([day(rng, w) for w in worlds]), WEEKDAY[:days], LEVELS, LIBRARY, BUDGET)
    return {a.tested.name for a in found if a.alarm}


@pytest.mark.parametrize("rows", [10_000, 1_000_000])
def test_days_without_drift_are_quiet_at_any_size(rows: int) -> None:
    usual = World(rows=rows)
    loud = [alarms(usual, usual=usual, seed=s) for s in range(60)]
    assert sum(bool(a) for a in loud) <= 2  # at the budget of 0.3 % a day, 3 of 60 has a chance of 1 in 1,000


@pytest.mark.parametrize("rows", [10_000, 1_000_000])
def test_an_audience_that_takes_over_alarms_as_population_drift(rows: int) -> None:
    usual = World(rows=rows)
    found = alarms(World(rows=rows, shares=np.array([0.3, 0.5, 0.2])), usual=usual)
    assert found == {"audience = a", "audience = b"}


def test_a_change_under_the_floor_never_alarms_however_many_rows_show_it() -> None:
    usual = World(rows=20_000_000)
    assert alarms(World(rows=20_000_000, shares=np.array([0.48, 0.31, 0.21])), usual=usual) == set()


def test_a_model_that_tells_users_apart_no_more_alarms_as_calibration_drift() -> None:
    found = alarms(World(rows=60_000, slope=0.0), usual=World(rows=60_000))
    assert SLOPE in found
    assert found <= {SLOPE, UNEVEN, BOTH}


def test_a_click_rate_that_halves_alarms_in_calibration_and_reward() -> None:
    rng = np.random.default_rng(3)
    usual = World(rows=50_000)
    days = [day(rng, usual) for _ in range(57)]
    fewer = {n: getattr(days[-1], n) / 2 for n in days[-1]._fields if "clicks" in n}
    found = judge_day(stacked([*days[:-1], days[-1]._replace(**fewer)]), WEEKDAY, LEVELS, LIBRARY, BUDGET)
    kinds = {a.tested.kind for a in found if a.alarm}
    assert {DriftKind.CALIBRATION, DriftKind.REWARD} <= kinds


def test_a_policy_that_shows_other_creatives_is_no_drift() -> None:
    usual = World(rows=200_000)
    assert alarms(World(rows=200_000, mix=(4, 1, 1, 1, 1, 4)), usual=usual) == set()


def test_a_campaign_that_ends_is_no_drift() -> None:
    usual = World(rows=200_000)
    assert alarms(World(rows=200_000, mix=(1, 1, 1, 0.001, 0.001, 0.001)), usual=usual) == set()


def test_clicks_that_have_not_come_in_yet_are_not_missed() -> None:
    usual = World(rows=100_000)
    assert alarms(World(rows=100_000, late=0.6), usual=usual) == set()


def test_with_too_few_days_everything_cannot_tell_and_nothing_alarms() -> None:
    rng = np.random.default_rng(5)
    found = judge_day(stacked([day(rng, World()) for _ in range(10)]), WEEKDAY[:10], LEVELS, LIBRARY, BUDGET)
    assert found
    assert all(a.tested.judged is None and not a.alarm for a in found)
