"""Real servers for the tests: a process group of their own, a free port, a client with a key."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from adplatform.publishing import publish_profiles
from adplatform.serve import GATEWAY, command, wait_for_port
from adplatform.settings import Settings
from adplatform.state import State
from tests.homes import REPOSITORY


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def published(home: Path) -> str:
    """Publish the profiles of a home; the snapshot's version."""
    return publish_profiles(State(Settings(home=home))).version


@dataclass
class Gateway:
    home: Path
    process: subprocess.Popen[bytes]
    client: httpx.Client
    log: Path

    def post(self, path: str, body: Any = None, **arguments: Any) -> httpx.Response:
        return self.client.post(path, json=body, **arguments)

    @property
    def creatives(self) -> list[str]:
        import pyarrow.parquet as pq

        return pq.read_table(self.home / "landing" / "creatives_library" / "current.parquet")["creative_id"].to_pylist()

    def users(self, consent: bool) -> list[str]:
        import pyarrow.parquet as pq

        rows = pq.read_table(self.home / "landing" / "users" / "current.parquet").to_pylist()
        return [r["user_id"] for r in rows if r["consent"] is consent]


@contextmanager
def served(home: Path, key: str, port: int | None = None, **environment: str) -> Iterator[Gateway]:
    """Serve ``home``; the whole process group is ended when the context is left."""
    port = port or free_port()
    wait_for_port(port)
    log = home / "logs" / f"gateway-{port}.log"
    log.parent.mkdir(exist_ok=True)
    env = {**os.environ, "ADPLATFORM_HOME": str(home), **environment}
    with log.open("ab") as out:
        process = subprocess.Popen(
            command(GATEWAY, port), cwd=REPOSITORY, env=env, stdout=out, stderr=out, start_new_session=True
        )
    headers = {"authorization": f"Bearer {key}"}
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client:
            wait_until_ready(client, process, log)
            yield Gateway(home, process, client, log)
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)


def wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-4000:]
        with suppress(httpx.TransportError):
            if client.get("/readyz").status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-4000:])
