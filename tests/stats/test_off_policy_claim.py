"""The claim's own world is exact, and the claim fails where it should."""

from __future__ import annotations

import numpy as np
import pytest

from adplatform.stats.claims import monte_carlo_band
from benchmarks import off_policy_claim


def test_the_worlds_value_is_what_its_policy_earns() -> None:
    rng = np.random.default_rng(0)
    w = off_policy_claim.world(rng, 4.0)
    played = off_policy_claim.draw(rng, w._replace(logging=w.target), 400_000).reward
    assert played.mean() == pytest.approx(w.value, abs=4 * played.std() / np.sqrt(played.size))


def test_intervals_hold_with_true_propensities_and_miss_with_wrong_ones() -> None:
    claim = off_policy_claim.run(n=150, seed=5)
    band = monte_carlo_band(0.95, 150)
    assert claim.figure is not None
    assert band.low <= claim.figure <= band.high
    assert claim.detail["control_uniform_propensity_coverage"] < 0.8
    assert sum(cell["n"] for cell in claim.detail["cells"]) == claim.n == 150


def test_the_same_seed_gives_the_same_figure() -> None:
    assert off_policy_claim.run(n=20, seed=3) == off_policy_claim.run(n=20, seed=3)
