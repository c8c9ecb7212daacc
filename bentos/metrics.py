"""What Prometheus sees. Every worker of a service writes; whichever is asked for /metrics adds them up.

BentoML's own request metrics are off: they label by raw path, before any key is asked for, so that a stranger could fill
the memory with paths; and every ``bentoml serve`` empties one directory that all of them share.
"""

from __future__ import annotations

import os
import shutil
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

SHARED: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Set in a worker by ``bentoml serve``; prometheus_client then keeps its values in files there."""
BUCKETS: Final = (
    0.0005,
    0.001,
    0.002,
    0.003,
    0.005,
    0.0075,
    0.01,
    0.017,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    10,
    60,
    120,
)
"""Seconds. 17 ms is the goal for the 99th percentile of a decision; a plan with new texts takes up to two minutes."""
OTHER: Final = "other"
"""Route of a request that was refused before one was found, or for which there is none."""


class Instruments(NamedTuple):
    """The metrics of this process."""

    requests: Any
    seconds: Any
    answers: Any
    shadows: Any


@cache
def instruments() -> Instruments:
    """Made at the first use, when the worker's environment is set."""
    import prometheus_client as prometheus

    return Instruments(
        prometheus.Counter("adplatform_requests", "Requests answered.", ["service", "route", "status"]),
        prometheus.Histogram(
            "adplatform_request_seconds", "From the request's head to the end of the answer.", ["service", "route"],
            buckets=BUCKETS,
        ),
        prometheus.Counter(
            "adplatform_answers", "Answers of agents, each where it is made; fallback names the rule that stood in, or none.",
            ["agent", "policy_version", "fallback"],
        ),
        prometheus.Counter(
            "adplatform_shadow", "Decisions that a challenger was asked of; outcome: answered, failed or refused.",
            ["agent", "policy_version", "outcome"],
        ),
    )  # fmt: skip


@lru_cache(maxsize=4096)
def _request(service: str, route: str, status: int) -> Any:
    return instruments().requests.labels(service, route, str(status))


@lru_cache(maxsize=1024)
def _seconds(service: str, route: str) -> Any:
    return instruments().seconds.labels(service, route)


@lru_cache(maxsize=1024)
def _answer(agent: str, policy_version: str, fallback: str) -> Any:
    return instruments().answers.labels(agent, policy_version, fallback)


def requested(service: str, route: str, status: int, seconds: float) -> None:
    """Count a request by its route's template, never by its path."""
    _request(service, route, status).inc()
    _seconds(service, route).observe(seconds)


def refused(service: str, status: int) -> None:
    """Count a request that was refused before it was parsed."""
    _request(service, OTHER, status).inc()


def answered(agent: str, policy_version: str, fallback: str | None = None) -> None:
    """Count an answer of an agent; ``fallback`` names the rule that stood in for it."""
    _answer(agent, policy_version, fallback or "none").inc()


def shadowed(agent: str, policy_version: str, outcome: str) -> None:
    """Count what came of asking a shadow."""
    instruments().shadows.labels(agent, policy_version, outcome).inc()


def template_of(scope: Any) -> str:
    """The route's path with its parameters as names."""
    return getattr(scope.get("route"), "path", "") or OTHER


def page() -> tuple[bytes, str]:
    """All workers' metrics as Prometheus reads them, and the content type. Reads files: call it in a thread."""
    import prometheus_client as prometheus

    instruments()
    if SHARED not in os.environ:
        return prometheus.generate_latest(), prometheus.CONTENT_TYPE_LATEST
    from prometheus_client import multiprocess

    registry = prometheus.CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return prometheus.generate_latest(registry), prometheus.CONTENT_TYPE_LATEST


def own_directory(root: Path, service: str) -> None:
    """Give the workers of one server a directory of their own under ``root``; those of servers that ended are removed."""
    if SHARED not in os.environ:
        return
    parent = psutil.Process(os.getppid())
    mine = root / f"{service}-{parent.pid}-{int(parent.create_time())}"
    mine.mkdir(parents=True, exist_ok=True)
    for other in root.glob(f"{service}-*-*"):
        pid, started = other.name.removeprefix(f"{service}-").split("-")
        try:
            alive = int(psutil.Process(int(pid)).create_time()) == int(started)
        except (psutil.NoSuchProcess, ValueError):
            alive = False
        if not alive:
            shutil.rmtree(other, ignore_errors=True)
    os.environ[SHARED] = str(mine)
