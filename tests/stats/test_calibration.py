"""A probability is good when it comes true."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adplatform.contracts.errors import InputError
from adplatform.stats import calibration


def clicks(seed: int, n: int = 100_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 25, n)
    return p, (rng.random(n) < p).astype(int)


def test_true_probabilities_are_inside_95_percent_of_their_bins() -> None:
    inside = np.concatenate([calibration.reliability(*clicks(seed)).inside for seed in range(20)])
    assert inside.size == 400
    assert 0.91 <= inside.mean() <= 0.99


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_a_quarter_too_high_or_low_is_outside_most_bins(factor: float) -> None:
    p, y = clicks(1)
    found = calibration.reliability(p * factor, y)
    assert found.inside.sum() < 10
    assert calibration.observed_over_expected(p * factor, y) == pytest.approx(1 / factor, rel=0.05)
    assert calibration.expected_calibration_error(p * factor, y) > 3 * calibration.expected_calibration_error(p, y)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=5, max_size=200), st.integers(1, 5))
def test_bins_hold_equal_mass_and_lose_nobody(rows: list[tuple[float, bool]], bins: int) -> None:
    p, y = np.array([r[0] for r in rows]), np.array([r[1] for r in rows], dtype=float)
    found = calibration.reliability(p, y, bins)
    assert found.n.sum() == p.size
    assert found.n.max() - found.n.min() <= 1
    assert (found.observed * found.n).sum() == pytest.approx(y.sum())
    assert (found.predicted * found.n).sum() == pytest.approx(p.sum())
    assert (np.diff(found.predicted) >= -1e-12).all()
    assert ((found.low <= found.predicted + 1 / found.n) & (found.high >= found.predicted - 1 / found.n)).all()


def test_log_loss_by_hand() -> None:
    assert calibration.log_loss([0.9, 0.2], [1, 0]) == pytest.approx(-(np.log(0.9) + np.log(0.8)) / 2)
    assert calibration.log_loss([0.0], [1]) == pytest.approx(27.6, abs=0.1)


def test_the_truth_has_the_least_expected_loss() -> None:
    p, _ = clicks(2, 1000)
    best = calibration.log_loss(p, p)
    assert all(calibration.log_loss(np.clip(p * f, 0, 1), p) > best for f in (0.5, 0.9, 1.1, 2.0))


def test_the_gap_is_closed_by_the_oracle_alone() -> None:
    p, y = clicks(3)
    constant, oracle = calibration.log_loss(np.full(p.size, y.mean()), y), calibration.log_loss(p, y)
    assert calibration.gap_closed(oracle, constant, oracle) == 1.0
    assert calibration.gap_closed(constant, constant, oracle) == 0.0
    assert 0 < calibration.gap_closed(calibration.log_loss((p + y.mean()) / 2, y), constant, oracle) < 1
    with pytest.raises(InputError, match="oracle"):
        calibration.gap_closed(0.1, 0.2, 0.2)


@pytest.mark.parametrize(("p", "y"), [([0.5], [1, 0]), ([1.5], [1]), ([], []), ([float("nan")], [0])])
def test_what_is_no_probability_is_refused(p: list[float], y: list[int]) -> None:
    with pytest.raises(InputError):
        calibration.log_loss(p, y)


def test_more_bins_than_rows_are_refused() -> None:
    with pytest.raises(InputError, match="fewer bins"):
        calibration.reliability([0.1, 0.2], [0, 1], 3)
    with pytest.raises(InputError, match="0 everywhere"):
        calibration.observed_over_expected([0.0, 0.0], [0, 1])
