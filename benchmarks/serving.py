"""How fast the gateway decides, against a Bento that echoes behind the same guard, and a bare Starlette echo.

One worker each, one machine, one run; the client shares its cores with the server. Closed loop: each connection asks
again as soon as it was answered. Open loop: requests leave at fixed times, whatever has come back, and an answer's time
counts from when its request was due, so that a stall is not forgiven (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from adplatform.contracts.claims import BenchmarkReport, Claim, Row
from adplatform.serve import GATEWAY, command
from adplatform.store.atomic import write_parquet
from benchmarks.served import free_port, group, scratch

CANDIDATES: Final = (1, 10, 100)
CONNECTIONS: Final = 8
SECONDS: Final = 6.0
ROUNDS: Final = 3
GOALS: Final = {1: 0.6, 10: 0.6, 100: 0.35}
"""Least share of the Bento echo's throughput that issue 4 asks for."""
OPEN_LIMIT_MS: Final = 17.0


class Reading(NamedTuple):
    """Requests a second, quantiles of an answer's time in milliseconds, and answers that were not 200."""

    rate: float
    median: float
    p95: float
    p99: float
    failed: int


class Server(NamedTuple):
    """Where something is served, and the body that asks it."""

    name: str
    url: str
    headers: dict[str, str]


def run(source: Path | None = None) -> BenchmarkReport:
    """Closed loop of all three by turns, then open loop of the gateway at half of its closed rate."""
    rows: list[Row] = []
    claims: list[Claim] = []
    with scratch(source) as (home, key):
        creatives, users = _known(home)
        with _all(home, key) as servers:
            _measure(servers, creatives, users, rows, claims)
    return BenchmarkReport(name="serving", machine={}, seconds=0.0, rows=tuple(rows), claims=tuple(claims))


def _measure(
    servers: list[Server], creatives: list[str], users: list[str], rows: list[Row], claims: list[Claim]
) -> None:
    """Fill ``rows`` and ``claims``, one number of candidates after the other."""
    for count in CANDIDATES:
        bodies = [
            json.dumps({"candidates": creatives[:count], "user_id": u, "placement": "feed", "position": 1}).encode()
            for u in users
        ]
        found = _by_turns(servers, bodies)
        rows += _rows(count, found)
        ratio = _median([r.rate for r in found["gateway"]]) / _median([r.rate for r in found["bento echo"]])
        claims.append(_claim(count, ratio, found))
        half = _median([r.rate for r in found["gateway"]]) / 2
        opened = asyncio.run(_open(servers[0], bodies, half))
        rows.append(
            Row(what=f"{count} candidates, open loop at {half:.0f}/s: 99th percentile, ms", ours=opened.p99,
                peer=opened.median, peer_name="its median", n=int(half * SECONDS))
        )  # fmt: skip
        if count == max(CANDIDATES):
            claims.append(
                Claim(name="serving-p99", claim=f"99th percentile at {count} candidates at half of the closed-loop rate "
                      f"at most {OPEN_LIMIT_MS:g} ms", figure=opened.p99, holds=opened.p99 <= OPEN_LIMIT_MS and not opened.failed,
                      n=int(half * SECONDS))
            )  # fmt: skip


def _by_turns(servers: list[Server], bodies: list[bytes]) -> dict[str, list[Reading]]:
    found: dict[str, list[Reading]] = {s.name: [] for s in servers}
    for server in servers:
        asyncio.run(_closed(server, bodies, 1.0))  # warm
    for _ in range(ROUNDS):
        for server in servers:
            found[server.name].append(asyncio.run(_closed(server, bodies, SECONDS)))
    return found


async def _closed(server: Server, bodies: list[bytes], seconds: float) -> Reading:
    taken: list[float] = []
    failed = 0
    ends = time.perf_counter() + seconds

    async def client(session: aiohttp.ClientSession, number: int) -> None:
        nonlocal failed
        while time.perf_counter() < ends:
            number += 1
            began = time.perf_counter()
            failed += await _ask(session, server.url, bodies[number % len(bodies)])
            taken.append(time.perf_counter() - began)

    began = time.perf_counter()
    async with aiohttp.ClientSession(headers=server.headers) as session:
        await asyncio.gather(*(client(session, 31 * n) for n in range(CONNECTIONS)))
    return _reading(taken, time.perf_counter() - began, failed)


