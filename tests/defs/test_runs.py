"""A run that was killed leaves the next one free to go, with or without a daemon."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from adplatform.defs import runs
from adplatform.processes import process_tag


@dg.job
def nothing() -> None:
    pass


def sleeper() -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


@pytest.fixture
def instance(tmp_path: Path):
    with dg.DagsterInstance.local_temp(str(tmp_path)) as found:
        yield found


def started(instance: dg.DagsterInstance, tag: str) -> dg.DagsterRun:
    return instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED, tags={runs.PROCESS_TAG: tag})


def test_a_run_whose_process_was_killed_is_failed_and_its_slots_are_freed(instance: dg.DagsterInstance) -> None:
    instance.event_log_storage.set_concurrency_slots("warehouse", 1)
    process = sleeper()
    run = started(instance, process_tag(process.pid))
    instance.event_log_storage.claim_concurrency_slot("warehouse", run.run_id, "step")
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert runs.recover(instance) == [run.run_id]

    assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.FAILURE
    info = instance.event_log_storage.get_concurrency_info("warehouse")
    assert info.active_slot_count == 0


def test_a_run_that_works_is_left_alone(instance: dg.DagsterInstance) -> None:
    process = sleeper()
    try:
        run = started(instance, process_tag(process.pid))
        assert runs.recover(instance) == []
        assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.STARTED
    finally:
        process.kill()
        process.wait()


def test_a_process_id_that_was_used_again_is_not_taken_for_the_run(instance: dg.DagsterInstance) -> None:
    host, pid, _ = process_tag().rsplit(":", 2)
    run = started(instance, f"{host}:{pid}:1.00")
    assert runs.recover(instance) == [run.run_id]


def test_a_run_of_another_host_is_not_judged(instance: dg.DagsterInstance) -> None:
    started(instance, "elsewhere:1:1.00")
    assert runs.recover(instance) == []
