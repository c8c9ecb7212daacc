"""What the endpoints decided in the last days, from the landed decision log, by the version that chose."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from adplatform import asset_keys as keys
from adplatform.contracts.base import Message
from adplatform.state import State
from adplatform.training import serving_response

DAYS: Final = 7
"""Landed days of the decision log that are told of."""
ASKED_FOR: Final = ["decision_id", "decided_at", "user_id", "policy_version"]


class Served(Message):
    """What one policy version decided, and what came of it so far."""

    policy_version: str
    first: datetime
    last: datetime
    decisions: int
    personal: int
    """Of a user who was known and has consented."""
    impressions: int
    clicks: int
    expected_clicks: float | None
    """Of those impressions, by the response model that serves; None where none does."""


def served(state: State) -> list[Served]:
    """By policy version, in the order in which they first decided; none before a decision has landed."""
    days = state.landing.days(keys.DECISION_LOG)[-DAYS:]
    if not days or not state.settings.warehouse.exists():
        return []
    log = pa.concat_tables([state.landing.read(keys.DECISION_LOG, day).select(ASKED_FOR) for day in days])
    shown = state.warehouse.read("select * from training_examples where event_day >= ?", [days[0]])
    shown = shown.filter(pc.is_in(shown["impression_id"], log["decision_id"].combine_chunks()))
    expected = serving_response(state).predict(shown) if state.registry.champion("response_model") else None
    outcomes = pa.table(
        {
            "decision_id": shown["impression_id"],
            "clicked": shown["clicked"],
            "expected": pa.nulls(shown.num_rows, pa.float64())
            if expected is None
            else pa.array(expected, pa.float64()),
        }
    )
    measures = [(name, "sum") for name in ("clicked", "expected")] + [("decided_at", how) for how in ("min", "max")]
    measures += [(name, "count") for name in ("decision_id", "user_id", "clicked")]
    rows = log.join(outcomes, "decision_id").group_by("policy_version").aggregate(measures).to_pylist()
    found = [
        Served(
            policy_version=row["policy_version"], first=row["decided_at_min"], last=row["decided_at_max"],
            decisions=row["decision_id_count"], personal=row["user_id_count"], impressions=row["clicked_count"],
            clicks=row["clicked_sum"] or 0, expected_clicks=row["expected_sum"],
        )
        for row in rows
    ]  # fmt: skip
    return sorted(found, key=lambda s: (s.first, s.policy_version))
