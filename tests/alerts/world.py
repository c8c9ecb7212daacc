"""Two assets with checks that can be broken, a home, and the sensors on a real Dagster instance."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from adplatform.defs.alerts import home_alerts, run_alerts
from adplatform.settings import Settings
from adplatform.store.alerts import AlertBook

DAILY = dg.DailyPartitionsDefinition(start_date="2026-11-01")
BROKEN: dict[str, Any] = {}


def fail(name: str) -> None:
    if name in BROKEN:
        raise BROKEN[name]


@dg.asset
def plain() -> None:
    fail("plain")


@dg.asset(
    partitions_def=DAILY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=2)),
)
def daily(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    fail("daily")
    return dg.MaterializeResult()


@dg.asset_check(asset=daily, name="not_empty", blocking=True, partitions_def=DAILY)
def not_empty() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed="check" not in BROKEN, description="0 rows")


@dg.asset_check(asset=daily, name="latest_day_is_there")
def latest() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed="latest" not in BROKEN, severity=dg.AssetCheckSeverity.WARN, description="behind")


@dg.asset_check(asset=plain, name="verdict")
def verdict() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False)


DEFS = dg.Definitions(
    assets=[plain, daily],
    asset_checks=[not_empty, latest, verdict],
    jobs=[dg.define_asset_job("plain_job", selection="plain"), dg.define_asset_job("daily_job", selection="daily")],
    sensors=[run_alerts, home_alerts],
    executor=dg.in_process_executor,
)


class World:
    """A home, its instance, and the cursor that the daemon would keep."""

    def __init__(self, home: Path, instance: dg.DagsterInstance) -> None:
        self.home, self.instance, self.cursor = home, instance, None
        self.config = Settings(home=home)

    def run(self, job: str, partition: str | None = None) -> None:
        first, _, last = (partition or "").partition("...")
        span = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        DEFS.resolve_job_def(job).execute_in_process(
            instance=self.instance, partition_key=None if last else partition, tags=span if last else {},
            raise_on_error=False, run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )  # fmt: skip

    def tick(self, sensor: dg.SensorDefinition = run_alerts) -> str:
        repository = DEFS.get_repository_def()
        with dg.build_sensor_context(self.instance, self.cursor, repository_def=repository) as context:
            found = sensor(context)
            if sensor is run_alerts:
                self.cursor = context.cursor
        assert isinstance(found, dg.SkipReason)
        return found.skip_message or ""

    @property
    def open(self) -> list[str]:
        return sorted(AlertBook(self.home).read().open)

    @property
    def told(self) -> list[tuple[str, str]]:
        path = self.home / "logs" / "alerts.log"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [(line["state"], line["key"]) for line in lines]
