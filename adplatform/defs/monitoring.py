"""Monitoring: the daily drift report, and the sensor that trains again when it pays."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg

from adplatform import asset_keys as keys
from adplatform import monitor
from adplatform.contracts.monitoring import DriftReport
from adplatform.defs.automation import READY
from adplatform.defs.resources import OWNERS, Platform
from adplatform.monitoring.retrain import Attempt, Request, request
from adplatform.report.drift_picture import drift_plot
from adplatform.report.pictures import data_uri
from adplatform.settings import settings
from adplatform.state import State

CAUSE, REPORT_DAY, TRIGGER = "adplatform/cause", "adplatform/report_day", "adplatform/trigger"
DRIFT = "drift"
_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


def report_metadata(report: DriftReport) -> dict[str, Any]:
    """What the drift report shows: what alarms and what follows first, the table of all statistics last."""
    rows = [
        dg.TableRecord(
            {
                "kind": s.kind.value, "statistic": s.name, "alarm": s.alarm,
                **{n: "cannot tell" if v is None else round(v, 4)
                   for n, v in (("value", s.value), ("reference", s.reference), ("z", s.z), ("limit", s.limit))},
            }
        )
        for s in report.statistics
    ]  # fmt: skip
    decision = report.decision
    plot = f"Strongest statistic of each kind over its limit, by day\n\n![drift]({data_uri(drift_plot(report))})"
    return {
        "day": report.day.isoformat(),
        "alarms": len(report.alarms),
        "reason": report.reason,
        "plot": dg.MetadataValue.md(plot),
        "retrain": decision.retrain,
        "decision": decision.reason,
        "expected_gain": decision.expected_gain,
        "cost_of_retraining": decision.cost,
        "lost_clicks_per_day": decision.lost_clicks_per_day,
        "loss_per_day": decision.loss_per_day,
        "champion": report.champion,
        "reference": f"{report.reference_days} days, {report.reference_first} to {report.reference_last}",
        "budget": report.budget,
        **({"statistics": dg.MetadataValue.table(rows)} if rows else {}),
    }


@dg.asset(
    group_name="monitoring", owners=OWNERS, automation_condition=READY, kinds={"python"}, name=keys.DRIFT_REPORT,
    deps=[
        keys.RESPONSE_MODEL_CHAMPION, "training_examples", "fct_impressions", "dim_creatives", "dim_users",
        "drift_statistics_daily", "reward_statistics_daily",
    ],
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=48), warn_window=timedelta(hours=30)),
)  # fmt: skip
def drift_report(platform: Platform) -> dg.MaterializeResult:
    """Traffic, calibration and reward of the last whole day against how days differ, and whether retraining would pay."""
    return dg.MaterializeResult(metadata=report_metadata(monitor.make_report(platform.state)))


def attempts(instance: dg.DagsterInstance) -> list[Attempt]:
    """Every training that drift has started, by the tags of its run."""
    records = instance.get_run_records(filters=dg.RunsFilter(tags={TRIGGER: DRIFT}))
    return [
        Attempt(
            r.dagster_run.tags[CAUSE], date.fromisoformat(r.dagster_run.tags[REPORT_DAY]),
            r.create_timestamp.replace(tzinfo=UTC), r.dagster_run.status not in _ENDED,
        )
        for r in records
    ]  # fmt: skip


def retrain_sensor() -> dg.SensorDefinition:
    """The sensor, running by default where automation does."""
    running = dg.DefaultSensorStatus.RUNNING if settings().automation else dg.DefaultSensorStatus.STOPPED

    @dg.sensor(job_name="run_agents", minimum_interval_seconds=60, default_status=running)
    def retrain_on_drift(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        """Train again when the drift report says that it pays; the gate decides whether the new version serves."""
        state = State.current()
        champion = state.registry.champion("response_model")
        found = request(
            monitor.latest(state), champion.version if champion else None, attempts(context.instance),
            datetime.now(UTC), state.settings.retrains_per_week,
        )  # fmt: skip
        if not isinstance(found, Request):
            return dg.SkipReason(found)
        tags = {TRIGGER: DRIFT, CAUSE: found.cause, REPORT_DAY: found.report_day.isoformat()}
        return dg.RunRequest(run_key=found.run_key, tags=tags)

    made: dg.SensorDefinition = retrain_on_drift
    return made


def assets(present: frozenset[str]) -> list[dg.AssetsDefinition]:
    """Any data set with impressions and clicks has it."""
    return [drift_report]
