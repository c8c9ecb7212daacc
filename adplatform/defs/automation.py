"""Named jobs, schedules, the automation sensor, and the sensor that clears dead runs."""

from datetime import timedelta
from typing import Any

import dagster as dg

from adplatform import asset_keys
from adplatform.defs.runs import recover
from adplatform.partitions import CAMPAIGNS, DAILY
from adplatform.settings import settings

READY = (
    dg.AutomationCondition.eager().without(~dg.AutomationCondition.any_deps_missing())
    & dg.AutomationCondition.all_deps_blocking_checks_passed()
)
"""Run when something upstream changed and no blocking check upstream failed, in this run or an earlier one.

A day that was never delivered must not stop every later day, so missing partitions upstream do not hold it back.
"""


def jobs(present: frozenset[str]) -> list[Any]:
    """Daily, per-campaign and unpartitioned assets can't share a run, so each has its job."""
    snapshots = [name for name in asset_keys.LANDING_SNAPSHOTS if name in present]
    daily = [name for name in asset_keys.LANDING_DAILY if name in present]
    groups = ("targeting", "measurement", "delivery")
    per_campaign = dg.AssetSelection.assets(*asset_keys.PER_CAMPAIGN)
    return [
        dg.define_asset_job("land_snapshots", selection=dg.AssetSelection.assets(*snapshots)),
        dg.define_asset_job("land_days", selection=dg.AssetSelection.assets(*daily), partitions_def=DAILY),
        dg.define_asset_job("build_behaviour", selection=dg.AssetSelection.groups("behaviour")),
        dg.define_asset_job(
            "run_agents",
            selection=(
                dg.AssetSelection.groups(*groups)
                | dg.AssetSelection.assets(asset_keys.COPY_MODEL, *asset_keys.PUBLISHED)
            )
            - per_campaign,
        ),
        dg.define_asset_job("plan_campaigns", selection=per_campaign, partitions_def=CAMPAIGNS),
    ]


@dg.schedule(cron_schedule="10 1 * * *", job_name="land_snapshots", default_status=dg.DefaultScheduleStatus.STOPPED)
def nightly_snapshots(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Land the users, campaigns and creatives that were delivered in the night."""
    return dg.RunRequest(run_key=f"snapshots-{context.scheduled_execution_time:%Y-%m-%d}")


@dg.schedule(cron_schedule="20 1 * * *", job_name="land_days", default_status=dg.DefaultScheduleStatus.STOPPED)
def nightly_events(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Land yesterday's events; everything behind them follows by automation."""
    day = (context.scheduled_execution_time - timedelta(days=1)).date().isoformat()
    return dg.RunRequest(run_key=f"events-{day}", partition_key=day)


@dg.sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Fail runs whose process was killed and free their pool slots."""
    found = recover(context.instance)
    return dg.SkipReason(f"failed dead runs: {', '.join(found)}" if found else "no dead run")


def automation() -> dg.AutomationConditionSensorDefinition:
    """The sensor behind declarative automation: stopped by Dagster's default, running by ours.

    Its runs come after those that a person launches.
    """
    running = dg.DefaultSensorStatus.RUNNING if settings().automation else dg.DefaultSensorStatus.STOPPED
    return dg.AutomationConditionSensorDefinition(
        "automation",
        target=dg.AssetSelection.all(),
        default_status=running,
        minimum_interval_seconds=30,
        run_tags={"dagster/priority": "-1"},
    )
