from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from adplatform.contracts.errors import InputError
from adplatform.targeting.bandit import (
    LoggingPolicy,
    SoftmaxPolicy,
    UniformPolicy,
    choose,
    load_policy,
    logged_index,
)
from adplatform.targeting.features import numbers
from tests.targeting.conftest import Fitted

rewards = st.integers(1, 9).flatmap(lambda k: arrays(float, (5, k), elements=st.floats(1e-6, 1 - 1e-6)))


@settings(deadline=None)
@given(q=rewards, temperature=st.floats(0.01, 5.0), exploration=st.floats(0.01, 1.0))
def test_probabilities_add_to_one_and_nobody_falls_below_the_floor(
    fitted: Fitted, q: np.ndarray, temperature: float, exploration: float
) -> None:
    p = SoftmaxPolicy(fitted.model, temperature, exploration).of_rewards(q)
    assert np.abs(p.sum(axis=1) - 1).max() < 1e-12
    assert p.min() >= exploration / q.shape[1] - 1e-15


@settings(deadline=None)
@given(q=rewards)
def test_more_reward_is_never_less_probable(fitted: Fitted, q: np.ndarray) -> None:
    p = SoftmaxPolicy(fitted.model).of_rewards(q)
    order = np.argsort(q, axis=1)
    assert (np.diff(np.take_along_axis(p, order, axis=1), axis=1) >= -1e-15).all()


def test_propensities_are_recomputed_exactly_from_what_was_saved(fitted: Fitted, tmp_path: Path) -> None:
    policy, contexts = SoftmaxPolicy(fitted.model, 0.3, 0.2), fitted.held_out.slice(0, 300)
    policy.save(tmp_path)
    again = load_policy(tmp_path)
    assert again.version == policy.version
    assert np.array_equal(again.probabilities(contexts, fitted.ads[:6]), policy.probabilities(contexts, fitted.ads[:6]))


def test_a_different_model_temperature_or_exploration_is_a_different_version(fitted: Fitted) -> None:
    versions = {SoftmaxPolicy(fitted.model, t, e).version for t in (0.1, 0.2) for e in (0.1, 0.2)}
    assert len(versions) == 4


def test_choices_come_as_often_as_their_propensities_say(fitted: Fitted) -> None:
    p = SoftmaxPolicy(fitted.model, 0.3, 0.2).probabilities(fitted.held_out.slice(3, 1), fitted.ads[:6])
    n = 20_000
    rng, shares = np.random.default_rng(5), p[0].tolist()
    index = [choose(shares, rng) for _ in range(n)]
    error = np.sqrt(p[0] * (1 - p[0]) / n)
    assert (np.abs(np.bincount(index, minlength=6) / n - p[0]) < 4 * error).all()


@given(
    p=arrays(float, (4, 5), elements=st.floats(0, 1)).filter(lambda p: (p.sum(axis=1) > 0.1).all()),
    seed=st.integers(0, 99),
)
def test_what_has_no_probability_is_never_chosen(p: np.ndarray, seed: int) -> None:
    p = np.where(p < 0.3, 0.0, p)
    p[:, 0] += (p.sum(axis=1) == 0) * 1.0
    p = p / p.sum(axis=1, keepdims=True)
    rng = np.random.default_rng(seed)
    assert all(row[choose(row.tolist(), rng)] > 0 for row in p)


def test_the_logging_policy_has_weight_one_on_every_logged_row(fitted: Fitted) -> None:
    policy = LoggingPolicy.fit(fitted.train)
    for campaign in ("k0", "k1"):
        own = [a for a in fitted.ads if a.campaign_id == campaign]
        rows = fitted.held_out.filter([c == campaign for c in fitted.held_out["campaign_id"].to_pylist()])
        p = policy.probabilities(rows, own)
        at = logged_index(rows, own)
        assert np.array_equal(p[np.arange(len(at)), at] / numbers(rows["propensity"]), np.ones(len(at)))
        assert np.abs(p.sum(axis=1) - 1).max() < 1e-12


def test_the_logging_policy_chooses_as_the_log_did_where_there_is_no_log(fitted: Fitted, tmp_path: Path) -> None:
    policy = LoggingPolicy.fit(fitted.train)
    own = fitted.ads[:6]
    contexts = fitted.held_out.drop_columns(["propensity"]).slice(0, 10)
    p = policy.probabilities(contexts, own)
    share = np.array([policy.counts[a.creative_id] for a in own], float)
    assert np.allclose(p, share / share.sum(), atol=1e-3)
    policy.save(tmp_path)
    assert load_policy(tmp_path).version == policy.version


def test_uniform_is_uniform_and_survives_a_round_trip(fitted: Fitted, tmp_path: Path) -> None:
    UniformPolicy().save(tmp_path)
    p = load_policy(tmp_path).probabilities(fitted.held_out.slice(0, 3), fitted.ads[:4])
    assert np.array_equal(p, np.full((3, 4), 0.25))


@pytest.mark.parametrize(("temperature", "exploration"), [(0.0, 0.1), (-1.0, 0.1), (0.1, 0.0), (0.1, 1.1)])
def test_a_policy_that_could_not_be_valued_later_is_refused(
    fitted: Fitted, temperature: float, exploration: float
) -> None:
    with pytest.raises(InputError, match="exploration"):
        SoftmaxPolicy(fitted.model, temperature, exploration)


def test_no_candidate_is_refused(fitted: Fitted) -> None:
    for policy in (UniformPolicy(), LoggingPolicy({}), SoftmaxPolicy(fitted.model)):
        with pytest.raises(InputError, match="no candidate"):
            policy.probabilities(fitted.held_out.slice(0, 1), [])
