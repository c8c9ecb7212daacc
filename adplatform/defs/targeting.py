"""Targeting assets: factors, response model, bandit policy, their promotion, and segment rankings by campaign."""

from datetime import timedelta
from typing import Any

import dagster as dg

from adplatform import asset_keys as keys
from adplatform import training
from adplatform.contracts.promotion import Promotion, Verdict
from adplatform.contracts.targeting import PolicyEvaluation
from adplatform.defs.automation import READY
from adplatform.defs.resources import OWNERS, Platform
from adplatform.partitions import CAMPAIGNS
from adplatform.report.pictures import bars_with_intervals, data_uri, reliability_plot
from adplatform.settings import settings

FRESH = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=7), warn_window=timedelta(days=3))
COMMON: dict[str, Any] = {"group_name": "targeting", "owners": OWNERS, "automation_condition": READY}


def promotion_metadata(promotion: Promotion) -> dict[str, Any]:
    """What a champion asset shows: what serves, since when, and why."""
    return {
        "champion": promotion.champion,
        "previous": promotion.previous or "none",
        "promoted": promotion.promoted,
        "reason": promotion.reason,
    }


def verdict_metadata(verdict: Verdict) -> dict[str, Any]:
    """What a challenger asset shows."""
    rows = [dg.TableRecord({"rule": c.rule, "passed": c.passed, "reason": c.reason}) for c in verdict.checks]
    return {
        "challenger": verdict.challenger,
        "champion": verdict.champion or "none",
        "verdict": "passed" if verdict.passed else "rejected",
        "reason": verdict.reason,
        "checks": dg.MetadataValue.table(rows) if rows else "none",
    }


def champion_result(platform: Platform, agent: str) -> dg.MaterializeResult:
    """Promote or keep by the kept verdict; the data version is the champion's, so a kept one changes nothing downstream."""
    promotion = training.crown(platform.state, agent)
    return dg.MaterializeResult(metadata=promotion_metadata(promotion), data_version=dg.DataVersion(promotion.champion))


@dg.asset(**COMMON, deps=["training_examples"], kinds={"python", "implicit"})
def interaction_factors(platform: Platform) -> dg.MaterializeResult:
    """Collaborative filtering: user and creative factors from clicks, for similar creatives and users like these."""
    version, score = training.train_factors(platform.state)
    figures: dict[str, Any] = (
        {k: float(v) for k, v in score._asdict().items()}
        if score
        else {"score": "cannot tell: fewer than two held-out users have both a click and an ignored ad"}
    )
    return dg.MaterializeResult(metadata={"version": version.version, **figures})


@dg.asset(**COMMON, deps=["training_examples"], kinds={"lightgbm"}, name=keys.RESPONSE_MODEL_CHALLENGER)
def response_model_challenger(platform: Platform) -> dg.MaterializeResult:
    """Calibrated click probability, trained on all days but the held-out last ones, and judged on those."""
    verdict = training.challenge_response(platform.state)
    bins = training.reliability_on_held_out(platform.state, verdict.challenger)
    picture = data_uri(reliability_plot(bins))
    plot = dg.MetadataValue.md(f"Predicted against observed on held-out days\n\n![reliability]({picture})")
    return dg.MaterializeResult(metadata={**verdict_metadata(verdict), "reliability": plot})


@dg.asset(
    **COMMON,
    deps=[keys.RESPONSE_MODEL_CHALLENGER],
    kinds={"python"},
    name=keys.RESPONSE_MODEL_CHAMPION,
    freshness_policy=FRESH,
)
def response_model_champion(platform: Platform) -> dg.MaterializeResult:
    """The response model that serves: the challenger if its verdict passed, else the one before, with the reason."""
    return champion_result(platform, "response_model")


@dg.asset(
    **COMMON, deps=[keys.RESPONSE_MODEL_CHAMPION, "training_examples", "user_creative_exposures", "dim_creatives"],
    kinds={"python"}, name=keys.BANDIT_POLICY_CHALLENGER,
)  # fmt: skip
def bandit_policy_challenger(platform: Platform) -> dg.MaterializeResult:
    """A contextual bandit policy with exact propensities, valued off-policy on the held-out log."""
    verdict, _ = training.challenge_bandit(platform.state)
    return dg.MaterializeResult(metadata=verdict_metadata(verdict))


