"""Orchestration assets: a plan for each campaign, and the multi-agent plan against one single model."""

from typing import Any

import dagster as dg

from adplatform import assembly, batch
from adplatform import asset_keys as keys
from adplatform.assembly import word_first
from adplatform.contracts.plan import Outcome
from adplatform.defs.automation import READY
from adplatform.defs.resources import OWNERS, Platform
from adplatform.partitions import CAMPAIGNS
from adplatform.report.pictures import data_uri, plan_bars

COMMON: dict[str, Any] = {"group_name": "orchestration", "owners": OWNERS}


@dg.asset(
    **COMMON,
    deps=[
        keys.CAMPAIGN_CREATIVES, keys.RESPONSE_MODEL_CHAMPION, keys.BUDGET_POLICY_CHAMPION, "segment_performance",
        "dim_segments", "dim_creatives",
    ],
    partitions_def=CAMPAIGNS, kinds={"python"}, name=keys.CAMPAIGN_PLANS, automation_condition=READY,
)  # fmt: skip
def campaign_plans(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """The campaign's plan: top creative x segment combinations with budget, and a trace of who said what."""
    state, campaign = platform.state, context.partition_key
    brief, machine = assembly.brief_of(state.settings, campaign), batch.orchestrator(state)
    word_first(machine, brief, state.settings.seed, state.settings.copy_seconds)
    plan = machine.plan(brief, seed=state.settings.seed)
    state.documents.put(keys.CAMPAIGN_PLANS, campaign, plan)
    steps = [
        dg.TableRecord(
            {"state": s.state.value, "agent": s.agent, "version": s.version[:24], "outcome": s.outcome.value,
             "seconds": round(s.seconds, 2), "fallback": s.fallback or "", "said": s.said}
        )
        for s in plan.trace
    ]  # fmt: skip
    for step in plan.trace:
        if step.outcome is not Outcome.ANSWERED:
            context.log.warning(f"{step.agent} {step.outcome.value}: {step.problem}; {step.fallback} answered")
    return dg.MaterializeResult(
        metadata={
            "plan": dg.MetadataValue.md(f"![plan]({data_uri(plan_bars(plan))})"),
            "plan_id": plan.plan_id,
            "lines": len(plan.lines),
            "budget": str(plan.brief.budget),
            "expected_reward": plan.expected_reward,
            "interval": f"{plan.reward_interval.low:.1f} to {plan.reward_interval.high:.1f}",
            "trace": dg.MetadataValue.table(steps),
        }
    )


@dg.asset(**COMMON, deps=[keys.RESPONSE_MODEL_CHAMPION], kinds={"python"}, name=keys.MULTI_AGENT_VS_SINGLE_MODEL)
def multi_agent_vs_single_model(platform: Platform) -> dg.MaterializeResult:
    """The multi-agent plan against one strong model that does everything, on fresh simulated worlds with known truth."""
    from benchmarks.registry import run_claim

    claim = run_claim("thesis", reduced=True)
    platform.state.documents.put(keys.MULTI_AGENT_VS_SINGLE_MODEL, "all", claim)
    return dg.MaterializeResult(
        metadata={
            "regret_difference": claim.figure if claim.figure is not None else "cannot tell",
            "worlds": claim.n,
            "detail": dg.MetadataValue.json(claim.detail),
        }
    )


def assets(present: frozenset[str]) -> list[dg.AssetsDefinition]:
    """Plans for any data set; the comparison makes its own worlds."""
    return [campaign_plans, multi_agent_vs_single_model]
