"""Sizes and power against published figures and against the rule itself."""

from __future__ import annotations

import numpy as np
import pytest

from adplatform.contracts.errors import InputError
from adplatform.stats.claims import monte_carlo_band, rate_lower_bound
from adplatform.stats.power import (
    designed_users,
    power,
    relative_lift_power,
    sample_size,
    sample_size_two_proportions,
    sequential_drift,
    sequential_power,
)
from adplatform.stats.sequential import always_valid_difference

LOOKS = 14


def test_size_and_power_match_rs_power_prop_test() -> None:
    """help(power.prop.test): n = 50 gives power 0.740; power 0.90 gives n = 76.7."""
    assert power(0.5, 0.75, 50, 50) == pytest.approx(0.740, abs=5e-4)
    assert sample_size_two_proportions(0.5, 0.75, power=0.9) == pytest.approx(76.7, abs=0.05)


def test_size_and_power_are_each_others_inverse() -> None:
    n = sample_size_two_proportions(0.05, 0.06, power=0.8)
    assert power(0.05, 0.06, round(n), round(n)) == pytest.approx(0.8, abs=1e-3)


def test_power_is_the_share_of_tests_that_find_the_effect() -> None:
    rng, n, runs = np.random.default_rng(0), 4000, 20_000
    x, y = rng.binomial(n, 0.05, runs) / n, rng.binomial(n, 0.06, runs) / n
    z = (y - x) / np.sqrt((x + y) / 2 * (1 - (x + y) / 2) * 2 / n)
    assert (z > 1.96).mean() == pytest.approx(power(0.05, 0.06, n, n), abs=0.015)


def test_power_grows_with_users_and_is_nothing_without_them() -> None:
    found = [relative_lift_power(0.05, 0.2, n, n) for n in (0, 100, 1000, 10_000, 100_000)]
    assert found[0] == 0.0
    assert found == sorted(found)
    assert found[-1] > 0.999
    assert power(0.05, 0.05, 1000, 1000) == 0.0


def test_the_direction_of_the_effect_does_not_matter_to_the_size() -> None:
    assert sample_size_two_proportions(0.05, 0.06) == pytest.approx(sample_size_two_proportions(0.06, 0.05))


@pytest.mark.parametrize("lift", [0.2, -0.2])
def test_the_designed_size_finds_a_20_percent_lift_in_80_percent_under_the_sequential_rule(lift: float) -> None:
    rng, runs, base = np.random.default_rng(21), 600, 0.06
    users = designed_users(base, lift, looks=LOOKS)
    right = wrong = 0
    edges = np.linspace(0, users // 2, LOOKS + 1).round().astype(int)
    for _ in range(runs):
        control, treatment = (np.cumsum(rng.binomial(np.diff(edges), p)) for p in (base, base * (1 + lift)))
        for n, c, t in zip(edges[1:], control, treatment, strict=True):
            found = always_valid_difference(int(c), int(n), int(t), int(n), designed_users=users)
            if found.excludes_zero:
                right += (found.low > 0) == (lift > 0)
                wrong += (found.low > 0) != (lift > 0)
                break
    band = monte_carlo_band(0.8, runs, cells=2)
    assert band.low <= right / runs <= band.high
    assert rate_lower_bound(wrong, runs) <= 0.01


def test_the_formula_for_sequential_power_is_inverted_by_its_drift() -> None:
    assert sequential_power(sequential_drift(0.9, looks=5), looks=5) == pytest.approx(0.9, abs=1e-6)
    assert sequential_power(0.0) < 0.01
    assert sequential_power(-3.7) == pytest.approx(sequential_power(3.7))


def test_the_right_to_look_every_day_costs_less_than_twice_the_users() -> None:
    daily, single = designed_users(0.05, 0.2), designed_users(0.05, 0.2, always_valid=False)
    assert 1.3 < daily / single < 2.0
    assert single == pytest.approx(sample_size(0.05, 0.2), rel=0.01)


def test_an_uneven_split_costs_users() -> None:
    assert designed_users(0.05, 0.2, treatment_share=0.1) > 2 * designed_users(0.05, 0.2)


def test_a_huge_lift_still_asks_for_20_successes_an_arm() -> None:
    assert designed_users(0.001, 20.0) * 0.5 * 0.001 >= 20


@pytest.mark.parametrize(
    "arguments",
    [(0.05, 0.0), (0.6, 1.0), (0.05, 0.2, 1.0), (0.05, 0.2, 0.8, 0.95, 0)],
    ids=["lift", "rate", "power", "looks"],
)
def test_impossible_designs_are_refused(arguments: tuple) -> None:
    with pytest.raises(InputError):
        designed_users(*arguments)


def test_equal_rates_have_no_size() -> None:
    with pytest.raises(InputError, match="equals"):
        sample_size_two_proportions(0.1, 0.1)
