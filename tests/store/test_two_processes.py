"""Two processes at once: both end well, each row is there once; the kernel frees the lock of a process that dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from adplatform.contracts.errors import SetupError
from adplatform.settings import Settings
from adplatform.store.landing import Landing
from adplatform.store.lock import store_lock
from adplatform.store.warehouse import Warehouse
from tests.store.world import csv, impressions, parquet

REPOSITORY = Path(__file__).resolve().parents[2]

INGEST = """
import sys, time
from pathlib import Path
from adplatform.settings import Settings
from adplatform.store.landing import Landing
landing = Landing(Settings(home=Path(sys.argv[1])))
print("ready", flush=True)
sys.stdin.readline()
reports = [landing.ingest("impressions", path) for path in sys.argv[2:]]
print(sum(r.accepted for r in reports), sum(r.duplicates for r in reports), flush=True)
"""
HOLD = """
import sys, time
from pathlib import Path
from adplatform.settings import Settings
from adplatform.store.lock import store_lock
with store_lock(Settings(home=Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(600)
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)


def together(*processes: subprocess.Popen[str]) -> list[list[int]]:
    """Let the processes go at the same moment; what each accepted and dropped."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return [[int(n) for n in answer.split()] for answer in answers]


def test_two_processes_with_the_same_file_land_each_row_once(tmp_path: Path, landing: Landing) -> None:
    path = csv(tmp_path / "a.csv", "impressions", impressions(500))
    counts = together(*(start(INGEST, landing.settings.home, path) for _ in range(2)))
    assert sorted(counts) == [[0, 500], [500, 0]]
    assert landing.read("impressions").num_rows == 500


def test_two_processes_that_write_to_one_day_lose_no_row(tmp_path: Path, landing: Landing) -> None:
    # Without the lock each rewrites the day from what it read, and rows of the other vanish.
    files = [
        [parquet(tmp_path / f"{p}-{i}", "impressions", impressions(5, start=1000 * p + 10 * i)) for i in range(20)]
        for p in range(2)
    ]
    counts = together(*(start(INGEST, landing.settings.home, *mine) for mine in files))
    assert counts == [[100, 0], [100, 0]]
    assert landing.read("impressions").num_rows == 200


def test_a_lock_that_is_held_too_long_is_a_setup_error_with_the_mend(tmp_path: Path) -> None:
    config = Settings(home=tmp_path, lock_seconds=0.3)
    holder = start(HOLD, tmp_path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    try:
        with pytest.raises(SetupError, match="ADPLATFORM_LOCK_SECONDS") as caught:
            Landing(config).recover()
        assert caught.value.exit_code == 3
        with pytest.raises(SetupError, match="has held the lock"), Warehouse(config).lock(timeout=0.1):
            pass
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        began = time.monotonic()
        with store_lock(config, timeout=10):
            assert time.monotonic() - began < 5
    finally:
        holder.kill()
        holder.wait()


def test_the_lock_may_be_taken_again_within_and_keeps_other_threads_out(tmp_path: Path) -> None:
    config = Settings(home=tmp_path)
    refused: list[SetupError] = []

    def other() -> None:
        try:
            with store_lock(config, timeout=0.2):
                pass
        except SetupError as error:
            refused.append(error)

    with store_lock(config), store_lock(config, timeout=0):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(refused) == 1
    with store_lock(config, timeout=0):
        pass
