"""How fast the gateway decides, against a Bento that echoes behind the same guard, and a bare Starlette echo.

One worker each, one machine, one run; the generator is a process of its own, pinned to one core. Closed loop: each
connection asks again as soon as it was answered. Open loop: requests leave at fixed times, whatever has come back, and an
answer's time counts from when its request was due, so that a stall is not forgiven (no coordinated omission).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import httpx
import numpy as np

from adplatform.assembly import brief_of
from adplatform.contracts.claims import BenchmarkReport, Claim, Row
from adplatform.contracts.creative import CreativeRequest, CreativeSet
from adplatform.serve import AGENT_SERVICES, GATEWAY, free_port
from adplatform.settings import Settings
from benchmarks.generator import BY_DEFAULT, Answers
from benchmarks.served import client_of
from benchmarks.stand import BARE, ECHO, P99_MS, Stand, stand

CANDIDATES: Final = (1, 10, 100)
CONNECTIONS: Final = 8
SECONDS: Final = 2.0
ROUNDS: Final = 9
GOALS: Final = {1: 0.6, 10: 0.6, 100: 0.35}
"""Least share of the Bento echo's throughput that issue 4 asks for."""
LOADING_SECONDS: Final = 5.0
"""From the first brief until the language model writes."""


class Reading(NamedTuple):
    """Choices a second, quantiles of their time in milliseconds, requests that were not answered by a choice of the policy,
    and those that were.
    """

    rate: float
    median: float
    p95: float
    p99: float
    failed: int
    answered: int


class Served(NamedTuple):
    """Ports of the three servers, and the one where the gateway looks for the creative service."""

    ports: dict[str, int]
    creative: int


def run(source: Path | None = None) -> BenchmarkReport:
    """Closed loop of all three by turns, then open loop of the gateway at half of its peak; the gateway again while the
    creative service words a brief.
    """
    rows: list[Row] = []
    claims: list[Claim] = []
    halves: dict[int, float] = {}
    with stand(source) as on, _all(on) as servers:
        for count in CANDIDATES:
            before = on.recorded()
            found = _by_turns(on, servers, on.decisions(count))
            made_up = max(0, sum(r.answered for r in found["gateway"]) - (on.recorded() - before))
            rows += _closed_rows(count, found)
            claims.append(_claim(count, found, made_up))
            halves[count] = _half_of_peak(on, servers, count, found, rows, claims)
        with _wording(on, servers) as worded:
            for count in CANDIDATES:
                rows += _meanwhile(on, servers, count, halves[count])
        claims.append(
            Claim(name="serving-meanwhile", claim="all the while a brief was being worded by the language model",
                  figure=float(worded.count(200)), holds=set(worded) == {200}, n=len(worded),
                  detail={"answers": sorted(set(worded))})
        )  # fmt: skip
    return BenchmarkReport(name="serving", machine={}, seconds=0.0, rows=tuple(rows), claims=tuple(claims))


@contextmanager
def _all(on: Stand) -> Iterator[Served]:
    first = free_port(len(AGENT_SERVICES))
    environment = {"ADPLATFORM_AGENT_PORT": str(first), "ADPLATFORM_SERVICE_KEY": on.key}
    creative = first + list(AGENT_SERVICES).index("creative")
    with ExitStack() as stack:
        services = {"gateway": GATEWAY, "bento echo": ECHO, "starlette echo": BARE}
        yield Served(
            {n: stack.enter_context(on.served(s, environment=environment))[0] for n, s in services.items()}, creative
        )


def _by_turns(on: Stand, servers: Served, requests: list[bytes]) -> dict[str, list[Reading]]:
    found: dict[str, list[Reading]] = {name: [] for name in servers.ports}
    for port in servers.ports.values():
        on.closed(port, requests, 1.0)  # warm
    for _ in range(ROUNDS):
        for name, port in servers.ports.items():
            found[name].append(_reading(on.closed(port, requests, SECONDS, CONNECTIONS)))
    return found


def _reading(answers: Answers) -> Reading:
    times = answers.milliseconds()
    low, middle, high = (float(q) for q in np.quantile(times, (0.5, 0.95, 0.99))) if len(times) else (np.inf,) * 3
    failed = len(answers.status) - len(times) + answers.unanswered
    return Reading(len(times) / answers.seconds, low, middle, high, failed, len(times))


def _middle(readings: list[Reading], name: str) -> float:
    return float(np.median([getattr(r, name) for r in readings]))


