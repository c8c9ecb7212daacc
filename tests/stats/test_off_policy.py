"""The estimators against worlds whose truth is an exact sum."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adplatform.contracts.errors import InputError
from adplatform.stats import off_policy
from adplatform.stats.claims import monte_carlo_band

LOGGING = np.array([0.5, 0.3, 0.2])
TARGET = np.array([0.1, 0.2, 0.7])
RATE = np.array([0.05, 0.10, 0.30])
TRUTH = float(TARGET @ RATE)
WRONG_MODEL = np.array([0.2, 0.2, 0.1])


def logged(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    action = rng.choice(3, size=n, p=LOGGING)
    return action, (rng.random(n) < RATE[action]).astype(float)


def doubly_robust(action: np.ndarray, reward: np.ndarray, model: np.ndarray) -> off_policy.OffPolicyEstimate:
    return off_policy.dr(reward, (TARGET / LOGGING)[action], model[action], np.full(action.size, TARGET @ model))


def test_ips_and_dr_are_unbiased_over_every_possible_log() -> None:
    found = {"ips": 0.0, "dr": 0.0}
    for action, reward in itertools.product(range(3), (0.0, 1.0)):
        chance = LOGGING[action] * (RATE[action] if reward else 1 - RATE[action])
        a, r = np.array([action]), np.array([reward])
        found["ips"] += chance * off_policy.ips(r, (TARGET / LOGGING)[a]).value
        found["dr"] += chance * doubly_robust(a, r, WRONG_MODEL).value
    assert found == pytest.approx({"ips": TRUTH, "dr": TRUTH})


def test_dr_with_the_true_model_and_wrong_weights_is_still_right() -> None:
    total = 0.0
    for action, reward in itertools.product(range(3), (0.0, 1.0)):
        chance = LOGGING[action] * (RATE[action] if reward else 1 - RATE[action])
        a = np.array([action])
        total += chance * off_policy.dr([reward], [7.0], RATE[a], [TARGET @ RATE]).value
    assert total == pytest.approx(TRUTH)


@pytest.mark.parametrize("name", ["IPS", "SNIPS", "DR"])
def test_the_95_percent_interval_holds_the_truth(name: str) -> None:
    rng, runs = np.random.default_rng(1), 1000
    held = wrong = 0
    for _ in range(runs):
        action, reward = logged(rng, 2000)
        weight = (TARGET / LOGGING)[action]
        estimate = {
            "IPS": lambda r=reward, w=weight: off_policy.ips(r, w),
            "SNIPS": lambda r=reward, w=weight: off_policy.snips(r, w),
            "DR": lambda a=action, r=reward: doubly_robust(a, r, WRONG_MODEL),
        }[name]()
        held += estimate.low <= TRUTH <= estimate.high
        inverse = off_policy.ips(reward, (LOGGING / TARGET)[action])
        wrong += inverse.low <= TRUTH <= inverse.high
    band = monte_carlo_band(0.95, runs, cells=3)
    assert band.low <= held / runs <= band.high
    assert wrong / runs < 0.8


def test_standard_errors_are_the_spread_of_the_estimate_over_logs() -> None:
    rng = np.random.default_rng(2)
    estimates = []
    for _ in range(600):
        action, reward = logged(rng, 1500)
        weight = (TARGET / LOGGING)[action]
        estimates.append(
            (off_policy.ips(reward, weight), off_policy.snips(reward, weight), doubly_robust(action, reward, RATE))
        )
    for column in zip(*estimates, strict=True):
        spread = np.std([e.value for e in column])
        assert np.mean([e.standard_error for e in column]) == pytest.approx(spread, rel=0.1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 20)), min_size=2, max_size=40))
def test_rounds_average_to_the_value(pairs: list[tuple[float, float]]) -> None:
    reward, weight = np.array(pairs).T
    for estimate in (off_policy.ips(reward, weight), off_policy.snips(reward, weight)):
        assert estimate.rounds.mean() == pytest.approx(estimate.value)
        assert estimate.low <= estimate.value <= estimate.high
    assert min(reward) - 1e-9 <= off_policy.snips(reward, weight).value <= max(reward) + 1e-9


def test_the_logging_policy_is_valued_at_its_own_mean_by_every_estimator() -> None:
    action, reward = logged(np.random.default_rng(3), 500)
    ones = np.ones(500)
    model = WRONG_MODEL[action]
    for estimate in (
        off_policy.ips(reward, ones),
        off_policy.snips(reward, ones),
        off_policy.dr(reward, ones, model, model),
    ):
        assert estimate.value == pytest.approx(reward.mean())


def test_a_difference_is_paired_so_a_policy_against_itself_is_exactly_zero() -> None:
    action, reward = logged(np.random.default_rng(4), 500)
    a, b = doubly_robust(action, reward, RATE), off_policy.ips(reward, np.ones(500))
    itself = off_policy.difference(a, a)
    assert (itself.value, itself.standard_error) == (0.0, 0.0)
    forth, back = off_policy.difference(a, b), off_policy.difference(b, a)
    assert forth.value == pytest.approx(a.value - b.value)
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))


def test_rounds_of_one_user_widen_the_interval() -> None:
    rng = np.random.default_rng(5)
    users = np.repeat(np.arange(200), 10)
    reward = (rng.random(2000) < np.repeat(rng.beta(0.5, 2, 200), 10)).astype(float)
    ones = np.ones(2000)
    alone, clustered = off_policy.ips(reward, ones), off_policy.ips(reward, ones, clusters=users)
    assert clustered.value == alone.value
    assert clustered.standard_error > 1.5 * alone.standard_error


def test_effective_sample_size_counts_rounds_of_equal_weight() -> None:
    equal = off_policy.diagnostics(np.ones(50), np.full(50, 3.0))
    assert (equal.effective_sample_size, equal.weighted_clicks) == pytest.approx((50, 50))
    one = off_policy.diagnostics([1, 1, 0], [1000.0, 1e-6, 1e-6])
    assert one.effective_sample_size == pytest.approx(1, abs=1e-3)
    assert off_policy.diagnostics([0, 0], [1.0, 1.0]).weighted_clicks == 0


def test_the_mean_weight_is_one_with_true_propensities_and_far_from_it_with_wrong_ones() -> None:
    action, reward = logged(np.random.default_rng(6), 20_000)
    right = off_policy.diagnostics(reward, (TARGET / LOGGING)[action])
    wrong = off_policy.diagnostics(reward, (TARGET / LOGGING[::-1])[action])
    assert abs(right.mean_weight - 1) < 4 * right.mean_weight_standard_error
    assert abs(wrong.mean_weight - 1) > 4 * wrong.mean_weight_standard_error


@pytest.mark.parametrize(
    ("reward", "weight"), [([], []), ([1.0], [1.0, 2.0]), ([float("nan")], [1.0]), ([1.0], [-1.0]), ([[1.0]], [[1.0]])]
)
def test_impossible_logs_are_refused(reward: list, weight: list) -> None:
    with pytest.raises(InputError):
        off_policy.ips(reward, weight)


def test_snips_refuses_a_log_without_any_action_of_the_policy() -> None:
    with pytest.raises(InputError, match="0 in every round"):
        off_policy.snips([1.0, 0.0], [0.0, 0.0])