async def _open(server: Server, bodies: list[bytes], rate: float) -> Reading:
    due = np.arange(0, SECONDS, 1 / rate)
    taken: list[float] = []
    failed = 0

    async def one(session: aiohttp.ClientSession, number: int, at: float) -> None:
        nonlocal failed
        failed += await _ask(session, server.url, bodies[number % len(bodies)])
        taken.append(time.perf_counter() - at)

    connector = aiohttp.TCPConnector(limit=256)
    async with aiohttp.ClientSession(headers=server.headers, connector=connector) as session:
        start, tasks = time.perf_counter() + 0.1, []
        for number, offset in enumerate(due):
            wait = start + offset - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            tasks.append(asyncio.create_task(one(session, number, start + offset)))
        await asyncio.gather(*tasks)
    return _reading(taken, SECONDS, failed)


async def _ask(session: aiohttp.ClientSession, url: str, body: bytes) -> int:
    async with session.post(url, data=body) as answer:
        await answer.read()
        return int(answer.status != 200)


def _reading(taken: list[float], seconds: float, failed: int) -> Reading:
    low, middle, high = (1000 * float(q) for q in np.quantile(taken, (0.5, 0.95, 0.99)))
    return Reading(len(taken) / seconds, low, middle, high, failed)


def _median(values: list[float]) -> float:
    return float(np.median(values))


def _rows(count: int, found: dict[str, list[Reading]]) -> list[Row]:
    ours = found["gateway"]
    rows = []
    for peer in ("bento echo", "starlette echo"):
        ratios = [a.rate / b.rate for a, b in zip(ours, found[peer], strict=True)]
        rows.append(
            Row(what=f"{count} candidates, closed loop, {CONNECTIONS} connections: requests a second",
                ours=_median([r.rate for r in ours]), peer=_median([r.rate for r in found[peer]]), peer_name=peer,
                ratio=_median(ratios), interval=(min(ratios), max(ratios)), n=ROUNDS)
        )  # fmt: skip
    rows += [
        Row(what=f"{count} candidates, closed loop: {name}, ms", ours=_median([getattr(r, name) for r in ours]),
            peer=_median([getattr(r, name) for r in found["bento echo"]]), peer_name="bento echo", n=ROUNDS)
        for name in ("median", "p95", "p99")
    ]  # fmt: skip
    return rows


def _claim(count: int, ratio: float, found: dict[str, list[Reading]]) -> Claim:
    failed = sum(r.failed for readings in found.values() for r in readings)
    return Claim(
        name=f"serving-{count}",
        claim=f"throughput with {count} candidates at least {GOALS[count]:g} of the Bento echo's",
        figure=ratio, holds=ratio >= GOALS[count] and failed == 0, n=ROUNDS, detail={"failed": failed},
    )  # fmt: skip


def _known(home: Path) -> tuple[list[str], list[str]]:
    """At least 100 creatives, and consenting users. A small library is landed again under further ids."""
    path = home / "landing" / "creatives_library" / "current.parquet"
    library, least = pq.read_table(path), max(CANDIDATES)
    copies = []
    for number in range(-(-least // library.num_rows)):
        ids = pc.binary_join_element_wise(library["creative_id"], "" if number == 0 else f".{number}", "")
        copies.append(library.set_column(library.column_names.index("creative_id"), "creative_id", ids))
    whole = pa.concat_tables(copies)
    write_parquet(path, whole)
    users = pq.read_table(home / "landing" / "users" / "current.parquet").to_pylist()
    return whole["creative_id"].to_pylist(), [u["user_id"] for u in users if u["consent"]][:500]


@contextmanager
def _all(home: Path, key: str) -> Iterator[list[Server]]:
    ports = {name: free_port() for name in ("gateway", "bento echo", "starlette echo")}
    uvicorn = [
        sys.executable,
        "-m",
        "uvicorn",
        "benchmarks.echo_service:bare",
        "--log-level",
        "warning",
        "--no-access-log",
    ]
    started = {
        "gateway": command(GATEWAY, ports["gateway"]),
        "bento echo": command("benchmarks.echo_service:Echo", ports["bento echo"]),
        "starlette echo": [*uvicorn, "--port", str(ports["starlette echo"])],
    }
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    with ExitStack() as stack:
        for name, start in started.items():
            log = home / "logs" / f"{name.replace(' ', '-')}.log"
            stack.enter_context(group(start, ports[name], log, key, {"ADPLATFORM_HOME": str(home)}))
        yield [Server(name, f"http://127.0.0.1:{port}/v1/decide", headers) for name, port in ports.items()]
