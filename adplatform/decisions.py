"""The way back: a day of the decision log becomes behaviour data like any other."""

from __future__ import annotations

from datetime import date

from adplatform.state import State
from adplatform.store.decision_rows import Advertised, days_with_events, tables_of
from adplatform.store.landing import IngestReport


def library(state: State) -> dict[str, Advertised]:
    """Campaign and product of every creative that is landed."""
    campaigns = state.landing.read("campaigns").select(["campaign_id", "product_id"]).to_pylist()
    products = {row["campaign_id"]: row["product_id"] for row in campaigns}
    rows = state.landing.read("creatives_library").select(["creative_id", "campaign_id"]).to_pylist()
    return {r["creative_id"]: Advertised(r["campaign_id"], products[r["campaign_id"]]) for r in rows}


def open_days(state: State) -> list[date]:
    """Days on which the log has something; none before the first decision."""
    path = state.settings.decisions
    return days_with_events(path) if path.exists() else []


def land_day(state: State, day: date) -> list[IngestReport]:
    """Land the day's decisions, impressions, clicks and conversions; again is harmless, late events come in then.

    A landing that was killed half-way is completed by the next: each table lands whole, and what is landed is dropped.
    """
    path = state.settings.decisions
    if not path.exists():
        return []
    tables = tables_of(path, day, library(state))
    return [
        state.landing.ingest_table(name, rows, source=f"decision log, {name} of {day}")
        for name, rows in tables.items()
        if rows.num_rows
    ]
