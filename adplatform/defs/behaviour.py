"""The dbt project as assets: behaviour data from landing files to marts, its tests as blocking checks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DbtCliResource, DbtProject, dbt_assets

from adplatform.contracts.tables import TABLES
from adplatform.defs.resources import OWNERS, WAREHOUSE_POOL, Platform
from adplatform.settings import REPOSITORY, Settings, settings

PROJECT = REPOSITORY / "dbt_project"
DBT = Path(sys.executable).with_name("dbt")
MART_EVENTS = "meta_dbt"


def environment(config: Settings) -> dict[str, str]:
    """What the dbt profile reads. Set in this process too, because dagster-dbt inherits it."""
    return {
        "DBT_ADPLATFORM_WAREHOUSE": str(config.warehouse),
        "DBT_ADPLATFORM_LANDING": str(config.landing),
        "DBT_ADPLATFORM_ATTRIBUTION_DAYS": str(config.attribution_days),
        "DBT_ADPLATFORM_THREADS": str(config.dbt_threads),
        "DBT_LOG_PATH": str(config.home / "dbt" / "logs"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }


class Translator(DagsterDbtTranslator):
    """Model name as key, one group, owners, and landing assets as the sources."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """A source is the landing asset of its name; a model keeps its own."""
        return dg.AssetKey(dbt_resource_props["name"])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """Everything that dbt builds is behaviour data."""
        return "behaviour"

    def get_asset_spec(self, manifest: Any, unique_id: str, project: DbtProject | None) -> dg.AssetSpec:
        """Owners, pool-free automation, and freshness on the mart that every model reads."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        condition = dg.AutomationCondition.eager() & dg.AutomationCondition.all_deps_blocking_checks_passed()
        spec = spec.replace_attributes(owners=OWNERS, automation_condition=condition)
        if spec.key.path[-1] == "training_examples":
            policy = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=48), warn_window=timedelta(hours=30))
            spec = spec.replace_attributes(freshness_policy=policy)
        return spec


def project(config: Settings | None = None) -> DbtProject:
    """The project with its manifest, parsed again when a model file is newer."""
    config = config or settings()
    os.environ.update(environment(config))
    target = config.home / "dbt" / "target"
    found = DbtProject(project_dir=PROJECT, profiles_dir=PROJECT, target_path=target)
    newest = max(p.stat().st_mtime for p in PROJECT.rglob("*") if p.suffix in {".sql", ".yml", ".csv"})
    if not found.manifest_path.exists() or found.manifest_path.stat().st_mtime < newest:
        client = DbtCliResource(project_dir=found, dbt_executable=str(DBT))
        client.cli(["parse", "--quiet"], target_path=target).wait()
    return found


def _mart_metadata(platform: Platform, name: str) -> dict[str, Any]:
    """Row count and column types, read after dbt has ended.

    dagster-dbt's own fetch_row_counts keeps a connection open in this process, and the next dbt can't lock the file.
    """
    rows = platform.warehouse.read(f'select count(*) as n from "{name}"')["n"][0].as_py()
    columns = platform.warehouse.read(
        "select column_name, data_type from information_schema.columns where table_name = ? order by ordinal_position",
        [name],
    )
    described = [
        dg.TableColumn(c, t)
        for c, t in zip(columns["column_name"].to_pylist(), columns["data_type"].to_pylist(), strict=True)
    ]
    return {"dagster/row_count": rows, "dagster/column_schema": dg.TableSchema(columns=described)}


def assets() -> dg.AssetsDefinition:
    """All dbt models; one dbt process builds and tests them under the warehouse's lock."""
    dbt_project = project()
    client = DbtCliResource(project_dir=dbt_project, dbt_executable=str(DBT))

    @dbt_assets(
        manifest=dbt_project.manifest_path,
        project=dbt_project,
        dagster_dbt_translator=Translator(),
        name="behaviour",
        pool=WAREHOUSE_POOL,
    )
    def behaviour(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[Any]:
        config = platform.settings
        os.environ.update(environment(config))
        with platform.warehouse.lock():
            invocation = client.cli(["build"], context=context, target_path=config.home / "dbt" / "target")
            events = list(invocation.stream())
            platform.warehouse.record_build()
        yield from _with_metadata(platform, events)

    return behaviour


def _with_metadata(platform: Platform, events: list[Any]) -> Iterator[Any]:
    for event in events:
        name = event.output_name if isinstance(event, dg.Output) else None
        if name is None:
            yield event
            continue
        extra = _mart_metadata(platform, name)
        yield dg.Output(value=event.value, output_name=name, metadata={**event.metadata, **extra})


def sources() -> tuple[str, ...]:
    """Landing tables that the project reads."""
    return tuple(TABLES)
