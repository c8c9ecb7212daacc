"""Served homes for claims and tests: a copy of a demo's home, a process group of its own, a free port, a key."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq

from adplatform import batch, inputs
from adplatform.contracts.errors import AdPlatformError, SetupError
from adplatform.publishing import publish_profiles
from adplatform.serve import AGENT_SERVICES, GATEWAY, command, free_port, wait_for_port
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
def group(
    start: Sequence[str], port: int, log: Path, key: str, environment: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    """A server as a process group of its own, and a client with ``key`` once it is ready.

    The group is ended when the context is left: SIGTERM, then SIGKILL. Raises AdPlatformError, with the end of its log,
    where it does not become ready.
    """
    wait_for_port(port)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        process = subprocess.Popen(
            start, cwd=REPOSITORY, env={**os.environ, **environment}, stdout=out, stderr=out, start_new_session=True
        )
    try:
        with client_of(port, key) as client:
            wait_until_ready([client], process, log)
            yield process, client
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)


@contextmanager
def served(home: Path, key: str, port: int | None = None, **environment: str) -> Iterator[Gateway]:
    """The gateway of ``home``, alone."""
    port = port or free_port()
    log = home / "logs" / f"gateway-{port}.log"
    with group(command(GATEWAY, port), port, log, key, {"ADPLATFORM_HOME": str(home), **environment}) as (
        process,
        client,
    ):
        yield Gateway(home, process, client, log)


@contextmanager
def all_served(home: Path, key: str) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, httpx.Client]]]:
    """``adplatform serve`` of ``home``, its agents' inputs published first; a client of each service by its name.

    It is asked to end when the context is left, and must.
    """
    state = State(Settings(home=home))
    inputs.publish(state.settings.snapshots, batch.agent_inputs(state), 3)
    port, first, log = free_port(), free_port(len(AGENT_SERVICES)), home / "logs" / "services.log"
    env = {**os.environ, "ADPLATFORM_HOME": str(home), "ADPLATFORM_AGENT_PORT": str(first)}
    start = [sys.executable, "-m", "adplatform.cli", "serve", "--port", str(port)]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(start, env=env, cwd=REPOSITORY, stdout=out, stderr=out)
    ports = {"gateway": port, **{name: first + i for i, name in enumerate(AGENT_SERVICES)}}
    try:
        with ExitStack() as stack:
            clients = {name: stack.enter_context(client_of(at, key)) for name, at in ports.items()}
            wait_until_ready(list(clients.values()), process, log)
            yield process, clients
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def client_of(port: int, key: str) -> httpx.Client:
    """A client of a loopback port, with a key."""
    headers = {"authorization": f"Bearer {key}"}
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60)


def wait_until_ready(
    clients: Sequence[httpx.Client], process: subprocess.Popen[bytes], log: Path, seconds: float = 90
) -> None:
    """Until all are ready. Raises AdPlatformError, with the end of the log, where they do not become so."""
    deadline, open_ = time.monotonic() + seconds, list(clients)
    while open_ and time.monotonic() < deadline and process.poll() is None:
        open_ = [client for client in open_ if not ready(client)]
        time.sleep(0.05 if open_ else 0)
    if open_:
        raise AdPlatformError(f"it did not start: {log.read_text()[-4000:]}")


def ready(client: httpx.Client) -> bool:
    """Whether the server says so."""
    with suppress(httpx.TransportError):
        return bool(client.get("/readyz").status_code == 200)
    return False
