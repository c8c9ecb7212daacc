"""An order is as good as the value it puts on top."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adplatform.contracts.errors import InputError
from adplatform.stats.ranking import ndcg, normalised_gain, random_ndcg

GAINS = st.lists(st.floats(0, 100), min_size=1, max_size=12)


def test_wikipedias_example() -> None:
    """Discounted cumulative gain, six documents: DCG 6.861 of an ideal 7.141."""
    assert ndcg([3, 2, 3, 0, 1, 2], [6, 5, 4, 3, 2, 1]) == pytest.approx(6.861 / 7.141, abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(GAINS, st.integers(0, 2**16))
def test_the_true_order_is_best_and_nothing_beats_it(gains: list[float], seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=len(gains))
    assert ndcg(gains, gains) == pytest.approx(1.0)
    assert 0 <= ndcg(gains, -np.asarray(gains)) <= ndcg(gains, scores) + 1e-9 <= 1 + 2e-9


@settings(max_examples=60, deadline=None)
@given(GAINS, st.integers(0, 2**16))
def test_only_the_order_of_scores_matters(gains: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, shuffle = rng.normal(size=len(gains)), rng.permutation(len(gains))
    expected = ndcg(gains, scores)
    assert ndcg(gains, np.exp(scores)) == pytest.approx(expected)
    assert ndcg(np.asarray(gains)[shuffle], scores[shuffle]) == pytest.approx(expected)


@pytest.mark.parametrize("k", [None, 2])
def test_chance_is_the_mean_over_all_orders(k: int | None) -> None:
    gains = np.array([5.0, 1.0, 0.5, 0.0, 2.0])
    every = [ndcg(gains, np.array(p, dtype=float), k) for p in itertools.permutations(range(5))]
    assert random_ndcg(gains, k) == pytest.approx(np.mean(every))


def test_equal_scores_earn_what_chance_would() -> None:
    gains = [3.0, 1.0, 0.0]
    tied = ndcg(gains, [1, 1, 0])
    assert tied == pytest.approx((ndcg(gains, [2, 1, 0]) + ndcg(gains, [1, 2, 0])) / 2)


def test_beyond_k_nothing_counts() -> None:
    assert ndcg([1, 5, 9], [3, 2, 1], k=1) == pytest.approx(1 / 9)


def test_the_gain_is_zero_at_chance_and_one_at_the_truth() -> None:
    assert normalised_gain(0.6, 0.6, 0.9) == 0.0
    assert normalised_gain(0.9, 0.6, 0.9) == 1.0
    assert normalised_gain(0.5, 0.6, 0.9) < 0
    with pytest.raises(InputError, match="not above random"):
        normalised_gain(1.0, 1.0, 1.0)


def test_worthless_items_can_be_ordered_anyhow() -> None:
    assert ndcg([0, 0], [1, 2]) == 1.0


@pytest.mark.parametrize(("gains", "scores"), [([-1.0], [1.0]), ([], []), ([1.0], [1.0, 2.0]), ([1.0], [float("nan")])])
def test_impossible_gains_are_refused(gains: list[float], scores: list[float]) -> None:
    with pytest.raises(InputError):
        ndcg(gains, scores)
