"""An incremental day of the dbt build against one DuckDB aggregate over the same Parquet files, timed in one run.

The aggregate is the least anybody would compute of a new day (impressions, clicks and spend by day and campaign, over all
files). The build keeps every mart, its tests and its unit tests, so the ratio is the price of the whole warehouse.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from adplatform.contracts.claims import BenchmarkReport, Claim, Row
from adplatform.simulator import Market, MarketConfig
from benchmarks.dbt_build import dbt

_THREADS = 2
_SNAPSHOTS = ("users", "campaigns", "creatives_library", "experiments", "assignments")
_DAILY = ("impressions", "clicks", "conversions")
_PEER = """
    select
        cast(i.occurred_at at time zone 'UTC' as date) as event_day, i.campaign_id,
        count(*) as impressions, count(c.impression_id) as clicks, sum(i.price) as spend
    from read_parquet('{landing}/impressions/*.parquet') as i
    left join (select distinct impression_id from read_parquet('{landing}/clicks/*.parquet')) as c using (impression_id)
    group by all
"""
_OURS = "select event_day, campaign_id, count(*), sum(clicked), sum(price) from fct_impressions group by all"


def _put(landing: Path, table: str, name: str, rows: pa.Table, at: datetime) -> Path:
    stamp = pa.array([at] * rows.num_rows, type=pa.timestamp("us", tz="UTC"))
    path = landing / table / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows.append_column("landed_at", stamp), path)
    return path


def _land(scale: str, landing: Path) -> list[Path]:
    """Write a market as landing files; the files of its last day are returned."""
    market, at = Market(MarketConfig.at_scale(scale)), datetime.now(UTC)
    for table in _SNAPSHOTS:
        _put(landing, table, "current", getattr(market, table)(), at)
    written: list[Path] = []
    for day in market.days():
        written = [_put(landing, table, day.date.isoformat(), getattr(day, table), at) for table in _DAILY]
    return written


def _aggregate(landing: Path) -> tuple[float, dict[tuple[Any, str], tuple[Any, ...]]]:
    started = time.perf_counter()
    with duckdb.connect(config={"threads": _THREADS}) as connection:
        rows = connection.execute(_PEER.format(landing=landing)).fetchall()
    return time.perf_counter() - started, {r[:2]: r[2:] for r in rows}


def _equal(warehouse: Path, expected: dict[tuple[Any, str], tuple[Any, ...]]) -> bool:
    """Counts identical, money to nine digits (the order of a sum of floats is free)."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        ours = {r[:2]: r[2:] for r in connection.execute(_OURS).fetchall()}
    return ours.keys() == expected.keys() and all(
        ours[k][:2] == expected[k][:2] and abs(ours[k][2] - expected[k][2]) <= 1e-9 * max(1.0, expected[k][2])
        for k in expected
    )


def _row(what: str, ours: list[float], peer: list[float]) -> Row:
    middle, floor = statistics.median(ours), statistics.median(peer)
    return Row(
        what=what, ours=middle, peer=floor, peer_name="DuckDB aggregate, seconds", ratio=middle / floor,
        interval=(min(ours) / max(peer), max(ours) / min(peer)), n=len(ours),
    )  # fmt: skip


def run(scale: str = "small", runs: int = 3) -> BenchmarkReport:
    """Time a full build, an incremental day with and without tests, an empty dbt process and the aggregate.

    Both sides use two threads and the file cache is warm. Intervals are the extreme ratios of the runs.
    """
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="adplatform-warehouse-") as name:
        scratch = Path(name)
        landing, warehouse, before = scratch / "landing", scratch / "warehouse.duckdb", scratch / "before.duckdb"
        last = _land(scale, landing)
        held = [path.rename(scratch / f"{path.parent.name}.held") for path in last]

        def build(*arguments: str) -> float:
            return dbt(*arguments, landing=landing, warehouse=warehouse, scratch=scratch, threads=_THREADS)

        build("parse")
        full = [build("build", "--quiet")]
        shutil.copy(warehouse, before)
        empty = [build("run", "--quiet", "--select", "stg_users") for _ in range(runs)]
        for path, at in zip(held, last, strict=True):
            path.rename(at)
        tested: list[float] = []
        untested: list[float] = []
        peer: list[float] = []
        equal = True
        for _ in range(runs):
            for arguments, into in ((["build", "--quiet"], tested), (["run", "--quiet"], untested)):
                shutil.copy(before, warehouse)
                into.append(build(*arguments))
            seconds, expected = _aggregate(landing)
            peer.append(seconds)
            equal &= _equal(warehouse, expected)
        impressions = int(sum(v[0] for v in expected.values()))
    rows = (
        _row(
            f"incremental day, dbt build with its tests, {scale} ({impressions:,} impressions), seconds", tested, peer
        ),
        _row("incremental day, dbt run without tests, seconds", untested, peer),
        _row("all days but the last from nothing, dbt build with its tests, seconds", full, peer),
        _row("dbt process that makes one view (the floor), seconds", empty, peer),
    )
    claim = Claim(
        name="warehouse-equal",
        claim="after the incremental day impressions, clicks and spend by day and campaign equal the aggregate's",
        figure=float(equal), holds=equal, n=len(expected),
    )  # fmt: skip
    return BenchmarkReport(
        name="warehouse", machine={}, seconds=time.perf_counter() - begun, rows=rows, claims=(claim,)
    )
