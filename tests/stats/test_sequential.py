"""Looking every day must not find what is not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from adplatform.contracts.errors import InputError
from adplatform.stats.claims import rate_lower_bound, rate_upper_bound
from adplatform.stats.intervals import newcombe
from adplatform.stats.sequential import (
    always_valid_difference,
    always_valid_mean,
    always_valid_rate,
    crossing_probability,
    multiplier,
)

LOOKS = 14


def daily(rng: np.random.Generator, rate: float, users: int) -> np.ndarray:
    return np.cumsum(rng.binomial(users, rate, LOOKS))


def test_half_widths_equal_growthbooks(shared_data: Callable[[str], Path]) -> None:
    landmarks = json.loads((shared_data("landmarks") / "landmarks.json").read_text())
    for case in landmarks["growthbook_sequential_always_valid"]:
        tuning = case["tuning"] if isinstance(case["tuning"], int) else 5000
        found = always_valid_mean(case["expected"], case["sd"], case["a"]["n"] + case["b"]["n"], 0.95, tuning)
        assert tuple(found) == pytest.approx(case["ci"], abs=5e-5)


@pytest.mark.parametrize(
    ("boundaries", "name"), [([2.413] * 5, "Pocock"), ([2.040 * (5 / k) ** 0.5 for k in range(1, 6)], "OBF")]
)
def test_five_looks_at_the_published_boundaries_cost_five_percent(boundaries: list[float], name: str) -> None:
    """Jennison and Turnbull 2000, tables 2.1 and 2.3."""
    above, below = crossing_probability(np.arange(1, 6) / 5, boundaries, 0.0)
    assert above + below == pytest.approx(0.05, abs=2e-4), name
    assert above == pytest.approx(below)


def test_crossing_probability_is_what_paths_do() -> None:
    rng = np.random.default_rng(0)
    fractions = np.arange(1, 9) / 8
    bounds = np.full(8, 2.5)
    steps = rng.normal(1.5 / 8, np.sqrt(1 / 8), size=(200_000, 8)).cumsum(axis=1) / np.sqrt(fractions)
    first = np.abs(steps).__gt__(bounds).argmax(axis=1)
    z = steps[np.arange(steps.shape[0]), first]
    above, below = crossing_probability(fractions, bounds, 1.5)
    assert (z > 2.5).mean() == pytest.approx(above, abs=0.004)
    assert (z < -2.5).mean() == pytest.approx(below, abs=0.001)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3])
def test_14_looks_at_no_effect_exclude_zero_in_well_under_5_percent(rate: float) -> None:
    rng, runs, users = np.random.default_rng(11), 500, 1000
    false = peeking = 0
    for _ in range(runs):
        control, treatment = daily(rng, rate, users), daily(rng, rate, users)
        looks = [
            (int(c), users * d, int(t), users * d) for d, (c, t) in enumerate(zip(control, treatment, strict=True), 1)
        ]
        false += any(always_valid_difference(*x, designed_users=2 * LOOKS * users).excludes_zero for x in looks)
        peeking += any(not (iv := newcombe(*x)).low <= 0 <= iv.high for x in looks)
    assert rate_upper_bound(false, runs) < 0.05
    assert rate_lower_bound(peeking, runs) > 0.1, "a fixed interval looked at daily must fail this test"


def test_successes_that_come_later_for_the_same_users_stay_valid_with_a_base_rate() -> None:
    rng, runs, users = np.random.default_rng(12), 500, 10_000
    false = 0
    for _ in range(runs):
        days = [np.searchsorted(np.sort(rng.integers(0, 14, rng.binomial(users, 0.04))), range(1, 15)) for _ in "ct"]
        false += any(
            always_valid_difference(
                int(c), users, int(t), users, designed_users=2 * users, base_rate=0.04
            ).excludes_zero
            for c, t in zip(*days, strict=True)
        )
    assert rate_upper_bound(false, runs) < 0.05


@pytest.mark.parametrize("rate", [0.002, 0.05, 0.5])
def test_the_exact_interval_of_a_rate_is_left_in_at_most_5_percent_of_streams(rate: float) -> None:
    rng, runs = np.random.default_rng(13), 250
    left = 0
    for _ in range(runs):
        successes = np.cumsum(rng.random(400) < rate)
        bounds = (always_valid_rate(int(successes[n - 1]), n) for n in range(1, 401, 19))
        left += any(not low <= rate <= high for low, high in bounds)
    assert rate_lower_bound(left, runs) <= 0.05


def test_few_successes_are_answered_exactly_and_more_widely() -> None:
    few = always_valid_difference(2, 1000, 19, 1000, designed_users=2000)
    many = always_valid_difference(20, 1000, 37, 1000, designed_users=2000)
    assert (few.method, many.method) == ("exact", "asymptotic")
    assert not few.excludes_zero
    control, treatment = always_valid_rate(2, 1000, 0.975), always_valid_rate(19, 1000, 0.975)
    assert (few.low, few.high) == pytest.approx((treatment.low - control.high, treatment.high - control.low))
    assert always_valid_difference(0, 1000, 100, 1000).excludes_zero


def test_an_empty_arm_says_nothing() -> None:
    assert always_valid_difference(0, 0, 5, 100)[:3] == (0.0, -1.0, 1.0)


def test_swapping_the_arms_mirrors_the_interval() -> None:
    forth, back = always_valid_difference(50, 900, 80, 1100), always_valid_difference(80, 1100, 50, 900)
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))


def test_it_is_wider_than_one_look_and_never_much_wider_at_the_designed_size() -> None:
    assert multiplier(1.0) == pytest.approx(3.035, abs=1e-3)
    assert all(multiplier(f) > 3.0 for f in (0.01, 0.1, 0.5, 1, 2, 10))
    assert multiplier(0.05) > multiplier(0.5) > multiplier(1.0)


def test_with_and_without_a_base_rate_agree_where_the_rate_is_as_designed() -> None:
    plain = always_valid_difference(500, 10_000, 500, 10_000, designed_users=40_000)
    by_rate = always_valid_difference(500, 10_000, 500, 10_000, designed_users=40_000, base_rate=0.05)
    assert (plain.low, plain.high) == pytest.approx((by_rate.low, by_rate.high), rel=1e-2)


@pytest.mark.parametrize(
    "arguments", [{"level": 1.0}, {"designed_users": 1}, {"treatment_share": 1.0}, {"base_rate": 0.0}]
)
def test_impossible_designs_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(InputError):
        always_valid_difference(50, 100, 50, 100, **arguments)


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(InputError):
        always_valid_difference(101, 100, 50, 100)
    with pytest.raises(InputError):
        multiplier(0.0)
    with pytest.raises(InputError):
        crossing_probability([0.5, 0.5], [2, 2], 0)