def _closed_rows(count: int, found: dict[str, list[Reading]]) -> list[Row]:
    ours = found["gateway"]
    rows = []
    for peer in ("bento echo", "starlette echo"):
        ratios = [a.rate / b.rate for a, b in zip(ours, found[peer], strict=True)]
        rows.append(
            Row(what=f"{count} candidates, closed loop, {CONNECTIONS} connections: requests a second",
                ours=_middle(ours, "rate"), peer=_middle(found[peer], "rate"), peer_name=peer,
                ratio=float(np.median(ratios)), interval=(min(ratios), max(ratios)), n=ROUNDS)
        )  # fmt: skip
    rows += [
        Row(what=f"{count} candidates, closed loop: {name}, ms", ours=_middle(ours, name),
            peer=_middle(found["bento echo"], name), peer_name="bento echo", n=ROUNDS)
        for name in ("median", "p95", "p99")
    ]  # fmt: skip
    return rows


def _claim(count: int, found: dict[str, list[Reading]], made_up: int) -> Claim:
    """``made_up``: choices that were answered and that the log does not have."""
    ratios = [a.rate / b.rate for a, b in zip(found["gateway"], found["bento echo"], strict=True)]
    ratio, failed = float(np.median(ratios)), sum(r.failed for readings in found.values() for r in readings)
    return Claim(
        name=f"serving-{count}",
        claim=f"throughput with {count} candidates at least {GOALS[count]:g} of the Bento echo's",
        figure=ratio, holds=ratio >= GOALS[count] and failed == 0 and not made_up, n=ROUNDS,
        detail={"failed": failed, "made_up": made_up},
    )  # fmt: skip


def _half_of_peak(
    on: Stand, servers: Served, count: int, found: dict[str, list[Reading]], rows: list[Row], claims: list[Claim]
) -> float:
    """Open loop at half of the peak, ours and the echo's; the rate."""
    requests, ports = on.decisions(count), servers.ports
    peak = on.peak(ports["gateway"], requests, 1.2 * _middle(found["gateway"], "rate"))
    half = max(1.0, peak / 2)
    ours, echo = (_reading(on.open(ports[name], requests, SECONDS, half)) for name in ("gateway", "bento echo"))
    rows.append(Row(what=f"{count} candidates, open loop: peak, requests a second", ours=peak))
    rows += _open_rows(f"{count} candidates, open loop at half of peak ({half:.0f}/s)", ours, echo, int(half * SECONDS))
    if count == max(CANDIDATES):
        claims.append(
            Claim(name="serving-p99", claim=f"99th percentile at {count} candidates at half of peak at most {P99_MS:g} ms",
                  figure=ours.p99, holds=peak > 0 and ours.p99 <= P99_MS and not ours.failed, n=int(half * SECONDS),
                  detail={"peak": peak, "failed": ours.failed})
        )  # fmt: skip
    return half


def _open_rows(what: str, ours: Reading, echo: Reading, n: int) -> list[Row]:
    return [
        Row(what=f"{what}: {name}, ms", ours=getattr(ours, name), peer=getattr(echo, name), peer_name="bento echo", n=n)
        for name in ("median", "p95", "p99")
    ]


@contextmanager
def _wording(on: Stand, servers: Served) -> Iterator[list[int]]:
    """Briefs are worded one after the other by the creative service, asked through the gateway; statuses so far,
    ``BY_DEFAULT`` where templates alone worded one.
    """
    stop, worded = threading.Event(), list[int]()
    brief = brief_of(Settings(home=on.home), "c01")

    def ask() -> None:
        with client_of(servers.ports["gateway"], on.key) as client:
            client.timeout = httpx.Timeout(300)
            while not stop.is_set():
                asked = CreativeRequest(brief=brief, seed=1_000_000 + len(worded)).model_dump_json()
                answer = client.post("/v1/creatives", content=asked, headers={"content-type": "application/json"})
                wrote = answer.status_code != 200 or CreativeSet.model_validate_json(answer.content).generated
                worded.append(answer.status_code if wrote else BY_DEFAULT)
                time.sleep(0.5 if answer.status_code != 200 else 0)

    with on.served(AGENT_SERVICES["creative"], servers.creative):
        thread = threading.Thread(target=ask)
        thread.start()
        try:
            time.sleep(LOADING_SECONDS)
            yield worded
        finally:
            stop.set()
            thread.join()


def _meanwhile(on: Stand, servers: Served, count: int, half: float) -> list[Row]:
    requests, port = on.decisions(count), servers.ports["gateway"]
    echo = servers.ports["bento echo"]
    closed, floor = (_reading(on.closed(p, requests, SECONDS, CONNECTIONS)) for p in (port, echo))
    ours, opened = (_reading(on.open(p, requests, SECONDS, half)) for p in (port, echo))
    rate = Row(
        what=f"{count} candidates while a brief is worded, closed loop: requests a second", ours=closed.rate,
        peer=floor.rate, peer_name="bento echo", ratio=closed.rate / floor.rate,
    )  # fmt: skip
    what = f"{count} candidates while a brief is worded, open loop at {half:.0f}/s"
    return [rate, *_open_rows(what, ours, opened, int(half * SECONDS))]
