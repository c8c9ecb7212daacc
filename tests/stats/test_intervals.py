"""Intervals against their papers' tables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from adplatform.contracts.errors import InputError
from adplatform.stats.intervals import clopper_pearson, cluster_mean, newcombe, normal_mean, wilson

COUNTS = [(81, 263), (15, 148), (0, 20), (1, 29)]


@pytest.mark.parametrize(
    ("counts", "bounds"),
    zip(COUNTS, [(0.2553, 0.3662), (0.0624, 0.1605), (0.0, 0.1611), (0.0061, 0.1718)], strict=True),
)
def test_wilson_matches_newcombe_1998_table_1(counts: tuple[int, int], bounds: tuple[float, float]) -> None:
    assert wilson(*counts) == pytest.approx(bounds, abs=5e-5)


@pytest.mark.parametrize(
    ("counts", "bounds"),
    zip(COUNTS, [(0.2527, 0.3676), (0.0578, 0.1617), (0.0, 0.1684), (0.0009, 0.1776)], strict=True),
)
def test_clopper_pearson_matches_newcombe_1998_table_1(counts: tuple[int, int], bounds: tuple[float, float]) -> None:
    assert clopper_pearson(*counts) == pytest.approx(bounds, abs=5e-5)


@pytest.mark.parametrize(
    ("treatment", "control", "bounds"),
    [
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((6, 7), (2, 7), (0.0582, 0.8062)),
        ((5, 56), (0, 29), (-0.0381, 0.1926)),
        ((0, 10), (0, 20), (-0.1611, 0.2775)),
    ],
)
def test_the_difference_matches_newcombe_1998_method_10(
    treatment: tuple[int, int], control: tuple[int, int], bounds: tuple[float, float]
) -> None:
    assert newcombe(*control, *treatment) == pytest.approx(bounds, abs=5e-5)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_rate_intervals_stay_in_the_unit_range_and_hold_the_rate(counts: tuple[int, int]) -> None:
    rate = counts[0] / counts[1]
    for low, high in (wilson(*counts), clopper_pearson(*counts)):
        assert 0 <= low <= rate <= high <= 1
    mirrored = wilson(counts[1] - counts[0], counts[1])
    assert wilson(*counts) == pytest.approx((1 - mirrored.high, 1 - mirrored.low))


@pytest.mark.parametrize("p", [0.01, 0.2, 0.5])
def test_clopper_pearson_never_covers_less_than_it_says(p: float) -> None:
    n = 60
    covered = sum(
        stats.binom.pmf(k, n, p) for k in range(n + 1) if clopper_pearson(k, n).low <= p <= clopper_pearson(k, n).high
    )
    assert covered >= 0.95


def test_the_mean_is_students() -> None:
    x = np.random.default_rng(0).gamma(2, size=30)
    expected = stats.ttest_1samp(x, 0).confidence_interval(0.9)
    found = normal_mean(x, 0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_one_value_says_nothing_of_its_spread() -> None:
    assert normal_mean([3.0]).high == float("inf")
    assert cluster_mean([1.0, 2.0], ["a", "a"]).high == float("inf")


def test_clusters_of_one_row_change_nothing() -> None:
    x = np.random.default_rng(1).normal(size=40)
    assert cluster_mean(x, np.arange(40)) == pytest.approx(normal_mean(x))


def test_rows_said_twice_do_not_narrow_a_clustered_interval() -> None:
    x = np.random.default_rng(2).normal(size=40)
    twice = cluster_mean(np.repeat(x, 2), np.repeat(np.arange(40), 2))
    assert twice == pytest.approx(normal_mean(x))
    assert normal_mean(np.repeat(x, 2)).standard_error < 0.75 * twice.standard_error


@pytest.mark.parametrize("counts", [(-1, 10), (11, 10), (0, 0)])
def test_impossible_counts_are_refused(counts: tuple[int, int]) -> None:
    for function in (wilson, clopper_pearson):
        with pytest.raises(InputError):
            function(*counts)


def test_a_level_outside_zero_to_one_is_refused() -> None:
    with pytest.raises(InputError, match="level"):
        wilson(1, 10, 95)


def test_labels_that_do_not_fit_the_values_are_refused() -> None:
    with pytest.raises(InputError, match="one label"):
        cluster_mean([1.0, 2.0], ["a"])
