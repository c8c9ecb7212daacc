"""The dbt project as assets: behaviour data from landing files to marts, its tests as blocking checks."""

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DbtCliResource, DbtProject, dbt_assets

from adplatform.defs.automation import READY
from adplatform.defs.lineage import column_lineage
from adplatform.defs.resources import OWNERS, WAREHOUSE_POOL, Platform
from adplatform.settings import REPOSITORY, Settings, settings
from adplatform.store.atomic import write_bytes
from adplatform.store.lock import file_lock

PROJECT = REPOSITORY / "dbt_project"
PARSE_SECONDS = 300.0
"""Longest wait for another process that parses."""
DBT = Path(sys.executable).with_name("dbt")


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
        spec: dg.AssetSpec = super().get_asset_spec(manifest, unique_id, project)
        spec = spec.replace_attributes(owners=OWNERS, automation_condition=READY)
        if spec.key.path[-1] == "training_examples":
            policy = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=48), warn_window=timedelta(hours=30))
            spec = spec.replace_attributes(freshness_policy=policy)
        return spec


def project(config: Settings | None = None) -> DbtProject:
    """The project with its manifest, parsed again when a file of the project is another than it was parsed from.

    By one process at a time, and where no build writes: two that wrote one manifest left neither's.
    """
    config = config or settings()
    os.environ.update(environment(config))
    target = config.home / "dbt" / "parsed"
    found = DbtProject(project_dir=PROJECT, profiles_dir=PROJECT, target_path=target)
    files = sorted(p for p in PROJECT.rglob("*") if p.suffix in {".sql", ".yml", ".csv"})
    digest = hashlib.sha256(b"".join(str(p).encode() + p.read_bytes() for p in files)).hexdigest()
    parsed = target / "parsed-from"
    with file_lock(target.with_suffix(".lock"), PARSE_SECONDS):
        if not found.manifest_path.exists() or not parsed.exists() or parsed.read_text() != digest:
            parsed.unlink(missing_ok=True)
            client = DbtCliResource(project_dir=found, dbt_executable=str(DBT))
            client.cli(["parse", "--quiet"], target_path=target).wait()
            write_bytes(parsed, digest.encode())
    return found


def _row_count(platform: Platform, name: str) -> int:
    """Rows of a model, read after dbt has ended.

    dagster-dbt's own fetch_row_counts keeps a connection open in this process, and the next dbt can't lock the file.
    """
    return int(platform.state.warehouse.read(f'select count(*) as n from "{name}"')["n"][0].as_py())


def _lineage(platform: Platform, dbt_project: DbtProject) -> dict[str, dg.TableColumnLineage]:
    """Column lineage of the models that dbt has just compiled."""
    rows = platform.state.warehouse.read("select table_name, column_name, data_type from information_schema.columns")
    columns: dict[str, dict[str, str]] = {}
    for row in rows.to_pylist():
        columns.setdefault(row["table_name"], {})[row["column_name"]] = row["data_type"]
    target = platform.state.settings.home / "dbt" / "target"
    return column_lineage(json.loads(dbt_project.manifest_path.read_text()), target, columns)


def assets() -> dg.AssetsDefinition:
    """All dbt models; one dbt process builds and tests them under the warehouse's lock."""
    dbt_project = project()
    client = DbtCliResource(project_dir=dbt_project, dbt_executable=str(DBT))

    @dbt_assets(
        manifest=dbt_project.manifest_path,
        project=dbt_project,
        dagster_dbt_translator=Translator(),
        name="dbt_build",
        pool=WAREHOUSE_POOL,
    )
    def behaviour(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[Any]:
        config = platform.state.settings
        os.environ.update(environment(config))
        with platform.state.warehouse.lock():
            invocation = client.cli(
                ["build"], context=context, target_path=config.home / "dbt" / "target", raise_on_error=False
            )
            events = list(invocation.stream())
            succeeded = invocation.is_successful()
            if succeeded:
                platform.state.warehouse.record_build()
        lineage = _lineage(platform, dbt_project) if succeeded else {}
        for event in events:
            if isinstance(event, dg.Output):
                more: dict[str, Any] = {"dagster/row_count": _row_count(platform, event.output_name)}
                if event.output_name in lineage:
                    more["dagster/column_lineage"] = lineage[event.output_name]
                yield dg.Output(event.value, event.output_name, metadata={**event.metadata, **more})
            else:
                yield event
        if not succeeded:
            raise dg.Failure(
                "dbt build failed: a model or a blocking test; see the failed checks of this run", allow_retries=False
            )

    made: dg.AssetsDefinition = behaviour
    return made