@dg.asset(**COMMON, deps=[keys.BANDIT_POLICY_CHALLENGER], kinds={"python"}, name=keys.POLICY_EVALUATION)
def policy_evaluation(platform: Platform) -> dg.MaterializeResult:
    """Off-policy value of the candidate by IPS, SNIPS, DM and DR, beside the champion's, with intervals."""
    found = platform.state.documents.get(keys.POLICY_EVALUATION, "bandit_policy", PolicyEvaluation)
    values = [*found.values, found.champion_value]
    labels = [v.estimator for v in found.values] + [f"champion ({found.champion_value.estimator})"]
    lows, highs = [v.interval.low * 100 for v in values], [v.interval.high * 100 for v in values]
    picture = bars_with_intervals(labels, [v.value * 100 for v in values], lows, highs, "clicks per 100 decisions")
    return dg.MaterializeResult(
        metadata={
            "values": dg.MetadataValue.md(f"![values]({data_uri(picture)})"),
            "effective_sample_size": found.effective_sample_size,
            "weighted_clicks": found.weighted_clicks,
            "mean_weight": found.mean_weight,
            "decisions": found.decisions,
        }
    )


@dg.asset(
    **COMMON,
    deps=[keys.BANDIT_POLICY_CHALLENGER],
    kinds={"python"},
    name=keys.BANDIT_POLICY_CHAMPION,
    freshness_policy=FRESH,
)
def bandit_policy_champion(platform: Platform) -> dg.MaterializeResult:
    """The policy that serves: at first the one that wrote the log; a challenger only by its verdict."""
    return champion_result(platform, "bandit_policy")


@dg.asset(
    **COMMON, deps=[keys.RESPONSE_MODEL_CHAMPION, "dim_segments", "segment_performance", "dim_creatives"],
    partitions_def=CAMPAIGNS, kinds={"python"}, name=keys.SEGMENT_RANKINGS,
)  # fmt: skip
def segment_rankings(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """Segments ranked for each creative of the campaign, shrunk to the model, with intervals; small segments withheld."""
    from adplatform import batch

    ranking = batch.rank_campaign(platform.state, context.partition_key)
    platform.state.documents.put(keys.SEGMENT_RANKINGS, context.partition_key, ranking)
    best = [
        dg.TableRecord(
            {"creative": s.creative_id, "segment": s.segment_id, "click rate": round(s.click_rate, 5),
             "low": round(s.interval.low, 5), "high": round(s.interval.high, 5), "users": s.users}
        )
        for s in sorted(ranking.scores, key=lambda s: -s.click_rate)[:20]
    ]  # fmt: skip
    shown = {"best": dg.MetadataValue.table(best)} if best else {}
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(ranking.scores),
            "withheld": ranking.withheld,
            "model": ranking.model_version,
            **shown,
        }
    )


@dg.asset(**COMMON, deps=["training_examples"], kinds={"python"}, name=keys.LOGGED_POLICY_VALUES)
def logged_policy_values(platform: Platform) -> dg.MaterializeResult:
    """What the shop's own policy would have earned, valued from the log of random traffic, beside its on-policy rate."""
    from adplatform.targeting.open_bandit import open_bandit_evaluation, split_logs

    state = platform.state
    logs = split_logs(training.examples(state))
    found = {name: open_bandit_evaluation(name, *pair) for name, pair in sorted(logs.items())}
    state.documents.put(keys.LOGGED_POLICY_VALUES, "all", found)
    return dg.MaterializeResult(metadata={name: dg.MetadataValue.json(row) for name, row in found.items()})


def assets(present: frozenset[str]) -> list[dg.AssetsDefinition]:
    """The targeting assets; any data set with impressions and clicks has them, the Open Bandit sample one more."""
    logged = [logged_policy_values] if settings().dataset.get("name") == "open-bandit" else []
    return [
        interaction_factors, response_model_challenger, response_model_champion, bandit_policy_challenger,
        policy_evaluation, bandit_policy_champion, segment_rankings, *logged,
    ]  # fmt: skip
