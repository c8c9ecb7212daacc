"""The page that is read when something is wrong: what is open, late, drifting and serving, whatever else is broken."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange
from dagster._daemon.types import DaemonHeartbeat
from typer.testing import CliRunner

from adplatform import monitor
from adplatform.cli import app
from adplatform.contracts.alerts import Alert, AlertKind, Severity
from adplatform.contracts.monitoring import DriftReport
from adplatform.defs.runs import instance
from adplatform.report.status import status
from adplatform.settings import Settings
from adplatform.state import State
from adplatform.store.alerts import AlertBook
from tests.monitoring.days import World
from tests.monitoring.test_report import report

NOW = datetime(2026, 11, 26, 2, tzinfo=UTC)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    monkeypatch.setenv("ADPLATFORM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", "")
    return State(Settings(home=tmp_path / "home"))


def published(state: State, folder: Path, text: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "model.json").write_text(text)
    return state.registry.publish("response_model", folder, data_version="d").version


def page(*arguments: str) -> str:
    ran = CliRunner().invoke(app, ["status", *arguments], env={"COLUMNS": "100"})
    assert ran.exit_code == 0, (ran.output, ran.exception)
    return " ".join(ran.stdout.split())


def keep_report(state: State, found: DriftReport) -> None:
    for key in (found.day.isoformat(), monitor.LATEST):
        state.documents.put(monitor.REPORTS, key, found)


def test_the_worst_is_told_first_with_its_runbook(state: State) -> None:
    book = AlertBook.of(state.settings)
    for kind, severity in ((AlertKind.CHAMPION_KEPT, Severity.INFO), (AlertKind.RUN_FAILED, Severity.ERROR)):
        book.raise_(
            Alert(kind=kind, subject="x", severity=severity, title=f"{kind}", what="it broke [here]", since=NOW)
        )
    assert [o.alert.kind for o in status(state.settings, NOW).alerts] == [AlertKind.RUN_FAILED, AlertKind.CHAMPION_KEPT]
    shown = page()
    assert shown.startswith("1 open error, 1 open info")
    assert "docs/operations.md#alert-run_failed" in shown
    assert "it broke [here]" in shown
    book.resolve("run_failed:x")
    assert "run_failed" not in page()


def test_a_champion_serves_since_its_promotion_and_the_kept_ones_reason_is_told(state: State, tmp_path: Path) -> None:
    first, second = (published(state, tmp_path / n, n) for n in ("first", "second"))
    state.registry.promote("response_model", first, "the base rate")
    moved = state.registry.history("response_model")[-1].at
    state.registry.keep("response_model", f"{second} is no better")
    found = status(state.settings, NOW).agents[0]
    assert (found.agent, found.champion, found.since) == ("response_model", first, datetime.fromisoformat(moved))
    assert found.looked_at is not None
    assert found.looked_at > datetime.fromisoformat(moved)
    assert f"{second} is no better" in page()
    assert "shadow" not in page()
    state.registry.set_shadow("response_model", second)
    assert f"{second} runs in shadow" in page()
    state.registry.promote("response_model", second, "better now")
    assert status(state.settings, NOW).agents[0].champion == second


def test_what_freshness_policies_and_days_say_is_shown(state: State) -> None:
    with instance(state.settings) as found:
        for asset, to in (("late", FreshnessState.FAIL), ("slow", FreshnessState.WARN), ("good", FreshnessState.PASS)):
            found.report_runless_asset_event(dg.AssetMaterialization(asset))
            event = FreshnessStateChange(
                key=dg.AssetKey(asset), previous_state=FreshnessState.UNKNOWN, new_state=to,
                state_change_timestamp=time.time(),
            )  # fmt: skip
            found._report_runless_asset_event(event)
    rows = {(r.asset, r.by): r for r in status(state.settings, NOW).freshness}
    policies = {asset: row.state for (asset, by), row in rows.items() if by == "freshness policy"}
    assert policies == {"late": "error", "slow": "warning", "good": "fresh"}
    days = rows["impressions", "latest day"]
    assert (days.state, days.what) == ("warning", "nothing is there; 2026-11-24 should be")
    assert "not fresh late (freshness policy)" in page()


def test_a_daemon_that_is_gone_is_told_for_then_silence_is_no_good_news(state: State) -> None:
    assert "daemon: never seen; without it nothing runs by itself" in page()
    for ago, words in ((1800, "daemon: last seen 30 min ago"), (10, "daemon: seen 1")):
        with instance(state.settings) as found:
            found.add_daemon_heartbeat(DaemonHeartbeat(time.time() - ago, "SENSOR", None, None))
        assert words in page()


def test_drift_is_one_line_with_what_alarms_and_the_priced_decision(state: State) -> None:
    assert status(state.settings).drift is None
    drifted = report(World(rows=100_000, slope=0.0))
    keep_report(state, drifted)
    found = json.loads(page("--json"))["drift"]
    assert found["day"] == drifted.day.isoformat()
    assert found["alarms"] == [s.reason for s in drifted.alarms]
    assert found["retrain"] is True
    assert found["expected_gain"] > found["cost"] > 0
    assert f"drift since {drifted.alarmed_since}" in page()
    assert "training costs 5.00" in page()
    keep_report(state, report(World(rows=100_000)).model_copy(update={"day": drifted.day + timedelta(days=1)}))
    assert "drift: none on" in page()
    young = report(World(rows=100_000))
    untold = tuple(s.model_copy(update={"z": None, "alarm": False}) for s in young.statistics)
    keep_report(state, young.model_copy(update={"statistics": untold}))
    assert f"drift: cannot tell yet on {young.day}" in page()


def test_whatever_is_broken_is_named_and_the_rest_is_shown(state: State, tmp_path: Path) -> None:
    state.registry.promote("response_model", published(state, tmp_path / "a", "a"), "the base rate")
    broken = state.settings.models / "bandit_policy"
    broken.mkdir()
    (broken / "champion.json").write_text("{")
    path = state.documents.path(monitor.REPORTS, monitor.LATEST)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    found = status(state.settings, NOW)
    assert [line.partition(":")[0] for line in found.unknown] == ["bandit_policy", "drift"]
    assert found.agents[0].reason == "the base rate"
    assert page().startswith("3 not fresh, 2 cannot be looked at")


def test_a_home_that_is_not_there_is_shown_and_not_made(state: State) -> None:
    found = status(state.settings, NOW)
    assert all(a.champion is None for a in found.agents)
    assert not state.settings.home.exists()


@pytest.mark.slow
def test_a_build_that_holds_the_warehouse_stops_nothing_but_what_is_in_it(own_home: Path) -> None:
    config = Settings(home=own_home)
    hold = "from adplatform.settings import settings; from adplatform.store.lock import store_lock\n"
    hold += "with store_lock(settings()): print('held', flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", hold], env={"ADPLATFORM_HOME": str(own_home)}, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    held = status(config, NOW)
    holder.communicate(b"\n", timeout=30)
    assert held.data_through is None
    assert any("another process has held the lock" in line for line in held.unknown)
    assert all(a.champion for a in held.agents)
    free = status(config, NOW)
    assert free.unknown == ()
    assert free.data_through == date(2026, 11, 20)
    assert {r.state for r in free.freshness} == {"fresh"}
    assert {"impressions", "training_examples", "user_features"} <= {r.asset for r in free.freshness}
