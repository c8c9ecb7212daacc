"""Landed days: there, not empty, with sane rates. Partitioned, so that one old day's re-run flips no other's status."""

from datetime import date
from typing import Final

import dagster as dg
import pyarrow.compute as pc

from adplatform import asset_keys
from adplatform.partitions import DAILY
from asset_checks.platform import state

CLICK_RATE: Final = (0.0005, 0.5)
"""Outside of this a day's click rate is a unit or tracking fault, not taste."""
BOTS_SHARE: Final = 0.2


def _not_empty(table: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=table, name="day_is_there_and_not_empty", blocking=True, partitions_def=DAILY)
    def check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        """Every day of the run has rows."""
        landing = state().landing
        rows = {day: landing.read(table, date.fromisoformat(day)).num_rows for day in context.partition_keys}
        empty = sorted(day for day, n in rows.items() if n == 0)
        return dg.AssetCheckResult(
            passed=not empty,
            metadata={"rows": sum(rows.values()), "days": len(rows)},
            description=f"empty days: {', '.join(empty)}" if empty else f"{sum(rows.values()):,} rows",
        )

    return check


@dg.asset_check(asset="clicks", name="click_rate_is_plausible", partitions_def=DAILY, additional_deps=["impressions"])
def click_rate(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Clicks over impressions of the day lie where an ad's click rate can lie."""
    landing = state().landing
    low, high = CLICK_RATE
    rates = {}
    for day in context.partition_keys:
        impressions = landing.read("impressions", date.fromisoformat(day)).num_rows
        rates[day] = landing.read("clicks", date.fromisoformat(day)).num_rows / impressions if impressions else 0.0
    off = {day: rate for day, rate in rates.items() if not low <= rate <= high}
    return dg.AssetCheckResult(
        passed=not off,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"mean_click_rate": sum(rates.values()) / max(len(rates), 1)},
        description="; ".join(f"{d}: {r:.4f} outside {low} to {high}" for d, r in off.items()) or None,
    )


@dg.asset_check(asset="impressions", name="no_user_floods_a_day", partitions_def=DAILY)
def no_flood(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """No single user makes a fifth of a day's impressions (invalid traffic)."""
    worst = 0.0
    for day in context.partition_keys:
        users = state().landing.read("impressions", date.fromisoformat(day))["user_id"]
        counts = pc.value_counts(users)
        if len(users):
            worst = max(worst, pc.max(counts.field("counts")).as_py() / len(users))
    return dg.AssetCheckResult(
        passed=worst < BOTS_SHARE, severity=dg.AssetCheckSeverity.WARN, metadata={"largest_share_of_one_user": worst}
    )


def checks(present: frozenset[str]) -> list[dg.AssetChecksDefinition]:
    """Checks of the daily tables that the data set has."""
    return [_not_empty(t) for t in asset_keys.LANDING_DAILY if t in present] + [click_rate, no_flood]
