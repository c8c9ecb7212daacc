"""Plans keep the brief, and say when an agent did not answer."""

import dagster as dg

from adplatform import assembly
from adplatform import asset_keys as keys
from adplatform.contracts.plan import CampaignPlan, Outcome
from adplatform.partitions import CAMPAIGNS
from asset_checks.platform import state


def _plan(context: dg.AssetCheckExecutionContext) -> CampaignPlan:
    return state().documents.get(keys.CAMPAIGN_PLANS, context.partition_key, CampaignPlan)


@dg.asset_check(asset=keys.CAMPAIGN_PLANS, name="plan_keeps_the_brief", partitions_def=CAMPAIGNS)
def plan_keeps_the_brief(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """The plan answers the campaign's brief as it is now, in at most k lines, in allowed segments, within the budget."""
    plan, brief = _plan(context), assembly.brief_of(state().settings, context.partition_key)
    excluded = set(brief.audience.excluded_segments)
    problems = [
        *(["the brief changed since"] if plan.brief != brief else []),
        *(["too many lines"] if len(plan.lines) > brief.combinations else []),
        *(["an excluded segment"] if any(line.segment_id in excluded for line in plan.lines) else []),
        *(["over the budget"] if sum(line.budget for line in plan.lines) + plan.unspent != brief.budget else []),
    ]
    return dg.AssetCheckResult(
        passed=not problems,
        metadata={"lines": len(plan.lines), "unspent": str(plan.unspent)},
        description="; ".join(problems) or None,
    )


@dg.asset_check(asset=keys.CAMPAIGN_PLANS, name="every_agent_answered", partitions_def=CAMPAIGNS)
def every_agent_answered(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """No default rule had to answer for an agent."""
    silent = [s for s in _plan(context).trace if s.outcome is not Outcome.ANSWERED]
    return dg.AssetCheckResult(
        passed=not silent,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(f"{s.agent} {s.outcome.value}: {s.problem}" for s in silent) or None,
    )


def checks(present: frozenset[str]) -> list[dg.AssetChecksDefinition]:
    """Checks of the plans."""
    return [plan_keeps_the_brief, every_agent_answered]
