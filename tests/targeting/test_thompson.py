"""Thompson sampling's shares against what is known of them, and against obp's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adplatform.contracts.errors import InputError
from adplatform.targeting.thompson import BLOCK, action_distribution, production_prior


def test_every_position_is_given_once_in_each_simulation() -> None:
    found = action_distribution([1.0, 2, 3, 4], [4.0, 3, 2, 1], 3, simulations=2 * BLOCK + 5, seed=1)
    assert found.shape == (4, 3)
    assert found.sum(axis=0) == pytest.approx(np.ones(3))
    assert (found.sum(axis=1) <= 1 + 1e-12).all()


def test_two_uniform_rates_share_the_top_by_the_known_integral() -> None:
    """P(Beta(2, 1) > Beta(1, 1)) = 2/3."""
    found = action_distribution([2.0, 1.0], [1.0, 1.0], 1, simulations=100_000, seed=2)
    assert found[0, 0] == pytest.approx(2 / 3, abs=0.006)


def test_the_same_seed_gives_the_same_shares_and_another_does_not() -> None:
    arguments = ([1.0] * 5, [2.0] * 5, 2)
    one, two = (action_distribution(*arguments, simulations=500, seed=s) for s in (3, 4))
    assert (one == action_distribution(*arguments, simulations=500, seed=3)).all()
    assert (one != two).any()


@pytest.mark.parametrize("positions", [0, 3])
def test_positions_must_fit_the_items(positions: int) -> None:
    with pytest.raises(InputError):
        action_distribution([1.0, 1.0], [1.0, 1.0], positions)


@pytest.mark.parametrize(("campaign", "items"), [("all", 80), ("men", 34), ("women", 46)])
def test_shares_equal_obps_draw_for_draw(campaign: str, items: int) -> None:
    policies = pytest.importorskip("obp.policy", reason="the extra open-bandit is not installed")
    prior = production_prior(campaign)
    assert prior.alpha.size == items
    peer = policies.BernoulliTS(n_actions=items, len_list=3, is_zozotown_prior=True, campaign=campaign, random_state=7)
    expected = peer.compute_batch_action_dist(n_rounds=1, n_sim=6000)[0]
    assert np.abs(action_distribution(*prior, 3, simulations=6000, seed=7) - expected).max() < 1e-9


def test_a_prior_file_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "prior.yaml"
    path.write_text("shoes: {alpha: [1, 2], beta: [3, 4]}\nhats: {alpha: [1, -2], beta: [3, 4]}\n")
    assert production_prior("shoes", path).beta.tolist() == [3, 4]
    with pytest.raises(InputError, match="hats, shoes"):
        production_prior("coats", path)
    with pytest.raises(InputError, match="positive"):
        production_prior("hats", path)
