from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from adplatform.contracts.errors import InputError
from adplatform.contracts.promotion import Verdict
from adplatform.contracts.targeting import PolicyEvaluation
from adplatform.targeting.bandit import LoggingPolicy, Policy, SoftmaxPolicy, UniformPolicy
from adplatform.targeting.evaluation import evaluate, user_clusters
from adplatform.targeting.features import chronological_split, numbers
from adplatform.targeting.verdicts import policy_verdict
from tests.targeting.conftest import Fitted
from tests.targeting.world import Planted, creatives, examples, truth


def evaluated(
    f: Fitted, policy: Policy, champion: Policy | None = None, log: pa.Table | None = None
) -> PolicyEvaluation:
    return evaluate(f.held_out if log is None else log, policy, champion or LoggingPolicy.fit(f.train), f.model, f.ads)


def true_value(f: Fitted, policy: Policy) -> float:
    total = 0.0
    for campaign in ("k0", "k1"):
        own = [a for a in f.ads if a.campaign_id == campaign]
        rows = f.held_out.filter([c == campaign for c in f.held_out["campaign_id"].to_pylist()])
        total += float((policy.probabilities(rows, own) * truth(f.world, rows, own)).sum())
    return total / f.held_out.num_rows


@pytest.mark.parametrize("sharpness", [1.0, -1.0])
def test_every_estimator_finds_the_true_value_of_a_planted_policy(fitted: Fitted, sharpness: float) -> None:
    policy = Planted(fitted.world, sharpness)
    found, true = evaluated(fitted, policy), true_value(fitted, policy)
    assert [v.estimator for v in found.values] == ["IPS", "SNIPS", "DM", "DR"]
    for v in found.values:
        if v.estimator != "DM":
            assert abs(v.value - true) < 4 * v.standard_error
    assert abs(found.values[2].value / true - 1) < 0.2
    assert abs(found.mean_weight - 1) < 4 * found.mean_weight_standard_error


def test_the_champion_on_its_own_log_is_worth_what_it_earned(fitted: Fitted) -> None:
    found = evaluated(fitted, UniformPolicy())
    assert found.champion_value.value == pytest.approx(numbers(fitted.held_out["clicked"]).mean(), abs=1e-15)


def test_a_better_policy_is_promoted(fitted: Fitted) -> None:
    assert policy_verdict(evaluated(fitted, Planted(fitted.world, 2.0))).passed


def test_the_softmax_over_the_response_model_is_promoted_where_it_is_better(fitted: Fitted) -> None:
    policy = SoftmaxPolicy(fitted.model)
    assert true_value(fitted, policy) > 1.2 * numbers(fitted.held_out["clicked"]).mean()
    assert policy_verdict(evaluated(fitted, policy)).passed


def test_a_worse_policy_is_not_promoted(fitted: Fitted) -> None:
    verdict = policy_verdict(evaluated(fitted, Planted(fitted.world, -2.0)))
    assert not verdict.passed
    assert failed(verdict) == ["DR lower bound of the gain over the champion above 0"]


def test_an_equal_policy_is_not_promoted(fitted: Fitted) -> None:
    world, ads = fitted.world, fitted.ads
    log, _ = examples(world, ads, seed=77, rows=30_000, consent=1.0, logging="uniform")
    verdict = policy_verdict(evaluated(fitted, UniformPolicy(), LoggingPolicy({}), chronological_split(log, 2)[1]))
    assert failed(verdict) == ["DR lower bound of the gain over the champion above 0"]
    assert "needs about" in verdict.reason or "-" in verdict.reason


def test_the_champion_again_is_no_gain_at_all(fitted: Fitted) -> None:
    champion = SoftmaxPolicy(fitted.model)
    found = evaluated(fitted, SoftmaxPolicy(fitted.model), champion)
    assert found.difference.value == 0
    assert "the challenger is the champion" in policy_verdict(found).reason


def test_under_the_floors_there_is_no_figure_but_what_it_would_need(fitted: Fitted) -> None:
    verdict = policy_verdict(evaluated(fitted, Planted(fitted.world, 2.0), log=fitted.held_out.slice(0, 700)))
    gain = verdict.checks[-1]
    assert not verdict.passed
    assert gain.figure is None
    assert "cannot tell" in verdict.reason
    assert "needs about" in verdict.reason


@pytest.mark.parametrize("wrong", ["inverse", "half"])
def test_wrong_propensities_are_noticed(fitted: Fitted, wrong: str) -> None:
    p = numbers(fitted.held_out["propensity"])
    column = pa.array(1 / p if wrong == "inverse" else p / 2)
    log = fitted.held_out.set_column(fitted.held_out.column_names.index("propensity"), "propensity", column)
    verdict = policy_verdict(evaluated(fitted, Planted(fitted.world, 2.0), log=log))
    assert any("mean weight" in rule for rule in failed(verdict))


def test_a_model_that_has_seen_the_log_cannot_judge_it(fitted: Fitted) -> None:
    with pytest.raises(InputError, match="earlier days"):
        evaluated(fitted, UniformPolicy(), log=fitted.train)


def test_a_policy_that_has_seen_the_log_cannot_be_judged_on_it(fitted: Fitted) -> None:
    late = Planted(fitted.world, 1.0)
    late.trained_through = fitted.held_out["event_day"][0].as_py()  # type: ignore[assignment]
    with pytest.raises(InputError, match="policy"):
        evaluated(fitted, late)


def test_a_logged_creative_that_is_no_candidate_is_named(fitted: Fitted) -> None:
    missing = [a for a in fitted.ads if a.creative_id != "c0-3"]
    with pytest.raises(InputError, match="c0-3"):
        evaluate(fitted.held_out, UniformPolicy(), LoggingPolicy({}), fitted.model, missing)


def test_an_empty_log_is_refused(fitted: Fitted) -> None:
    with pytest.raises(InputError, match="no decision"):
        evaluated(fitted, UniformPolicy(), log=fitted.held_out.slice(0, 0))


def test_rows_of_one_user_share_a_cluster_and_strangers_have_their_own() -> None:
    table = pa.table({"user_id": pa.array(["a", None, "b", "a", None], pa.string())})
    found = user_clusters(table)
    assert found[0] == found[3]
    assert len(np.unique(found)) == 4


def failed(verdict: Verdict) -> list[str]:
    return [c.rule for c in verdict.checks if not c.passed]


def test_creatives_of_other_campaigns_change_nothing(fitted: Fitted) -> None:
    more = [
        *fitted.ads,
        *(a.model_copy(update={"campaign_id": "other", "creative_id": f"x-{a.creative_id}"}) for a in creatives()),
    ]
    policy = SoftmaxPolicy(fitted.model)
    a = evaluated(fitted, policy)
    b = evaluate(fitted.held_out, policy, LoggingPolicy.fit(fitted.train), fitted.model, more)
    assert a == b
