"""The simulator's speed against plain numpy, and a medium day in bounded memory."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from adplatform.contracts.claims import BenchmarkReport, Claim, Row

_REPEATS = 5
_MEMORY_GIB = 4.0
_MEDIUM_DAY = """
import json, resource, tempfile, time
from pathlib import Path
import pyarrow.parquet as pq
from adplatform.simulator import Market, MarketConfig
market = Market(MarketConfig.at_scale("medium", seed=1))
started = time.perf_counter()
market.users(), market.campaigns(), market.designs, market.arms
ready = time.perf_counter()
day = next(market.days())
made = time.perf_counter()
with tempfile.TemporaryDirectory() as home:
    for name in ("impressions", "clicks", "conversions"):
        pq.write_table(getattr(day, name), Path(home) / name)
written = time.perf_counter()
rows = day.impressions.num_rows + day.clicks.num_rows + day.conversions.num_rows
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"rows": rows, "setup": ready - started, "day": made - ready, "write": written - made, "peak": peak}))
"""


def run() -> BenchmarkReport:
    """Rows a second at tiny scale against numpy drawing as many random columns, and one medium day in a process of its own.

    Both sides run on one thread, five times in turn; the ratio is of their medians.
    """
    from adplatform.simulator import Market, MarketConfig

    started, load = time.perf_counter(), os.getloadavg()[0]
    market = Market(MarketConfig.at_scale("tiny", seed=1))
    market.traffic, market.arms  # noqa: B018  (the world is made before the clock starts)
    rows, columns = 0, 0
    for day in market.days():
        rows += day.impressions.num_rows
        columns = day.impressions.num_columns
    ours, plain = [], []
    for _ in range(_REPEATS):
        ours.append(_seconds(lambda: [d.impressions.num_rows for d in market.days()]))
        plain.append(_seconds(lambda: _plain_numpy(rows, columns)))
    speed, peer = rows / np.array(ours), rows / np.array(plain)
    medium = _medium_day()
    return BenchmarkReport(
        name="simulator",
        machine={
            "cpu_count": os.cpu_count(),
            "python": platform.python_version(),
            "threads": 1,
            "load_at_start": round(load, 2),
        },
        seconds=time.perf_counter() - started,
        rows=(
            Row(
                what="tiny: impressions a second, in memory",
                ours=float(np.median(speed)),
                peer=float(np.median(peer)),
                peer_name=f"numpy drawing {columns} random columns of as many rows",
                ratio=float(np.median(speed) / np.median(peer)),
                interval=(float((speed / peer).min()), float((speed / peer).max())),
                n=_REPEATS,
            ),
            Row(what="medium: rows a second, one day in memory", ours=medium["rows"] / medium["day"]),
            Row(
                what="medium: rows a second, one day written to Parquet",
                ours=medium["rows"] / (medium["day"] + medium["write"]),
            ),
            Row(what="medium: seconds to make the world of 1,000,000 users", ours=medium["setup"]),
            Row(what="medium: peak memory of the process, GiB", ours=medium["peak"] / 2**30),
        ),
        claims=(
            Claim(
                name="simulator-memory",
                claim="one medium day is written in under 4 GiB of memory",
                figure=medium["peak"] / 2**30,
                holds=medium["peak"] / 2**30 < _MEMORY_GIB,
                n=int(medium["rows"]),
                detail={"measured": "maximum resident set size of its own process"},
            ),
        ),
    )


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _plain_numpy(rows: int, columns: int) -> float:
    """The floor: as many uniform doubles as the impressions table has cells."""
    generator = np.random.default_rng(1)
    return float(sum(generator.random(rows)[-1] for _ in range(columns)))


def _medium_day() -> dict[str, float]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _MEDIUM_DAY], capture_output=True, text=True, check=True, env=environment
    )
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))
