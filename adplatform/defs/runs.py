"""Runs of this machine: whose process is gone is failed, and its pool slots are freed.

Dagster's own monitoring does not know of a run that the command line started, nor whether the process of a
locally launched run still lives. So every run writes its process id and that process's start time into its tags
(a process id alone may be used again), and whoever starts next, or the sensor, clears up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from adplatform.processes import alive
from adplatform.settings import REPOSITORY, Settings, settings

PROCESS_TAG = "adplatform/process"
KILLED = "its process was killed"
"""Begins the reason of a run that ``recover`` failed."""
_OPEN = [
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.CANCELING,
]


def recover(instance: dg.DagsterInstance) -> list[str]:
    """Fail every open run whose process is gone and free its slots; returns their ids."""
    dead = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=_OPEN)):
        tag = run.tags.get(PROCESS_TAG)
        if tag and not alive(tag):
            instance.report_run_failed(run, f"{KILLED}; the run was failed by adplatform at start-up")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            dead.append(run.run_id)
    return dead


def prepare(config: Settings | None = None) -> None:
    """Make Dagster's home, put the instance settings there, and point this process at it."""
    config = config or settings()
    config.dagster_home.mkdir(parents=True, exist_ok=True)
    target = config.dagster_home / "dagster.yaml"
    wanted = (REPOSITORY / "dagster.yaml").read_text()
    if not target.exists() or target.read_text() != wanted:
        target.write_text(wanted)
    os.environ["DAGSTER_HOME"] = str(config.dagster_home)


@contextmanager
def instance(config: Settings | None = None) -> Iterator[dg.DagsterInstance]:
    """This home's Dagster instance, with dead runs cleared."""
    prepare(config)
    with dg.DagsterInstance.get() as found:
        recover(found)
        yield found
