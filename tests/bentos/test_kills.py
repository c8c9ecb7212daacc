"""Promise 3 over HTTP: whoever is killed, what was answered is there once, and the port is free for the next start."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
import pytest

from adplatform.contracts.errors import SetupError
from adplatform.serve import wait_for_port
from adplatform.store.decision_file import reading
from tests.bentos.server import free_port, served
from tests.homes import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Sender:
    """A client that goes on, whatever happens, and remembers what it was told."""

    def __init__(self, port: int, key: str, creatives: list[str]) -> None:
        self.url, self.headers, self.creatives = (
            f"http://127.0.0.1:{port}",
            {"authorization": f"Bearer {key}"},
            creatives,
        )
        self.decided: set[str] = set()
        self.stored: set[str] = set()
        self.sent: set[str] = set()
        self.wrong: list[str] = []
        self._stop = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def __enter__(self) -> Sender:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.thread.join(60)

    def _run(self) -> None:
        with httpx.Client(base_url=self.url, headers=self.headers, timeout=5) as client:
            while not self._stop.is_set():
                try:
                    self._round(client)
                except httpx.TransportError:
                    time.sleep(0.02)  # not answered, so nothing was promised

    def _round(self, client: httpx.Client) -> None:
        made = client.post("/v1/decide", json={"candidates": self.creatives[:3]})
        if made.status_code != 200:
            self.wrong.append(made.text)
            return
        self.decided.add(made.json()["decision_id"])
        now = datetime.now(UTC).isoformat()
        batch = [
            {
                "event_id": uuid.uuid4().hex,
                "kind": "click",
                "decision_id": made.json()["decision_id"],
                "occurred_at": now,
            }
            for _ in range(20)
        ]
        self.sent |= {e["event_id"] for e in batch}
        told = client.post("/v1/events", json={"events": batch})
        if told.status_code != 200:
            self.wrong.append(told.text)
            return
        report = told.json()
        if report["accepted"] + report["duplicates"] + len(report["rejected"]) != len(batch):
            self.wrong.append(told.text)
        self.stored |= {e["event_id"] for e in batch}


def kept(home: Path) -> tuple[set[str], list[str]]:
    with reading(home / "online" / "decisions.sqlite") as log:
        decided = {row[0] for row in log.execute("select decision_id from decisions")}
        return decided, [row[0] for row in log.execute("select event_id from events")]


def test_killed_workers_and_parents_lose_nothing_that_was_answered(home: Path, key: str) -> None:
    port, rng = free_port(), random.Random(4)
    creatives = None
    with served(home, key, port, ADPLATFORM_WORKERS="2") as gateway:
        creatives = gateway.creatives
    with Sender(port, key, creatives) as sender:
        for how in ("worker", "parent", "group", "worker"):
            with served(home, key, port, ADPLATFORM_WORKERS="2") as gateway:
                before = len(sender.stored)
                deadline = time.monotonic() + 20
                while len(sender.stored) < before + 60 and time.monotonic() < deadline:
                    time.sleep(0.05)
                time.sleep(rng.uniform(0.0, 0.3))
                workers = psutil.Process(gateway.process.pid).children(recursive=True)
                if how == "worker":
                    rng.choice([w for w in workers if "worker" in " ".join(w.cmdline())]).kill()
                    time.sleep(0.5)
                elif how == "parent":
                    os.kill(gateway.process.pid, signal.SIGKILL)
                    psutil.wait_procs(workers, timeout=10)
                    assert not [w for w in workers if w.is_running() and w.status() != psutil.STATUS_ZOMBIE]
                else:
                    os.killpg(gateway.process.pid, signal.SIGKILL)
    decided, events = kept(home)
    assert len(sender.stored) > 200
    assert not sender.wrong
    assert sender.decided <= decided
    assert sender.stored <= set(events)
    assert len(events) == len(set(events))


def test_the_command_that_was_killed_leaves_no_orphan_and_the_next_takes_its_port(home: Path, key: str) -> None:
    port = free_port()
    env = {**os.environ, "ADPLATFORM_HOME": str(home)}
    command = [sys.executable, "-m", "adplatform.cli", "serve", "--port", str(port)]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        for _ in range(2):
            serving = subprocess.Popen(
                command, env=env, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            assert _answers(client, 40)
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
        assert _answers(client, 40)
        serving.terminate()
        assert serving.wait(20) == 0
        assert not _answers(client, 0.1)


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
