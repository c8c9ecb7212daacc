"""A process that is killed, or a disk that fills up, leaves all of a file landed or nothing of it."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adplatform.contracts.errors import SetupError
from adplatform.settings import Settings
from adplatform.store import journal
from adplatform.store.landing import Landing
from adplatform.store.registry import Registry
from tests.store.world import NOW, click, csv, impression, impressions, new_landing, snapshot, table

REPOSITORY = Path(__file__).resolve().parents[2]

# A process of its own, for it forks.
KILLED = """
import json, sys
from pathlib import Path
from adplatform.settings import Settings
from adplatform.store.landing import Landing
from tests.killing import exit_codes

codes = exit_codes(sys.argv[3:], lambda home: Landing(Settings(home=home)).ingest("impressions", sys.argv[1]))
Path(sys.argv[2]).write_text(json.dumps(codes))
"""


def days_of(landing: Landing) -> list[int]:
    return [landing.read("impressions", day).num_rows for day in landing.days("impressions")]


@pytest.mark.slow
def test_kill_9_at_any_point_leaves_all_or_nothing(tmp_path: Path, landing: Landing) -> None:
    points = 45
    homes = [tmp_path / f"home-{i}" for i in range(points)]
    landing.ingest_table("impressions", table("impressions", impressions(2)), now=NOW)
    for home in homes:
        shutil.copytree(landing.settings.home, home)
    before = landing.fingerprint("impressions")
    path = csv(tmp_path / "a.csv", "impressions", [impression(100 + i, day=i % 3) for i in range(9)])
    out = tmp_path / "statuses.json"
    subprocess.run([sys.executable, "-c", KILLED, str(path), str(out), *map(str, homes)], check=True, cwd=REPOSITORY)
    statuses = json.loads(out.read_text())
    killed = statuses.count(-9)
    assert statuses == [-9] * killed + [0] * (points - killed)
    assert 20 < killed < points, "every point up to the last must have been tried"
    outcomes = []
    for home in homes:
        landing = Landing(Settings(home=home))
        outcomes.append(days_of(landing))
        assert outcomes[-1] in ([2], [5, 3, 3])
        assert outcomes[-1] == [5, 3, 3] or landing.fingerprint("impressions") == before
        landing.ingest("impressions", path)
        assert days_of(landing) == [5, 3, 3]
        assert not [p for p in home.rglob("*") if ".tmp" in p.name or p.name in (".staging", ".journal.json")]
    done = outcomes.index([5, 3, 3])
    assert outcomes == [[2]] * done + [[5, 3, 3]] * (points - done)
    assert 0 < done < killed, "some kills before the commit, some after"


def failing(monkeypatch: pytest.MonkeyPatch, name: str, nth: int, code: int) -> Callable[[], int]:
    """Make the n-th call of ``os.<name>`` fail with ``code``; returns how many calls there were."""
    real, calls = getattr(os, name), 0

    def call(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth:
            raise OSError(code, os.strerror(code))
        return real(*arguments, **named)

    monkeypatch.setattr(os, name, call)
    return lambda: calls


@pytest.mark.parametrize("name", ["write", "fsync"])
def test_a_full_disk_at_any_write_is_a_clear_error_and_lands_all_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_home: Callable[[Path], Landing], name: str
) -> None:
    rows = table("impressions", [impression(i, day=i % 2) for i in range(6)])
    refused: list[SetupError] = []
    for nth in range(1, 40):
        landing = new_home(tmp_path / f"{nth}")
        before = snapshot(landing.settings.landing)
        with monkeypatch.context() as patch:
            calls = failing(patch, name, nth, errno.ENOSPC)
            try:
                landing.ingest_table("impressions", rows, now=NOW)
            except SetupError as error:
                refused.append(error)
        committed = landing.days("impressions")
        if committed:
            assert [landing.read("impressions", d).num_rows for d in committed] == [3, 3]
        else:
            assert snapshot(landing.settings.landing) == before
        assert landing.ingest_table("impressions", rows, now=NOW).accepted in (0, 6)
        if calls() < nth:
            break
    assert len(refused) == nth - 1 >= 3
    assert all("disk is full while landing" in str(e) and e.exit_code == 3 for e in refused)


LIMITED = """
import resource, sys
from adplatform.contracts.errors import SetupError
from adplatform.settings import Settings
from adplatform.store.landing import Landing
from pathlib import Path
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))
try:
    Landing(Settings(home=Path(sys.argv[1]))).ingest("impressions", sys.argv[2])
except SetupError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def test_a_file_that_the_system_refuses_to_grow_lands_nothing(tmp_path: Path, landing: Landing) -> None:
    before = snapshot(landing.settings.landing)
    rows = [impression(i, day=i % 2, price=(i * 7919 % 10_000) / 1000) for i in range(4000)]
    path = csv(tmp_path / "a.csv", "impressions", rows)
    command = [sys.executable, "-c", LIMITED, str(landing.settings.home), str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert ran.returncode == 3, ran.stderr
    assert "limit on file sizes" in ran.stdout
    assert snapshot(landing.settings.landing) == before
    assert landing.ingest("impressions", path, now=NOW).accepted == 4000


def test_a_real_full_disk_lands_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small disk; the other tests of a full disk stand in")
    try:
        landing = new_landing(disk / "home")
        before = snapshot(landing.settings.landing)
        draw = random.Random(7).random
        rows = [impression(i, day=i % 2, bid=draw(), price=draw(), propensity=0.1 + draw() / 2) for i in range(20_000)]
        with pytest.raises(SetupError, match="disk is full while landing"):
            landing.ingest_table("impressions", table("impressions", rows), now=NOW)
        assert snapshot(landing.settings.landing) == before
        artefact = tmp_path / "model"
        artefact.mkdir()
        (artefact / "weights").write_bytes(os.urandom(300_000))
        with pytest.raises(SetupError, match="disk is full while publishing"):
            Registry(disk / "models").publish("response_model", artefact, data_version="d")
        assert Registry(disk / "models").versions("response_model") == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_readers_complete_a_commit_that_was_cut_off(landing: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.replace, 0

    def stop(source: Any, target: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:  # the journal and the first of two days are in place
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        landing.ingest_table("impressions", table("impressions", [impression(i, i) for i in range(2)]), now=NOW)
    monkeypatch.undo()
    assert len(list((landing.settings.landing / "impressions").glob("*.parquet"))) == 1
    assert landing.read("impressions").num_rows == 2
    assert landing.ingest_table("clicks", table("clicks", [click(0), click(1, 1)]), now=NOW).accepted == 2


@pytest.mark.parametrize("stage", ["before", "after"])
def test_a_commit_that_removes_a_file_is_all_or_nothing_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    journal.commit(tmp_path, {"a/1": b"old", "a/2": b"goes"})
    forward = journal._roll_forward
    if stage == "before":
        monkeypatch.setattr(journal, "write_new", _cut_off)
    else:
        monkeypatch.setattr(journal, "_roll_forward", _cut_off)
    with pytest.raises(KeyboardInterrupt):
        journal.commit(tmp_path, {"a/1": b"new", "a/2": None})
    assert (tmp_path / "a" / "2").exists()
    monkeypatch.undo()
    assert journal._roll_forward is forward
    journal.recover(tmp_path)
    left = {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()}
    assert left == ({"1": b"old", "2": b"goes"} if stage == "before" else {"1": b"new"})
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def _cut_off(*arguments: object) -> None:
    raise KeyboardInterrupt
