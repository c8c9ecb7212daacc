"""Landing assets: files that source systems deliver to the inbox, validated and landed atomically.

A file lies in the inbox as ``<table>.parquet`` (or .csv) for a snapshot and ``<table>/<day>.parquet`` (or .csv)
for a day. What is landed already (by ``adplatform ingest``) needs no file.
"""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from adplatform import asset_keys
from adplatform.contracts.errors import InputError
from adplatform.contracts.tables import TABLES, Table
from adplatform.defs.resources import OWNERS, WAREHOUSE_POOL, Platform
from adplatform.partitions import CAMPAIGNS, DAILY
from adplatform.store.landing import IngestReport, Landing

_DTYPES = {"string": "string", "integer": "int64", "number": "float64", "boolean": "bool"}


def inbox_file(inbox: Path, table: str, day: date | None = None) -> Path | None:
    """The delivered file of a table (and day), or None."""
    stem = inbox / table if day is None else inbox / table / day.isoformat()
    found = [stem.with_name(stem.name + suffix) for suffix in (".parquet", ".csv")]
    return next((path for path in found if path.exists()), None)


def column_schema(table: Table) -> dg.TableSchema:
    """The table's columns as Dagster's UI shows them."""
    columns = [
        dg.TableColumn(
            column.name,
            _DTYPES.get(column.kind.value, column.kind.value),
            description=column.description,
            constraints=dg.TableColumnConstraints(nullable=column.nullable, unique=column.name == table.key),
        )
        for column in table.columns
    ]
    return dg.TableSchema(columns=columns)


def land(landing: Landing, inbox: Path, table: Table, day: date | None) -> IngestReport | None:
    """Land the delivered file; None when there is none but rows are there already.

    Raises InputError when neither a file nor landed rows exist.
    """
    path = inbox_file(inbox, table.name, day)
    if path is not None:
        return landing.ingest(table.name, path)
    present = day in landing.days(table.name) if day else landing.fingerprint(table.name) is not None
    if not present:
        where = f"inbox/{table.name}" + (f"/{day}" if day else "")
        raise InputError(where, "no file was delivered and nothing is landed", f"adplatform ingest {table.name} PATH")
    return None


def _counts(reports: list[IngestReport]) -> dict[str, Any]:
    return {
        "accepted": sum(r.accepted for r in reports),
        "duplicates": sum(r.duplicates for r in reports),
        "late": sum(r.late for r in reports),
    }


def _snapshot_asset(table: Table) -> dg.AssetsDefinition:
    @dg.asset(
        name=table.name,
        group_name="landing",
        description=table.description,
        owners=OWNERS,
        kinds={"parquet"},
        pool=WAREHOUSE_POOL,
        metadata={"dagster/column_schema": column_schema(table)},
        deps=[r for r in _references(table) if not TABLES[r].daily],
    )
    def snapshot(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
        report = land(platform.state.landing, platform.state.settings.home / "inbox", table, None)
        rows = platform.state.landing.read(table.name)
        if table.name == "campaigns":
            context.instance.add_dynamic_partitions(CAMPAIGNS.name or "", sorted(rows["campaign_id"].to_pylist()))
        return dg.MaterializeResult(
            metadata={"dagster/row_count": rows.num_rows, **_counts([report] if report else [])},
            data_version=dg.DataVersion(str(platform.state.landing.fingerprint(table.name))),
        )

    return snapshot


def _daily_asset(table: Table) -> dg.AssetsDefinition:
    @dg.asset(
        name=table.name,
        group_name="landing",
        description=table.description,
        owners=OWNERS,
        kinds={"parquet"},
        pool=WAREHOUSE_POOL,
        partitions_def=DAILY,
        backfill_policy=dg.BackfillPolicy.single_run(),
        metadata={"dagster/column_schema": column_schema(table)},
        freshness_policy=dg.FreshnessPolicy.time_window(
            fail_window=timedelta(hours=48), warn_window=timedelta(hours=30)
        ),
        deps=_references(table),
    )
    def daily(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
        landing, inbox = platform.state.landing, platform.state.settings.home / "inbox"
        for day in map(date.fromisoformat, context.partition_keys):
            report = land(landing, inbox, table, day)
            rows = landing.read(table.name, day).num_rows
            context.add_asset_metadata(
                {"dagster/partition_row_count": rows, **_counts([report] if report else [])},
                partition_key=day.isoformat(),
            )
        return dg.MaterializeResult(metadata={"days": len(context.partition_keys)})

    return daily


def _references(table: Table) -> list[str]:
    named = {column.references.split(".")[0] for column in table.columns if column.references}
    return sorted(named - {table.name})


def assets(present: frozenset[str]) -> list[dg.AssetsDefinition]:
    """The landing assets of the tables that the data set has."""
    daily = [_daily_asset(TABLES[n]) for n in asset_keys.LANDING_DAILY if n in present]
    return daily + [_snapshot_asset(TABLES[n]) for n in asset_keys.LANDING_SNAPSHOTS if n in present]
