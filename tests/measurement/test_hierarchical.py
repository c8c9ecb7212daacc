"""The model that decides: finds what was planted, pools, compiles once, and refuses what did not converge."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from adplatform.contracts.errors import AgentError, InputError
from adplatform.contracts.measurement import ExperimentCounts
from adplatform.measurement import conjugate
from adplatform.measurement.hierarchical import Diagnostics, HierarchicalLift
from benchmarks import coverage_claim
from tests.measurement.test_conjugate import counts


@pytest.fixture(scope="module")
def model() -> HierarchicalLift:
    return HierarchicalLift(cores=1)


def drawn(rng: np.random.Generator, effects: np.ndarray, users: int, rate: float = 0.04) -> list[ExperimentCounts]:
    found = []
    for i, effect in enumerate(effects):
        c, t = rng.binomial(users, rate), rng.binomial(users, rate * np.exp(effect))
        found.append(counts((int(c), users), (int(t), users)).model_copy(update={"experiment_id": f"e{i}"}))
    return found


def test_a_planted_effect_is_found_and_none_where_there_is_none(model: HierarchicalLift) -> None:
    effects = np.array([0.3, 0.0, 0.0, 0.0, -0.3, 0.0, 0.0, 0.0, 0.0, 0.0])
    lifts = model.fit(drawn(np.random.default_rng(3), effects, 40_000), seed=1)
    assert lifts[0].probability_positive > 0.999
    assert lifts[4].probability_positive < 0.001
    assert lifts[0].relative_interval is not None
    assert lifts[0].relative_interval.low < np.expm1(0.3) < lifts[0].relative_interval.high
    assert sum(0.005 < e.probability_positive < 0.995 for i, e in enumerate(lifts) if i not in (0, 4)) >= 7
    assert {e.method for e in lifts} == {"hierarchical"}


def test_the_posterior_of_one_experiment_is_that_of_numerical_integration(model: HierarchicalLift) -> None:
    # The sampler moves in steered coordinates; a Jacobian forgotten there would show here.
    empty = [counts((0, 0), (0, 0)).model_copy(update={"experiment_id": f"empty{i}"}) for i in range(4)]
    only = counts((30, 1_000), (48, 1_100))
    posterior = model.sample([only, *empty], draws=4_000, seed=6)
    rng = np.random.default_rng(0)
    mean, scale = rng.normal(0, 0.2, 20_000), np.abs(rng.normal(0, 0.5, 20_000))
    effect, base = np.linspace(-2, 2.5, 361), np.linspace(-4.5, -2, 201)
    prior = np.array([(stats.t.pdf((e - mean) / scale, 4) / scale).mean() for e in effect])
    c, t = base[None, :] - effect[:, None] / 2, base[None, :] + effect[:, None] / 2
    log_density = 30 * c - 1_000 * np.logaddexp(0, c) + 48 * t - 1_100 * np.logaddexp(0, t)
    log_density += np.log(prior)[:, None] + stats.norm.logpdf(base, -3.5, 2)
    density = np.exp(log_density - log_density.max())
    marginal = density.sum(axis=1) / density.sum()
    logit = [np.log(r / (1 - r)) for r in (posterior.control_rate[:, 0], posterior.treatment_rate[:, 0])]
    drawn_effect = logit[1] - logit[0]
    assert drawn_effect.mean() == pytest.approx(float(marginal @ effect), abs=0.015)
    for q in (0.025, 0.25, 0.75, 0.975):
        exact = float(np.interp(q, marginal.cumsum(), effect + (effect[1] - effect[0]) / 2))
        assert (drawn_effect < exact).mean() == pytest.approx(q, abs=0.02)


def test_small_experiments_are_pulled_towards_the_others_and_large_ones_are_not(model: HierarchicalLift) -> None:
    rng = np.random.default_rng(5)
    others = drawn(rng, np.zeros(11), 30_000)
    small = counts((20, 600), (36, 600)).model_copy(update={"experiment_id": "small"})
    large = counts((2_000, 60_000), (3_600, 60_000)).model_copy(update={"experiment_id": "large"})
    pulled = model.fit([*others, small], seed=2)[-1]
    kept = model.fit([*others, large], seed=2)[-1]
    alone, alone_large = conjugate.lift(small), conjugate.lift(large)
    assert 0 < pulled.absolute < 0.7 * alone.absolute
    assert kept.absolute == pytest.approx(alone_large.absolute, rel=0.05)


def test_refits_of_a_size_do_not_compile_again_and_padding_changes_nothing(model: HierarchicalLift) -> None:
    experiments = drawn(np.random.default_rng(8), np.linspace(-0.2, 0.2, 6), 20_000)
    before = model.compilations
    first = model.fit(experiments, seed=4)
    assert model.compilations == max(before, 1)
    again = model.fit(experiments, seed=4)
    fewer = model.fit(experiments[:5], seed=4)
    assert model.compilations == max(before, 1)
    assert again == first
    assert [e.absolute for e in fewer] == pytest.approx([e.absolute for e in first[:5]], abs=0.001)


def test_chains_that_disagree_are_refused_and_not_reported(
    model: HierarchicalLift, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = Diagnostics(r_hat=1.2, effective_draws=30.0, divergences=0, draws=3000)
    monkeypatch.setattr("adplatform.measurement.hierarchical._diagnose", lambda *_: bad)
    with pytest.raises(AgentError, match="did not converge: the chains disagree"):
        model.fit(drawn(np.random.default_rng(1), np.zeros(5), 5_000))


def test_each_diagnostic_alone_is_reason_enough() -> None:
    good = Diagnostics(1.005, 900.0, 0, 3000)
    assert good.problem() is None
    for bad in (
        good._replace(r_hat=1.05), good._replace(r_hat=float("nan")), good._replace(effective_draws=50.0),
        good._replace(effective_draws=float("nan")), good._replace(divergences=20),
    ):  # fmt: skip
        assert bad.problem()


def test_a_wrong_request_is_refused_before_anything_is_compiled() -> None:
    fresh = HierarchicalLift()
    one = counts((3, 10), (4, 10))
    with pytest.raises(InputError, match="repeated"):
        fresh.fit([one, one])
    with pytest.raises(InputError, match="at least 200 draws"):
        fresh.fit([one], draws=10)
    with pytest.raises(InputError, match="1 to 256"):
        fresh.sample([])
    assert fresh.fit([]) == []
    assert fresh.compilations == 0


def test_intervals_that_are_too_narrow_or_too_wide_fail_the_coverage_claim() -> None:
    # The twin: exact normal intervals pass, the same ones a fifth narrower and 15 % wider than Newcombe's fail.
    rng = np.random.default_rng(11)
    z, effect = rng.standard_normal(6_000), np.abs(rng.standard_normal(6_000))

    def judged(scale: float, plain: float = 1.0) -> list[coverage_claim.Judged]:
        inside = np.abs(z) <= 1.96 * scale
        return [
            coverage_claim.Judged(e, bool(i), bool(i), scale, True, plain) for e, i in zip(effect, inside, strict=True)
        ]

    assert coverage_claim.conclude(judged(1.0), {}).holds
    assert coverage_claim.conclude(judged(0.8), {}).holds is False
    assert coverage_claim.conclude(judged(1.25), {}).holds is False
    assert coverage_claim.conclude(judged(1.0, plain=0.85), {}).holds is False


def test_good_coverage_on_the_whole_does_not_excuse_a_bad_third() -> None:
    # What over-shrinkage does: always right for small effects, too often wrong for large ones.
    rng = np.random.default_rng(12)
    effect = np.linspace(0, 1, 6_000)
    holds = rng.random(6_000) < np.where(effect < 0.33, 1.0, 0.925)
    claim = coverage_claim.conclude(
        [coverage_claim.Judged(e, bool(h), bool(h), 1.0, True, 1.0) for e, h in zip(effect, holds, strict=True)], {}
    )
    assert claim.figure is not None
    assert 0.935 < claim.figure < 0.965
    assert claim.holds is False


@pytest.mark.slow
def test_the_claim_runs_end_to_end_on_one_advertiser() -> None:
    claim = coverage_claim.run(n=50, seed=int(np.random.default_rng().integers(2**31)))
    assert claim.n == 50
    assert claim.detail["refused_batches"] == []
    # P(fewer than 40 of 50 at 95 %) is 1e-4.
    assert claim.figure is not None
    assert claim.figure >= 0.8
    assert claim.detail["width_over_newcombe"] < 1.1
