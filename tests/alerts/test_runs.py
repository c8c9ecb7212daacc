"""Runs and checks that failed are told once, and told to be over when they are green again."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from adplatform.contracts.errors import SetupError
from adplatform.defs import runs
from adplatform.processes import process_tag
from adplatform.store.alerts import AlertBook
from adplatform.store.lock import file_lock
from tests.alerts.world import BROKEN, DEFS, World


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
    tags = {runs.PROCESS_TAG: process_tag(process.pid)}
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
