"""Served homes for claims and tests: a copy of a demo's home, a process group of its own, a free port, a key."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq

from adplatform.contracts.errors import AdPlatformError, SetupError
from adplatform.publishing import publish_profiles
from adplatform.serve import GATEWAY, command, wait_for_port
from adplatform.settings import REPOSITORY, Settings, settings
from adplatform.state import State
from adplatform.store.keys import Keys, Scope

LEFT_BEHIND = ("inbox", "*.lock", "reports", "online", "dagster", "dbt")
"""What a served home does not need of the one it is copied from."""


@dataclass
class Gateway:
    """A running gateway and a client of it."""

    home: Path
    process: subprocess.Popen[bytes]
    client: httpx.Client
    log: Path

    def post(self, path: str, body: Any = None, **arguments: Any) -> httpx.Response:
        """POST JSON."""
        return self.client.post(path, json=body, **arguments)

    @cached_property
    def creatives(self) -> list[str]:
        """Ids of the library."""
        found: list[str] = pq.read_table(self.home / "landing" / "creatives_library" / "current.parquet")[
            "creative_id"
        ].to_pylist()
        return found

    def users(self, consent: bool) -> list[str]:
        """Ids of users with or without consent."""
        rows = pq.read_table(self.home / "landing" / "users" / "current.parquet").to_pylist()
        return [r["user_id"] for r in rows if r["consent"] is consent]


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def copied(source: Path, target: Path) -> Path:
    """A copy that can be served, with its profiles published. Raises SetupError where ``source`` holds no data."""
    if not (source / "warehouse.duckdb").exists():
        raise SetupError(f"{source} has no warehouse", "run adplatform demo first")
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
    publish_profiles(State(Settings(home=target)))
    return target


@contextmanager
def scratch(source: Path | None = None) -> Iterator[tuple[Path, str]]:
    """A copied home of the demo's that is removed afterwards, and a key with every scope."""
    with tempfile.TemporaryDirectory(prefix="adplatform-served-") as name:
        home = copied(source or settings().home, Path(name) / "home")
        yield home, Keys(Settings(home=home).keys).add("claims", list(Scope))[1]


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
    """Until the gateway is ready. Raises AdPlatformError, with the end of its log, where it does not become so."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(httpx.TransportError):
            if client.get("/readyz").status_code == 200:
                return
        time.sleep(0.1)
    raise AdPlatformError(f"the gateway did not start: {log.read_text()[-2000:]}")
