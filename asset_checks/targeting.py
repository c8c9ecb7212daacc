"""Verdicts of challengers as checks, exact propensities of the champion, and small segments withheld."""

import dagster as dg
import numpy as np

from adplatform import asset_keys as keys
from adplatform.contracts.promotion import Verdict
from adplatform.contracts.targeting import SegmentRanking
from adplatform.partitions import CAMPAIGNS
from asset_checks.platform import state


def verdict_check(agent: str) -> dg.AssetChecksDefinition:
    """The kept verdict of an agent's challenger; failing it never blocks, the champion stays."""

    @dg.asset_check(asset=f"{agent}_challenger", name="verdict", blocking=False)
    def check() -> dg.AssetCheckResult:
        """Every rule that the challenger must keep to be promoted."""
        verdict = state().documents.get("verdicts", agent, Verdict)
        figures = {c.rule: c.figure if c.figure is not None else "cannot tell" for c in verdict.checks}
        return dg.AssetCheckResult(
            passed=verdict.passed, severity=dg.AssetCheckSeverity.WARN, description=verdict.reason, metadata=figures
        )

    return check


@dg.asset_check(asset=keys.BANDIT_POLICY_CHAMPION, name="propensities_are_exact")
def exact_propensities() -> dg.AssetCheckResult:
    """On 500 logged contexts the serving policy's probabilities are positive and add up to 1 within 1e-12."""
    from adplatform import training
    from adplatform.targeting.bandit import load_policy

    platform = state()
    champion = platform.registry.champion("bandit_policy")
    if champion is None:
        return dg.AssetCheckResult(passed=False, description="bandit_policy has no champion")
    policy = load_policy(platform.registry.path("bandit_policy", champion.version))
    worst, smallest, rows = 0.0, 1.0, 0
    everything = training.creatives(platform)
    sample = training.examples(platform, "experiment_id is null").slice(0, 500)
    for campaign in sorted(set(sample["campaign_id"].to_pylist())):
        own = [c for c in everything if c.campaign_id == campaign]
        part = sample.filter([c == campaign for c in sample["campaign_id"].to_pylist()])
        p = policy.probabilities(part, own)
        worst, smallest, rows = (
            max(worst, float(np.abs(p.sum(axis=1) - 1).max())),
            min(smallest, float(p.min())),
            rows + len(p),
        )
    return dg.AssetCheckResult(
        passed=rows > 0 and worst < 1e-12 and smallest > 0,
        metadata={"contexts": rows, "largest_error_of_a_sum": worst, "smallest_probability": smallest},
    )


@dg.asset_check(asset=keys.SEGMENT_RANKINGS, name="no_small_segment", partitions_def=CAMPAIGNS)
def no_small_segment(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """No segment under the minimum size is named."""
    platform = state()
    ranking = platform.documents.get(keys.SEGMENT_RANKINGS, context.partition_key, SegmentRanking)
    least = min((s.users for s in ranking.scores), default=0)
    floor = platform.settings.minimum_segment_users
    return dg.AssetCheckResult(
        passed=bool(ranking.scores) and least >= floor,
        metadata={"smallest": least, "floor": floor, "withheld": ranking.withheld},
    )


def checks(present: frozenset[str]) -> list[dg.AssetChecksDefinition]:
    """Checks of the targeting assets."""
    return [verdict_check("response_model"), verdict_check("bandit_policy"), exact_propensities, no_small_segment]
