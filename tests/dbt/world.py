"""A small landing zone built by hand: every value is drawn here, nothing comes from the simulator."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from adplatform.contracts.tables import TABLES, Kind

FIRST_DAY = date(2026, 3, 1)
ARROW = {
    Kind.STRING: pa.string(), Kind.INTEGER: pa.int64(), Kind.NUMBER: pa.float64(), Kind.BOOLEAN: pa.bool_(),
    Kind.TIMESTAMP: pa.timestamp("us", tz="UTC"), Kind.DATE: pa.date32(),
}  # fmt: skip
LANDED = datetime(2026, 3, 20, tzinfo=UTC)


def schema(table: str) -> pa.Schema:
    """Columns of the landing files of `table`."""
    fields = [pa.field(c.name, ARROW[c.kind]) for c in TABLES[table].columns]
    return pa.schema([*fields, pa.field("landed_at", ARROW[Kind.TIMESTAMP])])


def to_table(table: str, columns: dict[str, Any], landed_at: datetime = LANDED) -> pa.Table:
    """Landing rows of `table`; columns that are not given are null."""
    rows = len(next(iter(columns.values())))
    filled = {**columns, "landed_at": [landed_at] * rows}
    arrays = [pa.array(filled.get(f.name, [None] * rows), type=f.type, from_pandas=True) for f in schema(table)]
    return pa.table(arrays, schema=schema(table))


def put(landing: Path, table: str, rows: pa.Table) -> None:
    """Write `rows` as the landing zone does: one file a UTC day, or one snapshot."""
    (landing / table).mkdir(parents=True, exist_ok=True)
    day_of = TABLES[table].day_of
    if day_of is None:
        pq.write_table(rows, landing / table / "current.parquet")
        return
    days = pc.strftime(rows[day_of], format="%Y-%m-%d")
    for day in pc.unique(days).to_pylist():
        pq.write_table(rows.filter(pc.equal(days, day)), landing / table / f"{day}.parquet")


def read(landing: Path, table: str, day: date) -> pa.Table:
    """The landed rows of one day."""
    return pq.read_table(landing / table / f"{day}.parquet")


def moments(rng: np.random.Generator, day: date, n: int) -> np.ndarray:
    """`n` moments of a UTC day, microseconds since 1970."""
    start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    return (start + np.sort(rng.integers(0, 86_400, n))) * 1_000_000


def entities(users: int, rng: np.random.Generator) -> dict[str, pa.Table]:
    """Users (one in five without consent), three campaigns in three zones, their creatives, two experiments."""
    ids = [f"u{i:06d}" for i in range(users)]
    registered = [datetime(2026, 2, 25, tzinfo=UTC) + timedelta(days=int(d)) for d in rng.integers(-300, 9, users)]
    creatives = [f"c{c}-a{a}" for c in range(3) for a in range(4)]
    arms = rng.choice(["control", "treatment"], users)
    return {
        "users": to_table("users", {
            "user_id": ids, "registered_at": registered, "consent": [i % 5 != 0 for i in range(users)],
            "audience": rng.choice(["runners", "cooks"], users), "age_band": rng.choice(["18-29", "30-44"], users),
            "region": rng.choice(["north", "south"], users), "device": rng.choice(["mobile", "desktop"], users),
        }),
        "campaigns": to_table("campaigns", {
            "campaign_id": ["c0", "c1", "c2"], "product_id": ["p0", "p1", "p2"], "product_name": ["A", "B", "C"],
            "product_category": ["sports", "cooking", "travel"], "objective": ["clicks", "conversions", "clicks"],
            "daily_budget": [50.0, 80.0, 20.0], "timezone": ["UTC", "Europe/Berlin", "America/New_York"],
            "starts_on": [FIRST_DAY] * 3, "ends_on": [FIRST_DAY + timedelta(days=30)] * 3,
        }),
        "creatives_library": to_table("creatives_library", {
            "creative_id": creatives, "campaign_id": [c.split("-")[0] for c in creatives], "headline": creatives,
            "tone": rng.choice(["playful", "premium"], 12), "appeal": rng.choice(["price", "quality"], 12),
        }),
        "experiments": to_table("experiments", {
            "experiment_id": ["e0", "e1"], "campaign_id": ["c0", "c1"], "kind": ["creative_ab", "holdout"],
            "metric": ["click", "conversion"], "control_creative_id": ["c0-a0", None],
            "treatment_creative_id": ["c0-a1", None], "treatment_share": [0.5, 0.5],
            "starts_on": [FIRST_DAY] * 2, "ends_on": [FIRST_DAY + timedelta(days=20)] * 2,
        }),
        "assignments": to_table("assignments", {
            "assignment_id": [f"{e}-{u}" for e in ("e0", "e1") for u in ids],
            "experiment_id": ["e0"] * users + ["e1"] * users, "user_id": ids * 2, "arm": [*arms, *arms],
            "assigned_at": [datetime(2026, 3, 1, tzinfo=UTC)] * (2 * users),
        }),
    }  # fmt: skip


def events(day: date, users: int, impressions: int, rng: np.random.Generator) -> dict[str, pa.Table]:
    """One day of impressions, clicks up to 25 hours later, conversions up to 80 hours later, and organic ones."""
    number = (day - FIRST_DAY).days
    shown = moments(rng, day, impressions)
    user = rng.integers(0, users, impressions)
    campaign, creative = rng.integers(0, 3, impressions), rng.integers(0, 4, impressions)
    ids = np.array([f"i{number:03d}-{i:07d}" for i in range(impressions)])
    user_ids = np.array([f"u{u:06d}" for u in user])
    in_experiment = (campaign == 0) & (creative < 2)
    clicked = np.flatnonzero(rng.random(impressions) < 0.08)
    clicks_at = shown[clicked] + rng.integers(1, 25 * 3600, len(clicked)) * 1_000_000
    bought = rng.random(len(clicked)) < 0.4
    organic = max(2, impressions // 100)
    sold_at = clicks_at[bought] + rng.integers(1, 80 * 3600, int(bought.sum())) * 1_000_000
    buyers = [*user_ids[clicked][bought], *[f"u{u:06d}" for u in rng.integers(0, users, organic)]]
    products = [*campaign[clicked][bought], *rng.integers(0, 3, organic)]
    return {
        "impressions": to_table("impressions", {
            "impression_id": ids, "user_id": user_ids, "campaign_id": [f"c{c}" for c in campaign],
            "creative_id": [f"c{c}-a{a}" for c, a in zip(campaign, creative, strict=True)], "occurred_at": shown,
            "placement": rng.choice(["feed", "banner"], impressions), "position": rng.integers(1, 5, impressions),
            "policy_version": ["logging"] * impressions, "propensity": np.full(impressions, 0.25),
            "experiment_id": np.where(in_experiment, "e0", None), "bid": np.full(impressions, 0.01),
            "arm": np.where(in_experiment, np.where(creative == 0, "control", "treatment"), None),
            "price": rng.uniform(0.001, 0.01, impressions),
        }),
        "clicks": to_table("clicks", {
            "click_id": [f"k{i}" for i in ids[clicked]], "impression_id": ids[clicked], "occurred_at": clicks_at,
        }),
        "conversions": to_table("conversions", {
            "conversion_id": [f"v{number:03d}-{i}" for i in range(len(buyers))], "user_id": buyers,
            "product_id": [f"p{p}" for p in products], "value": rng.uniform(5, 60, len(buyers)),
            "occurred_at": np.concatenate([sold_at, moments(rng, day, organic)]),
        }),
    }  # fmt: skip


def build(landing: Path, days: int = 10, users: int = 60, impressions: int = 120, seed: int = 1) -> None:
    """Write a whole landing zone. Events that occur after the last day have not landed yet."""
    rng = np.random.default_rng(seed)
    for table, rows in entities(users, rng).items():
        put(landing, table, rows)
    happened: dict[str, list[pa.Table]] = {"impressions": [], "clicks": [], "conversions": []}
    for number in range(days):
        for table, rows in events(FIRST_DAY + timedelta(days=number), users, impressions, rng).items():
            happened[table].append(rows)
    end = FIRST_DAY + timedelta(days=days)
    now = pa.scalar(datetime(end.year, end.month, end.day, tzinfo=UTC), type=ARROW[Kind.TIMESTAMP])
    for table, parts in happened.items():
        rows = pa.concat_tables(parts)
        put(landing, table, rows.filter(pc.less(rows["occurred_at"], now)))
