"""The sensors on a real Dagster instance: what failed is told once, and told to be over when it is."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange

from adplatform.contracts.errors import SetupError
from adplatform.contracts.monitoring import DriftKind, DriftReport, DriftStatistic, RetrainDecision
from adplatform.contracts.promotion import Check, Verdict
from adplatform.defs import runs
from adplatform.defs.alerts import home_alerts, run_alerts
from adplatform.settings import Settings
from adplatform.state import State
from adplatform.store.alerts import AlertBook
from adplatform.store.lock import file_lock
from adplatform.training import VERDICTS

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


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("ADPLATFORM_HOME", str(home))
    monkeypatch.setenv("ADPLATFORM_DISK_RESERVE_MB", "0")
    BROKEN.clear()
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield World(home, instance)


def test_a_run_that_fails_is_told_once_and_is_over_with_the_next_that_succeeds(world: World) -> None:
    BROKEN["plain"] = KeyError("user_id")
    world.run("plain_job")
    world.tick()
    assert world.open == ["run_failed:plain"]
    assert "KeyError" in AlertBook(world.home).read().open["run_failed:plain"].alert.what
    world.tick()
    world.run("plain_job")
    world.tick()
    assert world.told == [("raised", "run_failed:plain")]
    BROKEN.clear()
    world.run("plain_job")
    world.tick()
    assert world.told == [("raised", "run_failed:plain"), ("resolved", "run_failed:plain")]
    assert world.open == []


def test_what_failed_and_succeeded_between_two_looks_is_no_alert(world: World) -> None:
    BROKEN["plain"] = KeyError("x")
    world.run("plain_job")
    BROKEN.clear()
    world.run("plain_job")
    assert world.tick() == "0 notices"
    assert world.told == []


def test_one_day_that_succeeds_does_not_make_good_another(world: World) -> None:
    BROKEN["daily"] = ValueError("bad file")
    world.run("daily_job", "2026-11-03")
    BROKEN.clear()
    world.run("daily_job", "2026-11-04")
    world.tick()
    assert world.open == ["run_failed:daily@2026-11-03"]
    world.run("daily_job", "2026-11-02...2026-11-05")
    world.tick()
    assert world.open == []


def test_a_blocking_check_that_fails_is_one_alert_of_its_day_and_no_second_for_its_run(world: World) -> None:
    BROKEN["check"] = True
    world.run("daily_job", "2026-11-03")
    world.tick()
    assert world.open == ["check_failed:daily:not_empty@2026-11-03"]
    BROKEN.clear()
    world.run("daily_job", "2026-11-04")
    world.tick()
    assert world.open == ["check_failed:daily:not_empty@2026-11-03"]
    world.run("daily_job", "2026-11-03")
    world.tick()
    assert world.open == []


def test_a_check_over_a_range_is_over_when_that_range_passes(world: World) -> None:
    BROKEN["check"] = True
    world.run("daily_job", "2026-11-03...2026-11-05")
    world.tick()
    assert world.open == ["check_failed:daily:not_empty@2026-11-03...2026-11-05"]
    BROKEN.clear()
    world.run("daily_job", "2026-11-03...2026-11-05")
    world.tick()
    assert world.open == []


def test_a_missing_day_is_stale_until_it_is_there(world: World) -> None:
    BROKEN["latest"] = True
    world.run("daily_job", "2026-11-03")
    world.tick()
    assert world.open == ["stale:daily:latest_day_is_there"]
    BROKEN.clear()
    world.run("daily_job", "2026-11-04")
    world.tick()
    assert world.told[-1] == ("resolved", "stale:daily:latest_day_is_there")


def test_a_rejected_challengers_check_is_no_failed_check(world: World) -> None:
    world.run("plain_job")
    world.tick()
    assert world.told == []


def held_lock(folder: Path) -> SetupError:
    holder = (
        "import sys, filelock, time; x = filelock.FileLock(sys.argv[1]); x.acquire(); print(flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", holder, str(folder / "x.lock")], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        with file_lock(folder / "x.lock", 0.1):
            raise AssertionError("the lock was free")
    except SetupError as error:
        return error
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (held_lock, "lock_held"),
        (lambda folder: SetupError("disk is full while landing", "free some"), "disk_full"),
        (lambda folder: OSError(28, "No space left on device"), "disk_full"),
    ],
)
def test_a_held_lock_and_a_full_disk_are_named(world: World, cause: Callable[[Path], Exception], kind: str) -> None:
    BROKEN["plain"] = cause(world.home)
    world.run("plain_job")
    world.tick()
    assert world.open == [f"{kind}:plain"]
    BROKEN.clear()
    world.run("plain_job")
    world.tick()
    assert world.open == []


def test_a_killed_run_is_told_as_killed(world: World) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    tags = {runs.PROCESS_TAG: runs.process_tag(process.pid)}
    world.instance.create_run_for_job(DEFS.resolve_job_def("plain_job"), status=dg.DagsterRunStatus.STARTED, tags=tags)
    process.send_signal(signal.SIGKILL)
    process.wait()
    world.tick()
    assert world.open == []
    runs.recover(world.instance)
    world.tick()
    assert world.open == ["dead_run:job plain_job"]
    world.run("plain_job")
    world.tick()
    assert world.open == []


def test_a_run_that_gets_a_tag_long_after_it_was_told_is_not_told_again(world: World) -> None:
    BROKEN["plain"] = KeyError("x")
    world.run("plain_job")
    world.tick()
    (failed,) = world.instance.get_runs()
    BROKEN.clear()
    world.run("plain_job")
    world.tick()
    world.instance.add_run_tags(failed.run_id, {"seen": "yes"})
    world.tick()
    assert [state for state, _ in world.told] == ["raised", "resolved"]


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
        statistics=(statistic,), decision=decision, alarmed_since=day if alarm else None,
    )  # fmt: skip


def test_drift_is_told_by_the_last_report_with_what_a_retrain_would_bring(world: World) -> None:
    documents = State(world.config).documents
    for day, alarm in ((date(2026, 11, 3), True), (date(2026, 11, 4), False)):
        documents.put("drift_report", day.isoformat(), report(day, alarm))
        world.tick(home_alerts)
    assert [s for s, _ in world.told] == ["raised", "resolved"]


def test_a_disk_that_is_nearly_full_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADPLATFORM_DISK_RESERVE_MB", "1e12")
    world.tick(home_alerts)
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
