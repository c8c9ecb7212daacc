"""Delivery assets: the budget policy and its promotion, tomorrow's budgets, and their pacing."""

from datetime import timedelta
from typing import Any

import dagster as dg

from adplatform import asset_keys as keys
from adplatform import estimation
from adplatform.defs.automation import READY
from adplatform.defs.resources import OWNERS, Platform
from adplatform.defs.targeting import FRESH, champion_result, verdict_metadata

COMMON: dict[str, Any] = {"group_name": "delivery", "owners": OWNERS, "automation_condition": READY}


@dg.asset(**COMMON, deps=["campaign_daily", "stg_campaigns"], kinds={"python"}, name=keys.BUDGET_POLICY_CHALLENGER)
def budget_policy_challenger(platform: Platform) -> dg.MaterializeResult:
    """How money is split over campaigns, chosen on earlier days and judged on what later days taught."""
    return dg.MaterializeResult(metadata=verdict_metadata(estimation.challenge_budget(platform.state)))


@dg.asset(
    **COMMON,
    deps=[keys.BUDGET_POLICY_CHALLENGER],
    kinds={"python"},
    name=keys.BUDGET_POLICY_CHAMPION,
    freshness_policy=FRESH,
)
def budget_policy_champion(platform: Platform) -> dg.MaterializeResult:
    """The budget policy that serves; at first the daily budgets as they are."""
    return champion_result(platform, "budget_policy")


@dg.asset(
    **COMMON, deps=[keys.BUDGET_POLICY_CHAMPION, keys.RESPONSE_CURVES], kinds={"python"}, name=keys.BUDGET_ALLOCATION
)
def budget_allocation(platform: Platform) -> dg.MaterializeResult:
    """Tomorrow's budget of each campaign, exact to the cent."""
    found = estimation.allocate_budget(platform.state)
    rows = [
        dg.TableRecord({"campaign": s.option_id, "budget": str(s.budget), "share": round(s.share, 4),
                        "expected_value": round(s.expected_reward, 2)})
        for s in found.shares
    ]  # fmt: skip
    return dg.MaterializeResult(
        metadata={"budget": str(found.budget), "shares": dg.MetadataValue.table(rows), "policy": found.model_version}
    )


@dg.asset(**COMMON, deps=[keys.BUDGET_ALLOCATION, "fct_impressions"], kinds={"python"}, name=keys.PACING_PLANS)
def pacing_plans(platform: Platform) -> dg.MaterializeResult:
    """Each campaign's budget for every hour of the next day, in its own zone, by its traffic."""
    state = platform.state
    through = state.warehouse.data_through()
    assert through is not None  # the allocation above was made from landed days
    plans = estimation.pace_campaigns(state, through + timedelta(days=1))
    rows = [
        dg.TableRecord({"campaign": p.campaign_id, "budget": str(p.budget), "hours": len(p.hourly),
                        "largest_hour": str(max(p.hourly))})
        for p in plans
    ]  # fmt: skip
    return dg.MaterializeResult(metadata={"dagster/row_count": len(plans), "plans": dg.MetadataValue.table(rows)})


def assets(present: frozenset[str]) -> list[dg.AssetsDefinition]:
    """Budgets need prices; a data set without them (it has no conversions either) has no delivery."""
    if "conversions" not in present:
        return []
    return [budget_policy_challenger, budget_policy_champion, budget_allocation, pacing_plans]
