"""The decision log as a landing asset: what the gateway answered, and what followed, one UTC day at a time."""

from datetime import date, timedelta

import dagster as dg

from adplatform import asset_keys as keys
from adplatform.contracts.tables import DECISION_LOG
from adplatform.decisions import land_day
from adplatform.defs.landing import column_schema
from adplatform.defs.resources import OWNERS, WAREHOUSE_POOL, Platform
from adplatform.partitions import ONLINE


@dg.asset(
    name=keys.DECISION_LOG,
    group_name="landing",
    description=DECISION_LOG.description,
    owners=OWNERS,
    kinds={"sqlite", "parquet"},
    pool=WAREHOUSE_POOL,
    partitions_def=ONLINE,
    backfill_policy=dg.BackfillPolicy.single_run(),
    metadata={"dagster/column_schema": column_schema(DECISION_LOG)},
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=48), warn_window=timedelta(hours=30)),
    deps=["creatives_library", "users", "campaigns"],
)
def decision_log(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """Land the days' decisions with the impressions, clicks and conversions that followed them."""
    for day in map(date.fromisoformat, context.partition_keys):
        reports = {r.table: r for r in land_day(platform.state, day)}
        counts = {f"{name}_accepted": report.accepted for name, report in reports.items()}
        rows = platform.state.landing.read("decision_log", day).num_rows
        context.add_asset_metadata({"dagster/partition_row_count": rows, **counts}, partition_key=day.isoformat())
    return dg.MaterializeResult(metadata={"days": len(context.partition_keys)})
