"""Starts the tiny service, as BentoML does or alone, in a process group of its own; conftest.py takes the fixtures."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from adplatform.contracts.problems import Problem
from adplatform.serve import command, free_port
from adplatform.store.keys import Keys, Scope
from benchmarks.served import group


@dataclass
class Server:
    process: subprocess.Popen[bytes]
    client: httpx.Client
    port: int
    log: Path

    def raw(self, request: bytes, wait: float = 10) -> bytes:
        """Send bytes as they are; the head of the answer and what came with it, b"" at a hang-up."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as link:
            link.sendall(request)
            found = b""
            with suppress(ConnectionResetError):
                while b"\r\n\r\n" not in found and (part := link.recv(65536)):
                    found += part
        return found

    def samples(self, name: str) -> dict[str, float]:
        """The values of a metric, by its labels."""
        text = self.client.get("/metrics").text
        return {m[1]: float(m[2]) for m in re.finditer(rf"^{name}\{{(.*)\}} (.*)$", text, re.MULTILINE)}

    def terminate(self) -> None:
        os.killpg(self.process.pid, signal.SIGTERM)


@contextmanager
def serving(home: Path, secret: str, bento: bool = False, **environment: str) -> Iterator[Server]:
    port = free_port()
    log = home / f"tiny-{port}.log"
    start = command("tests.bentos.tiny:Tiny", port) if bento else [sys.executable, "-m", "tests.bentos.tiny", str(port)]
    with group(start, port, log, secret, {"ADPLATFORM_HOME": str(home), **environment}) as (process, client):
        yield Server(process, client, port, log)


def problem(answer: httpx.Response, status: int) -> Problem:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    found = Problem.model_validate_json(answer.content)
    assert found.request_id == answer.headers["x-request-id"]
    assert "\n" not in found.detail
    return found


@pytest.fixture(scope="session")
def tiny_keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("tiny") / "keys.json")


@pytest.fixture(scope="session")
def secret(tiny_keys: Keys) -> str:
    return tiny_keys.add("tests", list(Scope))[1]


@pytest.fixture(scope="session")
def bento(tiny_keys: Keys, secret: str) -> Iterator[Server]:
    """`bentoml serve` with two workers."""
    with serving(tiny_keys.path.parent, secret, bento=True, TINY_WORKERS="2") as found:
        yield found


@pytest.fixture(scope="session")
def inner(tiny_keys: Keys, secret: str) -> Iterator[Server]:
    """A service that is not the entry, with two places, one that may wait a second, and half a second for a body."""
    small = {"CONCURRENCY": "2", "QUEUE": "1", "QUEUE_MS": "1000", "BODY_SECONDS": "0.5"}
    with serving(tiny_keys.path.parent, secret, **{f"ADPLATFORM_{k}": v for k, v in small.items()}) as found:
        yield found


@pytest.fixture(scope="session")
def bare(tiny_keys: Keys, secret: str) -> Iterator[Server]:
    """The same without the guard: what these tests would find if it were taken away."""
    with serving(tiny_keys.path.parent, secret, TINY_UNGUARDED="1") as found:
        yield found


@pytest.fixture(params=["bento", "inner"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found
