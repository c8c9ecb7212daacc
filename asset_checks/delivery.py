"""The budget policy's verdict, and money that adds up."""

from decimal import Decimal

import dagster as dg

from adplatform import asset_keys as keys
from adplatform.contracts.delivery import Allocation, PacingPlan
from asset_checks.platform import state
from asset_checks.targeting import verdict_check


@dg.asset_check(asset=keys.BUDGET_ALLOCATION, name="budgets_add_up", blocking=True)
def budgets_add_up() -> dg.AssetCheckResult:
    """Shares and what is unspent are the budget to the cent, and no share is negative."""
    found = state().documents.get(keys.BUDGET_ALLOCATION, "all", Allocation)
    total = sum((s.budget for s in found.shares), found.unspent)
    least = min((s.budget for s in found.shares), default=Decimal(0))
    return dg.AssetCheckResult(
        passed=total == found.budget and least >= 0, metadata={"budget": str(found.budget), "total": str(total)}
    )


@dg.asset_check(asset=keys.PACING_PLANS, name="hours_add_up")
def hours_add_up() -> dg.AssetCheckResult:
    """Each campaign's hours are its day's budget to the cent, and there are 23, 24 or 25 of them."""
    found = state().documents.get(keys.PACING_PLANS, "all", list[PacingPlan])
    wrong = [
        p.campaign_id for p in found
        if sum(p.hourly, Decimal(0)) != p.budget or not 23 <= len(p.hourly) <= 25
    ]  # fmt: skip
    return dg.AssetCheckResult(
        passed=bool(found) and not wrong, metadata={"campaigns": len(found), "wrong": ", ".join(wrong) or "none"}
    )


def checks(present: frozenset[str]) -> list[dg.AssetChecksDefinition]:
    """Checks of the delivery assets that the data set has."""
    return [verdict_check("budget_policy"), budgets_add_up, hours_add_up] if "conversions" in present else []
