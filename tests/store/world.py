"""A few valid rows of every landing table, as Python dicts, and how to make files of them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq
import pytest

from adplatform.contracts.errors import InputError
from adplatform.contracts.tables import TABLES
from adplatform.settings import Settings
from adplatform.store.convert import schema_of
from adplatform.store.landing import Landing

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = datetime(2026, 2, 10, tzinfo=UTC)

Rows = list[dict[str, Any]]


def users(*names: str) -> Rows:
    known = {"consent": True, "audience": "runners", "age_band": "60+", "region": "north", "device": "mobile"}
    return [{"user_id": name, "registered_at": DAY, **known} for name in names or ("u-1", "u-2", "u-3")]


def campaigns() -> Rows:
    return [
        {
            "campaign_id": "c-1", "product_id": "p-1", "product_name": "Shoe, light", "product_category": "sports",
            "objective": "clicks", "daily_budget": 100.0, "target_cost": None, "currency": "EUR",
            "timezone": "Europe/Berlin", "starts_on": date(2026, 2, 1), "ends_on": date(2026, 3, 1),
        }
    ]  # fmt: skip


def creatives() -> Rows:
    kept = {"campaign_id": "c-1", "headline": 'Say "go"', "tone": "playful", "appeal": "price"}
    return [{"creative_id": f"k-{i}", **kept} for i in (1, 2)]


def experiments() -> Rows:
    return [
        {
            "experiment_id": "e-1", "campaign_id": "c-1", "kind": "creative_ab", "metric": "click",
            "control_creative_id": "k-1", "treatment_creative_id": "k-2", "treatment_share": 0.5,
            "designed_users": None, "starts_on": date(2026, 2, 1), "ends_on": date(2026, 2, 20),
        }
    ]  # fmt: skip


def impression(number: int, day: int = 0, **changed: Any) -> dict[str, Any]:
    row = {
        "impression_id": f"i-{number}", "user_id": "u-1", "campaign_id": "c-1", "creative_id": "k-1",
        "occurred_at": DAY + timedelta(days=day, seconds=number), "placement": "feed", "position": 1,
        "policy_version": "log", "propensity": 0.5, "experiment_id": None, "arm": None, "bid": 0.02, "price": 0.01,
    }  # fmt: skip
    return {**row, **changed}


def impressions(count: int = 10, day: int = 0, start: int = 0) -> Rows:
    return [impression(start + i, day) for i in range(count)]


def click(number: int, day: int = 0, **changed: Any) -> dict[str, Any]:
    at = DAY + timedelta(days=day, seconds=number + 5)
    return {"click_id": f"k-{number}", "impression_id": f"i-{number}", "occurred_at": at, **changed}


def table(name: str, rows: Rows) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=schema_of(TABLES[name]))


def csv(path: Path, name: str, rows: Rows) -> Path:
    """A CSV file; a value that is a string stands as it is, whatever its column's type."""
    columns = list(TABLES[name].names)
    texts = [[_text(row.get(c)) for row in rows] for c in columns]
    pc_csv.write_csv(pa.table([pa.array(t, pa.string()) for t in texts], names=columns), path)
    return path


def parquet(path: Path, name: str, rows: Rows) -> Path:
    pq.write_table(table(name, rows), path)
    return path


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def entities(landing: Landing) -> None:
    """Land users, the campaign, its creatives and its experiment."""
    found = {"users": users(), "campaigns": campaigns(), "creatives_library": creatives(), "experiments": experiments()}
    for name, rows in found.items():
        landing.ingest_table(name, table(name, rows), now=NOW)


def new_landing(home: Path, **settings: Any) -> Landing:
    landing = Landing(Settings(home=home, **settings))
    entities(landing)
    return landing


def snapshot(root: Path) -> dict[str, bytes]:
    """Every file under ``root`` with its bytes."""
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def refused(landing: Landing, name: str, path: Path, **arguments: Any) -> str:
    """The line of the refusal; nothing on disk may have changed."""
    root = landing.settings.landing
    before = snapshot(root)
    with pytest.raises(InputError) as caught:
        landing.ingest(name, path, now=NOW, **arguments)
    assert snapshot(root) == before
    line = str(caught.value)
    assert "\n" not in line
    assert caught.value.exit_code == 2
    assert caught.value.mend
    return line
