"""The drift report in Dagster: quiet on the demo's market, alarming on a spoilt day, and what the daemon does about it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from dagster._core.test_utils import create_test_daemon_workspace_context, freeze_time
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._daemon.sensor import execute_sensor_iteration

from adplatform import monitor
from adplatform.definitions import defs
from adplatform.defs.monitoring import CAUSE, DRIFT, REPORT_DAY, TRIGGER
from adplatform.defs.runs import instance
from adplatform.launch import materialize
from adplatform.settings import Settings
from adplatform.state import State
from tests.homes import REPOSITORY

pytestmark = pytest.mark.slow
DAY = date(2026, 11, 20)
SENSOR = "retrain_on_drift"


@pytest.fixture(scope="module")
def state(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    """The demo's home, for all tests of this module in their order."""
    home = tmp_path_factory.mktemp("drift") / "home"
    shutil.copytree(demo_home, home, ignore=shutil.ignore_patterns("*.lock"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADPLATFORM_HOME", str(home))
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        yield State(Settings(home=home))


class Daemon:
    """Dagster's own sensor daemon on the product's workspace; what it makes stays queued, nothing launches it."""

    def __init__(self, found: dg.DagsterInstance, workspace: Any) -> None:
        self.instance, self.workspace, self.now = found, workspace, datetime.now(UTC)

    def tick(self) -> tuple[list[dg.DagsterRun], str]:
        """Evaluate all sensors that are due: the new runs of the one in question, and why it asked for none."""
        before = {run.run_id for run in self.runs()}
        self.now += timedelta(minutes=2)
        with freeze_time(self.now):
            for _ in execute_sensor_iteration(self.workspace, logging.getLogger("daemon"), None, None):
                pass
        (sensor,) = [s for s in self.instance.all_instigator_state() if s.instigator_name == SENSOR]
        last = self.instance.get_ticks(sensor.instigator_origin_id, sensor.selector_id, limit=1)[0]
        assert last.error is None
        return [run for run in self.runs() if run.run_id not in before], last.skip_reason or ""

    def runs(self) -> list[dg.DagsterRun]:
        return list(self.instance.get_runs(dg.RunsFilter(tags={"dagster/sensor_name": SENSOR})))


@pytest.fixture(scope="module")
def daemon(state: State) -> Iterator[Daemon]:
    with (
        instance(state.settings) as found,
        create_test_daemon_workspace_context(WorkspaceFileTarget([str(REPOSITORY / "workspace.yaml")]), found) as made,
    ):
        yield Daemon(found, made)


def materialized(daemon: Daemon, selection: str) -> tuple[dict[str, Any], dg.AssetCheckEvaluation]:
    """Metadata of the drift report, and its check."""
    ran = materialize(defs, daemon.instance, selection)
    assert ran.success
    (made,) = ran.asset_materializations_for_node("drift_report")
    (check,) = [c for c in ran.get_asset_check_evaluations() if c.check_name == "no_drift"]
    return {name: value.value for name, value in made.metadata.items()}, check


def spoil(state: State) -> None:
    """Restate the last day: a quarter of what was shown was clicked, ten times what is usual."""
    shown = state.landing.read("impressions", DAY)
    shown = shown.filter(np.random.default_rng(3).random(shown.num_rows) < 0.25)
    at = pc.add(shown["occurred_at"], pa.scalar(timedelta(seconds=5)))
    ids = pa.array([f"spoilt-{n}" for n in shown["impression_id"].to_pylist()])
    rows = pa.table({"click_id": ids, "impression_id": shown["impression_id"], "occurred_at": at})
    rows = rows.filter(pc.equal(pc.strftime(at, "%Y-%m-%d"), DAY.isoformat()))
    state.landing.ingest_table("clicks", rows, replace=DAY)


def test_the_report_of_the_demos_market_is_quiet_and_asks_for_nothing(state: State, daemon: Daemon) -> None:
    shown, check = materialized(daemon, "key:drift_report")
    report = monitor.latest(state)
    assert report is not None
    assert (report.day, report.alarms) == (DAY, ())
    assert any(s.z is not None for s in report.statistics)
    assert check.passed
    assert shown["reason"] == "no drift"
    assert "data:image/png;base64," in shown["plot"]
    assert daemon.tick() == ([], f"{DAY}: keep: nothing alarms")


def test_a_day_unlike_the_others_alarms_warns_and_is_priced(state: State, daemon: Daemon) -> None:
    spoil(state)
    assert materialize(defs, daemon.instance, "group:behaviour").success
    shown, check = materialized(daemon, "key:drift_report")
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert "clicks over predicted clicks" in shown["reason"]
    assert shown["reason"] in (check.description or "")
    assert shown["retrain"] is True
    assert shown["expected_gain"] > shown["cost_of_retraining"] == state.settings.retrain_cost
    assert shown["decision"] in (check.description or "")


def test_the_daemon_requests_one_training_for_one_report(state: State, daemon: Daemon) -> None:
    report = monitor.latest(state)
    assert report is not None
    cause = f"{DAY}:{report.champion}"
    ((run,), _) = daemon.tick()
    assert run.job_name == "run_agents"
    assert run.tags["dagster/run_key"] == f"drift:{cause}:1"
    assert (run.tags[TRIGGER], run.tags[CAUSE], run.tags[REPORT_DAY]) == (DRIFT, cause, DAY.isoformat())
    trained = {key.to_user_string() for key in defs.resolve_job_def("run_agents").asset_layer.executable_asset_keys}
    assert {
        "response_model_challenger",
        "response_model_champion",
        "bandit_policy_champion",
        "agent_snapshot",
    } <= trained
    assert not trained & {"impressions", "fct_impressions", "campaign_plans", "drift_report"}

    assert daemon.tick() == ([], f"{cause}: a training that drift started still runs")
    daemon.instance.report_run_failed(run)
    assert daemon.tick()[0] == []
    state.documents.put(monitor.REPORTS, monitor.LATEST, report.model_copy(update={"day": DAY + timedelta(days=1)}))
    ((second,), _) = daemon.tick()
    assert second.tags["dagster/run_key"] == f"drift:{cause}:2"
    daemon.instance.report_run_failed(second)
    state.documents.put(monitor.REPORTS, monitor.LATEST, report.model_copy(update={"day": DAY + timedelta(days=2)}))
    assert daemon.tick() == ([], f"{cause}: drift has started 2 trainings in 7 days, 2 are allowed")


def test_a_new_champion_ends_the_cause_and_one_that_knows_the_drift_begins_a_new_regime(
    state: State, daemon: Daemon
) -> None:
    report = monitor.latest(state)
    assert report is not None
    began, before = DAY - timedelta(days=6), "the-one-before"
    old = report.model_copy(update={"champion": before, "alarmed_since": DAY})
    state.documents.put(monitor.REPORTS, monitor.LATEST, old)
    assert daemon.tick() == ([], f"{old.day}: the report is of {before}, {report.champion} serves since")

    shown, _ = materialized(daemon, "key:drift_report")  # trained before that drift: it is no answer to it
    assert shown["reference"].startswith("13 days")
    state.documents.put(monitor.REPORTS, monitor.LATEST, old.model_copy(update={"alarmed_since": began}))
    for _ in range(2):
        shown, check = materialized(daemon, "key:drift_report")
        assert shown["reference"] == f"6 days, {began} to {DAY - timedelta(days=1)}"
        assert check.passed
    assert daemon.tick() == ([], f"{DAY}: keep: nothing alarms")
