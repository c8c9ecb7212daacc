"""Loads a data set into the inbox, as source systems would deliver it, with one brief for each campaign."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any, Final

import yaml

from adplatform.contracts.errors import InputError
from adplatform.contracts.tables import TABLES
from adplatform.settings import Settings
from adplatform.store.atomic import write_bytes, write_parquet

ASSUMED_COST_PER_MILLE: Final = 300.0
"""JPY for the Open Bandit log, which has no prices. An assumption, and the report says so."""


def claim_home(config: Settings, wanted: dict[str, Any]) -> None:
    """Write dataset.json, or raise InputError when the home holds another data set."""
    path = config.home / "dataset.json"
    if path.exists():
        held = json.loads(path.read_text())
        different = sorted(k for k in ("name", "scale", "seed", "first_day") if held.get(k) != wanted.get(k))
        if different:
            raise InputError(
                "ADPLATFORM_HOME",
                f"{config.home} holds another data set ({', '.join(f'{k} {held.get(k)}' for k in different)})",
                "set ADPLATFORM_HOME to a new folder, or remove that one",
            )
    write_bytes(path, json.dumps(wanted, indent=1, default=str).encode())


def simulated(config: Settings, scale: str, seed: int, last_day: date | None) -> dict[str, Any]:
    """The simulated market: files in the inbox, briefs beside them. Returns what dataset.json says."""
    from adplatform.simulator import Market, MarketConfig

    last = last_day or datetime.now(UTC).date() - timedelta(days=1)
    held = config.dataset
    if last_day is None and held.get("name") == "simulated" and held.get("scale") == scale and held.get("seed") == seed:
        last = date.fromisoformat(held["last_day"])  # a second demo on another day goes on with the same market
    first = last - timedelta(days=13)
    wanted = {
        "name": "simulated", "scale": scale, "seed": seed, "first_day": first.isoformat(), "last_day": last.isoformat(),
        "tables": list(TABLES),
    }  # fmt: skip
    claim_home(config, wanted)
    market = Market(MarketConfig.at_scale(scale, seed=seed, first_day=first))
    market.write(config.home / "inbox")
    write_briefs(config.home / "briefs", market.campaigns().to_pylist(), last)
    return wanted


def open_bandit(config: Settings) -> dict[str, Any]:
    """The Open Bandit sample that obp carries: tables in the inbox; it has no conversions, prices or experiments."""
    from adplatform.store.open_bandit import landing_tables

    tables = landing_tables()
    days = sorted({t.date() for t in tables["impressions"]["occurred_at"].to_pylist()})
    wanted = {
        "name": "open-bandit", "scale": "sample", "seed": 0, "first_day": days[0].isoformat(), "last_day": days[-1].isoformat(),
        "tables": sorted(tables), "assumed_cost_per_mille": ASSUMED_COST_PER_MILLE,
    }  # fmt: skip
    claim_home(config, wanted)
    write_open_bandit_briefs(config.home / "briefs", tables["campaigns"].to_pylist(), days[-1])
    for name, table in tables.items():
        if not TABLES[name].daily:
            write_parquet(config.home / "inbox" / f"{name}.parquet", table)
            continue
        stamps = table["occurred_at"].to_pylist()
        for day in sorted({s.date() for s in stamps}):
            rows = table.filter([s.date() == day for s in stamps])
            write_parquet(config.home / "inbox" / name / f"{day}.parquet", rows)
    return wanted


def write_briefs(folder: Path, campaigns: list[dict[str, Any]], after: date) -> list[Path]:
    """One brief for each campaign, to run in the fortnight after the data; product facts by name."""
    products = yaml.safe_load(resources.files("adplatform.demo").joinpath("products.yaml").read_text())
    written = []
    for campaign in campaigns:
        product = products[campaign["product_name"]]
        brief = {
            "campaign_id": campaign["campaign_id"],
            "product": {"name": campaign["product_name"], "category": campaign["product_category"], **product},
            "objective": campaign["objective"],
            "budget": f"{14 * campaign['daily_budget']:.2f}",
            "currency": campaign["currency"],
            "flight": {
                "starts_on": (after + timedelta(days=1)).isoformat(),
                "ends_on": (after + timedelta(days=14)).isoformat(),
                "timezone": campaign["timezone"],
            },
        }
        path = folder / f"{campaign['campaign_id']}.yaml"
        write_bytes(path, yaml.safe_dump(brief, sort_keys=False, allow_unicode=True).encode())
        written.append(path)
    return written


def write_open_bandit_briefs(folder: Path, campaigns: list[dict[str, Any]], after: date) -> None:
    """One brief for each campaign of the fashion shop. The log has no prices: the budget is the brief's own."""
    for campaign in campaigns:
        brief = {
            "campaign_id": campaign["campaign_id"],
            "product": {
                "name": campaign["product_name"],
                "category": campaign["product_category"] or "fashion",
                "description": "Clothes and shoes of many brands, recommended on the shop's own page.",
                "facts": ["many brands in one shop", "new arrivals every week"],
            },
            "objective": "clicks",
            "budget": "100000.00",
            "currency": "JPY",
            "flight": {
                "starts_on": (after + timedelta(days=1)).isoformat(),
                "ends_on": (after + timedelta(days=7)).isoformat(),
                "timezone": campaign["timezone"],
            },
        }
        write_bytes(folder / f"{campaign['campaign_id']}.yaml", yaml.safe_dump(brief, sort_keys=False).encode())
