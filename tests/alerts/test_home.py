"""Freshness, champions, drift and the disk are told once, and told to be over."""

import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange

from adplatform import monitor
from adplatform.contracts.monitoring import DriftKind, DriftReport, DriftStatistic, RetrainDecision
from adplatform.contracts.promotion import Check, Verdict
from adplatform.defs.alerts import home_alerts, run_alerts
from adplatform.state import State
from adplatform.store.alerts import AlertBook
from adplatform.training import VERDICTS
from tests.alerts.world import BROKEN, World


def changed(world: World, state: FreshnessState) -> None:
    event = FreshnessStateChange(
        key=dg.AssetKey("daily"), previous_state=FreshnessState.UNKNOWN, new_state=state,
        state_change_timestamp=time.time(),
    )  # fmt: skip
    world.instance._report_runless_asset_event(event)  # as dagster's daemon reports it


def test_what_the_freshness_daemon_finds_is_told_and_over_when_it_is_fresh(world: World) -> None:
    changed(world, FreshnessState.WARN)
    world.tick(home_alerts)
    changed(world, FreshnessState.FAIL)
    world.tick(home_alerts)
    world.tick(home_alerts)
    changed(world, FreshnessState.PASS)
    world.tick(home_alerts)
    assert world.told == [(s, "stale:daily") for s in ("raised", "repeated", "resolved")]


def test_a_kept_champion_is_told_with_its_reason_until_the_next_promotion(world: World, tmp_path: Path) -> None:
    state = State(world.config)
    (tmp_path / "a").mkdir()
    versions = []
    for text in ("one", "two"):
        (tmp_path / "a" / "model.json").write_text(text)
        versions.append(state.registry.publish("bandit_policy", tmp_path / "a", data_version="d").version)
    check = Check(rule="better", figure=0.1, limit=0.2, passed=False, reason="no better than the champion")
    judged = Verdict(agent="bandit_policy", challenger=versions[1], champion=versions[0], checks=(check,))
    state.registry.promote("bandit_policy", versions[0], "first")
    world.tick(home_alerts)
    assert world.told == []
    state.documents.put(VERDICTS, "bandit_policy", judged)
    state.registry.keep("bandit_policy", judged.reason)
    world.tick(home_alerts)
    held = AlertBook(world.home).read().open["champion_kept:bandit_policy"].alert
    assert (held.what, held.facts["rejected"]) == ("no better than the champion", versions[1])
    state.registry.promote("bandit_policy", versions[1], "better")
    world.tick(home_alerts)
    assert [s for s, _ in world.told] == ["raised", "resolved"]


def report(day: date, alarm: bool) -> DriftReport:
    statistic = DriftStatistic(
        kind=DriftKind.REWARD, name="clicks", day=day, value=0.01, reference=0.02, z=9.0, limit=5.0, effect=0.5,
        floor=0.1, alarm=alarm, reason="half the clicks",
    )  # fmt: skip
    decision = RetrainDecision(
        retrain=alarm, cause="c", lost_clicks_per_day=1, click_value=1, loss_per_day=1, horizon_days=7, expected_gain=7,
        cost=1, reason="it pays",
    )  # fmt: skip
    return DriftReport(
        day=day, champion="v1", reference_first=day, reference_last=day, reference_days=1, budget=0.01,
        statistics=(statistic,), decision=decision, alarmed_since=day if alarm else None, recent=(),
    )  # fmt: skip


def test_drift_is_told_by_the_last_report_with_what_a_retrain_would_bring(world: World) -> None:
    for day, alarm in ((date(2026, 11, 3), True), (date(2026, 11, 4), False)):
        monitor.keep(State(world.config), report(day, alarm))
        world.tick(home_alerts)
    assert [s for s, _ in world.told] == ["raised", "resolved"]


def test_a_disk_that_is_nearly_full_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADPLATFORM_DISK_RESERVE_MB", "1e12")
    world.tick(home_alerts)
    world.tick(home_alerts)
    assert AlertBook(world.home).read().open["disk_full:home"].count == 1
    monkeypatch.setenv("ADPLATFORM_DISK_RESERVE_MB", "0")
    world.tick(home_alerts)
    assert world.told == [("raised", "disk_full:home"), ("resolved", "disk_full:home")]


def test_a_damaged_registry_costs_no_other_alert(world: World) -> None:
    (world.home / "models" / "bandit_policy").mkdir(parents=True)
    (world.home / "models" / "bandit_policy" / "champion.json").write_text("{")
    changed(world, FreshnessState.FAIL)
    world.tick(home_alerts)
    assert world.open == ["stale:daily"]


@pytest.mark.parametrize("sensor", [run_alerts, home_alerts])
def test_a_sensor_survives_a_missing_home_and_makes_none(world: World, sensor: dg.SensorDefinition) -> None:
    world.home.rmdir()
    assert "is not there yet" in world.tick(sensor)
    assert not world.home.exists()


def test_sensors_run_unless_they_are_stopped() -> None:
    assert {s.default_status for s in (run_alerts, home_alerts)} == {dg.DefaultSensorStatus.RUNNING}


def test_failures_of_the_last_day_are_told_by_a_sensor_that_was_never_asked_before(world: World) -> None:
    BROKEN["plain"] = KeyError("x")
    world.run("plain_job")
    world.tick()
    held = AlertBook(world.home).read().open["run_failed:plain"].alert
    assert datetime.now(UTC) - held.since < timedelta(minutes=1)
