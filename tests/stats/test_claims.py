"""How claims are judged."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from adplatform.contracts.errors import InputError
from adplatform.stats.claims import monte_carlo_band, paired_difference, rate_lower_bound, rate_upper_bound


@pytest.mark.parametrize(("nominal", "n"), [(0.95, 2000), (0.5, 100), (0.05, 400)])
def test_the_band_holds_99_percent_of_honest_runs_and_no_count_more(nominal: float, n: int) -> None:
    low, high = (round(x * n) for x in monte_carlo_band(nominal, n))
    inside = stats.binom.cdf(high, n, nominal) - stats.binom.cdf(low - 1, n, nominal)
    narrower = stats.binom.cdf(high - 1, n, nominal) - stats.binom.cdf(low, n, nominal)
    assert inside >= 0.99 > narrower


def test_the_band_of_2000_runs_at_95_percent() -> None:
    assert monte_carlo_band(0.95, 2000) == pytest.approx((0.937, 0.962), abs=1e-9)


def test_many_cells_are_inside_together() -> None:
    rng = np.random.default_rng(0)
    low, high = monte_carlo_band(0.95, 500, cells=10)
    tables = rng.binomial(500, 0.95, size=(4000, 10)) / 500
    together = ((tables >= low) & (tables <= high)).all(axis=1).mean()
    assert together >= 0.985
    single = monte_carlo_band(0.95, 500)
    assert ((tables >= single.low) & (tables <= single.high)).all(axis=1).mean() < 0.97


def test_no_event_in_100_bounds_the_rate_near_three_percent() -> None:
    assert rate_upper_bound(0, 100, 0.95) == pytest.approx(0.0295, abs=5e-5)
    assert rate_lower_bound(100, 100, 0.95) == pytest.approx(1 - 0.0295, abs=5e-5)
    assert (rate_lower_bound(0, 5), rate_upper_bound(5, 5)) == (0.0, 1.0)


def test_one_sided_bounds_are_exact() -> None:
    assert stats.binom.sf(6, 200, rate_lower_bound(7, 200, 0.99)) == pytest.approx(0.01)
    assert stats.binom.cdf(7, 200, rate_upper_bound(7, 200, 0.99)) == pytest.approx(0.01)


def test_a_paired_difference_is_students_and_drops_what_pairs_share() -> None:
    rng = np.random.default_rng(1)
    shared, a = rng.normal(0, 100, 20), rng.normal(1, 1, 20)
    found = paired_difference(shared + a, shared)
    expected = stats.ttest_rel(shared + a, shared).confidence_interval(0.95)
    assert tuple(found) == pytest.approx((a.mean(), expected.low, expected.high))
    assert found.low > 0


def test_pairs_of_one_experiment_count_once() -> None:
    a = np.random.default_rng(2).normal(size=15)
    repeated = paired_difference(np.repeat(a, 4), np.zeros(60), clusters=np.repeat(np.arange(15), 4))
    assert tuple(repeated) == pytest.approx(tuple(paired_difference(a, np.zeros(15))))


def test_unpaired_lengths_are_refused() -> None:
    with pytest.raises(InputError):
        paired_difference([1.0], [1.0, 2.0])
    with pytest.raises(InputError):
        monte_carlo_band(1.5, 10)
