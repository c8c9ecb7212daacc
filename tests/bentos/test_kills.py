"""Promise 3 over HTTP: whoever is killed, what was answered is there once, and the port is free for the next start."""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from adplatform.contracts.claims import Claim
from adplatform.contracts.errors import SetupError
from adplatform.processes import process_tag
from adplatform.serve import OWNER, PARENT, free_port, wait_for_port
from benchmarks import events_claim
from benchmarks.events_claim import Killed, conclude, kill_parent
from benchmarks.events_landing import land, landed
from benchmarks.events_sender import Sender
from benchmarks.served import Gateway, scratch, served
from tests.homes import REPOSITORY
from tests.waiting import within

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_killed_workers_and_parents_lose_nothing_that_was_answered(demo_home: Path) -> None:
    claim = events_claim.run(events=600, decisions=30, kills=3, seed=4, source=demo_home)
    assert claim.figure == 0, claim  # how soon it is back is for `make prove` and the demo to say
    assert claim.detail["landings_cut_off"] > 0
    assert claim.n >= 600


def test_a_lost_or_doubled_event_is_found_out(demo_home: Path) -> None:
    with scratch(demo_home) as (home, key):
        with served(home, key) as gateway:
            port, users = gateway.client.base_url.port, gateway.users(True)
            with Sender(port, key, gateway.creatives, users) as sender:
                while len(sender.stored) < 40:
                    time.sleep(0.05)
        _found_out(home, sender)


def _found_out(home: Path, sender: Sender) -> None:
    before, cut = landed(home), land(home)
    assert cut > 0

    def concluded(killed: Killed | None = None) -> Claim:
        return conclude(home, sender, killed or Killed(), 0, before, cut)

    assert concluded().holds is True, concluded()
    for told in (sender.decided, sender.stored, sender.rejected):
        told.add("never-stored")
        assert concluded().detail["lost"] == 1
        told.discard("never-stored")
    sender.sent -= set(list(sender.stored)[:1])
    assert concluded().detail["never_sent"] == 1
    sender.sent |= sender.stored
    for bad in (Killed(orphans=1), Killed(restarts=[11.0]), Killed(replaced=[math.inf])):
        assert concluded(bad).holds is False
    for name, ids in landed(home).items():
        before[name].update(list(ids - before[name])[:1])  # as if one more had landed before, and was missing now
        assert concluded().detail["not_landed_once"][name] == 1
        assert concluded().holds is False


@pytest.mark.parametrize(("how", "orphans"), [("parent", 1), ("group", 0)])
def test_a_process_that_lives_on_when_its_parent_was_killed_is_noticed(tmp_path: Path, how: str, orphans: int) -> None:
    child = "import time; time.sleep(60)"
    command = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"]
    parent = subprocess.Popen(command, start_new_session=True)
    gateway, killed = Gateway(tmp_path, parent, httpx.Client(), tmp_path), Killed()

    def started() -> Gateway:
        time.sleep(0.5)
        return gateway

    try:
        assert within(20, lambda: bool(psutil.Process(parent.pid).children()))
        assert kill_parent(gateway, how, killed, started) is gateway
        assert (killed.orphans, killed.well) == (orphans, not orphans)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)
        parent.wait()


def test_the_command_that_was_killed_leaves_no_orphan_and_the_next_takes_its_port(home: Path, key: str) -> None:
    port = free_port()
    env = {**os.environ, "ADPLATFORM_HOME": str(home)}
    command = [sys.executable, "-m", "adplatform.cli", "serve", "--port", str(port)]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        for _ in range(2):
            serving = subprocess.Popen(
                command, env=env, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            assert _answers(client, 120)
            serving.kill()
            serving.wait(10)
            gone = time.monotonic() + 10
            while _answers(client, 0.1) and time.monotonic() < gone:
                time.sleep(0.1)
            assert not _answers(client, 0.1)


def test_a_command_that_is_asked_to_end_ends_all_of_it(home: Path, key: str) -> None:
    port = free_port()
    env = {**os.environ, "ADPLATFORM_HOME": str(home)}
    command = [sys.executable, "-m", "adplatform.cli", "serve", "--port", str(port)]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        serving = subprocess.Popen(
            command, env=env, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        assert _answers(client, 120)
        serving.terminate()
        assert serving.wait(20) == 0
        assert not _answers(client, 0.1)


@pytest.mark.parametrize(("gone", "code"), [(PARENT, 1), (OWNER, -9)])
def test_a_worker_whose_parent_or_command_was_killed_while_it_started_ends(gone: str, code: int) -> None:
    ended = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    named = str(ended.pid) if gone == PARENT else process_tag(ended.pid)
    ended.kill()
    ended.wait()
    worker = "from adplatform.serve import end_with_parent; end_with_parent(); import time; time.sleep(60)"
    parent = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {worker!r}]).returncode)"
    env = {name: value for name, value in os.environ.items() if name not in (PARENT, OWNER)} | {gone: named}
    found = subprocess.run([sys.executable, "-c", parent], env=env, cwd=REPOSITORY, timeout=30, check=False)
    assert found.returncode == code


def test_a_port_that_something_else_holds_is_one_clear_error() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(SetupError, match="taken"):
            wait_for_port(other.getsockname()[1], 0.1)


def _answers(client: httpx.Client, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if client.get("/readyz", timeout=2).status_code == 200:
                return True
        except httpx.TransportError:
            pass
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
