"""The Open Bandit Dataset sample (Saito et al. 2021, arXiv:2008.07146) that the ``obp`` package carries, as landing tables.

Six logs of 10,000 rounds: campaigns all, men and women, each under a uniform policy (random) and Bernoulli Thompson
Sampling (bts), with the propensity of every item shown. It has no conversions, prices or experiments, so those tables
are absent. ``obp`` itself is not imported: its import pulls in torch and fails without seaborn.
"""

from __future__ import annotations

import hashlib
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv

from adplatform.contracts.errors import SetupError
from adplatform.contracts.tables import TABLES
from adplatform.store.convert import schema_of

POLICIES: Final = ("random", "bts")
CAMPAIGNS: Final = ("all", "men", "women")
TIMEZONE: Final = "Asia/Tokyo"
USER_FEATURES: Final = tuple(f"user_feature_{i}" for i in range(4))
MEND: Final = "install the extra open-bandit (pip install 'adplatform[open-bandit]')"


def data_directory() -> Path:
    """Where the sample lies. Raises SetupError when ``obp`` is not installed."""
    spec = find_spec("obp")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        directory = Path(place) / "dataset" / "obd"
        if directory.is_dir():
            return directory
    raise SetupError("the Open Bandit sample is not installed", MEND)


def read_log(policy: str, campaign: str) -> pa.Table:
    """One log in its own order: item_id, position, click, propensity_score, timestamp (UTC), user features."""
    path = data_directory() / policy / campaign / f"{campaign}.csv"
    types = {
        "timestamp": pa.timestamp("us", "UTC"),
        "item_id": pa.int64(),
        "position": pa.int64(),
        "click": pa.int64(),
        "propensity_score": pa.float64(),
        **dict.fromkeys(USER_FEATURES, pa.string()),
    }
    convert = pc_csv.ConvertOptions(column_types=types, include_columns=list(types))
    try:
        return pc_csv.read_csv(path, convert_options=convert)
    except FileNotFoundError:
        raise SetupError(f"{path} is missing", f"{MEND}, version 0.4.1") from None


def landing_tables() -> dict[str, pa.Table]:
    """users, campaigns, creatives_library, impressions and clicks in the landing schema, ``landed_at`` aside.

    Rows of events are in order of time within each log. A click carries its impression's time: the log has no other.
    """
    logs = {(policy, campaign): read_log(policy, campaign) for policy in POLICIES for campaign in CAMPAIGNS}
    parts: dict[str, list[pa.Table]] = {"users": [], "impressions": [], "clicks": []}
    for (policy, campaign), log in logs.items():
        for name, rows in _events(policy, campaign, log).items():
            parts[name].append(rows)
    tables = {name: pa.concat_tables(rows) for name, rows in parts.items()}
    tables["campaigns"] = _table("campaigns", _campaigns(logs))
    tables["creatives_library"] = _table("creatives_library", _creatives(logs))
    return {name: tables[name] for name in TABLES if name in tables}


def _table(name: str, columns: dict[str, list | pa.Array | pa.ChunkedArray]) -> pa.Table:
    """The landing table; columns that are not given are null."""
    schema = schema_of(TABLES[name])
    rows = len(next(iter(columns.values())))
    return pa.table([columns.get(field.name, pa.nulls(rows, field.type)) for field in schema], schema=schema)


def _events(policy: str, campaign: str, log: pa.Table) -> dict[str, pa.Table]:
    """Each round is one impression of one anonymous visitor, who is known by the four hashed features alone."""
    rounds = [f"{campaign}-{policy}-{i:06d}" for i in range(log.num_rows)]
    constant = [campaign] * log.num_rows
    visitors = [f"v-{r}" for r in rounds]
    impressions = [f"i-{r}" for r in rounds]
    clicked = np.flatnonzero(log["click"].to_numpy() == 1)
    return {
        "users": _table(
            "users",
            {
                "user_id": visitors,
                "registered_at": log["timestamp"],
                "consent": [True] * log.num_rows,
                "audience": _audiences(log),
            },
        ),
        "impressions": _table(
            "impressions",
            {
                "impression_id": impressions,
                "user_id": visitors,
                "campaign_id": constant,
                "creative_id": [f"{campaign}-{item}" for item in log["item_id"].to_pylist()],
                "occurred_at": log["timestamp"],
                "position": log["position"],
                "policy_version": [policy] * log.num_rows,
                "propensity": log["propensity_score"],
            },
        ),
        "clicks": _table(
            "clicks",
            {
                "click_id": [f"c-{rounds[i]}" for i in clicked],
                "impression_id": [impressions[i] for i in clicked],
                "occurred_at": log["timestamp"].take(pa.array(clicked)),
            },
        ),
    }


def _audiences(log: pa.Table) -> list[str]:
    """A short hash of the four features joined: visitors with the same features are one audience."""
    joined = pc.binary_join_element_wise(*(log[name] for name in USER_FEATURES), "|").to_pylist()
    return [hashlib.sha256(text.encode()).hexdigest()[:8] for text in joined]


def _campaigns(logs: dict[tuple[str, str], pa.Table]) -> dict[str, list]:
    flights = [_flight([logs[policy, campaign] for policy in POLICIES]) for campaign in CAMPAIGNS]
    return {
        "campaign_id": list(CAMPAIGNS),
        "product_id": [f"zozotown-{campaign}" for campaign in CAMPAIGNS],
        "product_name": [f"ZOZOTOWN fashion items, {campaign}" for campaign in CAMPAIGNS],
        "product_category": ["fashion"] * len(CAMPAIGNS),
        "objective": ["clicks"] * len(CAMPAIGNS),
        "timezone": [TIMEZONE] * len(CAMPAIGNS),
        "starts_on": [first for first, _ in flights],
        "ends_on": [last for _, last in flights],
    }


def _flight(logs: list[pa.Table]) -> tuple[date, date]:
    """First and last day of these logs in the shop's own zone."""
    bounds = [pc.min_max(log["timestamp"]).as_py() for log in logs]
    zone = ZoneInfo(TIMEZONE)
    return (
        min(b["min"] for b in bounds).astimezone(zone).date(),
        max(b["max"] for b in bounds).astimezone(zone).date(),
    )


def _creatives(logs: dict[tuple[str, str], pa.Table]) -> dict[str, list]:
    """The items each campaign showed under either policy."""
    pairs = [
        (campaign, item)
        for campaign in CAMPAIGNS
        for item in sorted({i for policy in POLICIES for i in logs[policy, campaign]["item_id"].to_pylist()})
    ]
    return {"creative_id": [f"{c}-{item}" for c, item in pairs], "campaign_id": [c for c, _ in pairs]}
