"""The latest day is there. Freshness policies know no partitions: a backfill of an old day would turn them green."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from asset_checks.platform import state


@dg.asset_check(asset="training_examples", name="latest_day_is_there")
def latest_day(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Yesterday (UTC) has rows; a warning, because a data set may end in the past on purpose."""
    through = state().warehouse.data_through()
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    behind = (yesterday - through).days if through else None
    return dg.AssetCheckResult(
        passed=behind is not None and behind <= 0,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"data_through": str(through), "days_behind": behind if behind is not None else "no data"},
        description=None
        if behind is not None and behind <= 0
        else f"data ends on {through}, yesterday was {yesterday}",
    )


def checks(present: frozenset[str]) -> list[dg.AssetChecksDefinition]:
    """Checks on the latest partition."""
    return [latest_day]
