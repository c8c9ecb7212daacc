"""What the benchmarks of the endpoints stand on: a home with enough creatives, servers of it, and its peak."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from adplatform.contracts.serving import MOST_CANDIDATES
from adplatform.serve import GATEWAY, command, free_port
from adplatform.settings import Settings
from adplatform.store.atomic import write_parquet
from adplatform.store.decision_file import reading
from benchmarks.generator import Answers, Generator, Load, generator, request
from benchmarks.served import group, scratch

P99_MS: Final = 17.0
"""Largest 99th percentile of what counts as served."""
OPEN_CONNECTIONS: Final = 256
PEAK_STEPS: Final = 6
PEAK_SECONDS: Final = 3.0
ECHO: Final = "benchmarks.echo_service:Echo"
BARE: Final = "benchmarks.echo_service:bare"


class Stand(NamedTuple):
    """A home, a key of it with every scope, creatives and consenting users of it, and a generator of load."""

    home: Path
    key: str
    creatives: list[str]
    users: list[str]
    sender: Generator

    def decisions(self, candidates: int, deadline_ms: int | None = None) -> list[bytes]:
        """Requests to decide between so many candidates, each of another user."""
        headers = {} if deadline_ms is None else {"X-Deadline-Ms": str(deadline_ms)}
        asked = {"candidates": self.creatives[:candidates], "placement": "feed", "position": 1}
        return [request("/v1/decide", {**asked, "user_id": user}, self.key, headers) for user in self.users]

    @contextmanager
    def served(
        self, service: str = GATEWAY, port: int | None = None, environment: Mapping[str, str] | None = None
    ) -> Iterator[tuple[int, psutil.Process]]:
        """A service of the home in a process group of its own: its port and process."""
        port = port or free_port()
        bare = [
            sys.executable,
            "-m",
            "uvicorn",
            service,
            "--log-level",
            "warning",
            "--no-access-log",
            "--port",
            str(port),
        ]
        start = bare if service == BARE else command(service, port)
        log = self.home / "logs" / f"{service.split(':')[-1]}-{port}.log"
        with group(start, port, log, self.key, {"ADPLATFORM_HOME": str(self.home), **(environment or {})}) as (
            process,
            _,
        ):
            yield port, psutil.Process(process.pid)

    def closed(self, port: int, requests: list[bytes], seconds: float, connections: int = 8) -> Answers:
        """Each connection asks again as soon as it was answered."""
        return self.sender.send(Load(port, requests, seconds, connections))

    def open(self, port: int, requests: list[bytes], seconds: float, rate: float) -> Answers:
        """Requests leave at fixed times."""
        return self.sender.send(Load(port, requests, seconds, OPEN_CONNECTIONS, rate))

    def recorded(self) -> int:
        """Decisions that the home's log has: whoever answered as many without them made them up."""
        with reading(Settings(home=self.home).decisions) as log:
            return int(log.execute("select count(*) from decisions").fetchone()[0])

    def peak(self, port: int, requests: list[bytes], most: float) -> float:
        """The highest rate below ``most`` with no error and a 99th percentile of at most ``P99_MS``; 0 if none was. A rate
        that was too much once is tried again: a stall of the machine is not the server's.
        """
        return bisected(lambda rate: any(fine(self.open(port, requests, PEAK_SECONDS, rate)) for _ in range(2)), most)


@contextmanager
def stand(source: Path | None = None) -> Iterator[Stand]:
    """A scratch home with at least 100 creatives, and a generator."""
    with scratch(source) as (home, key), generator() as sender:
        yield Stand(home, key, *_known(home), sender)


@contextmanager
def every(seconds: float, work: Callable[[], None]) -> Iterator[None]:
    """``work`` again and again in a thread, with a pause, until the context is left."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(seconds):
            work()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def bisected(holds: Callable[[float], bool], most: float) -> float:
    """The highest rate that was found to hold, in ``PEAK_STEPS`` steps from 0 to ``most``."""
    low, high = 0.0, most
    for _ in range(PEAK_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def fine(answers: Answers) -> bool:
    """Whether all were answered with 200, by the policy, and 99 % of them in time."""
    times = answers.milliseconds()
    return len(times) == len(answers.status) and not answers.unanswered and float(np.quantile(times, 0.99)) <= P99_MS


def _known(home: Path) -> tuple[list[str], list[str]]:
    """At least 100 creatives, and consenting users. A small library is landed again under further ids."""
    path = home / "landing" / "creatives_library" / "current.parquet"
    library, copies = pq.read_table(path), []
    for number in range(-(-MOST_CANDIDATES // library.num_rows)):
        ids = pc.binary_join_element_wise(library["creative_id"], "" if number == 0 else f".{number}", "")
        copies.append(library.set_column(library.column_names.index("creative_id"), "creative_id", ids))
    whole = pa.concat_tables(copies)
    write_parquet(path, whole)
    users = pq.read_table(home / "landing" / "users" / "current.parquet").to_pylist()
    return whole["creative_id"].to_pylist(), [u["user_id"] for u in users if u["consent"]][:500]
