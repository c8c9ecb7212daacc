"""Events as landing tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa

from adplatform.simulator.arrow import build, ids, words
from adplatform.simulator.config import LOGGING_POLICY, PLACEMENTS, MarketConfig
from adplatform.simulator.generator import Impressions
from adplatform.simulator.outcomes import Purchases
from adplatform.simulator.streams import Array

_WIDTH = 7
"""Digits of an event's number within its day."""


@dataclass(frozen=True)
class Clicks:
    """Clicks in order of time: the impression's day and number, when, and the first day on which they can arrive."""

    day: Array
    number: Array
    at_us: Array
    ready: Array

    def where(self, mask: Array) -> Clicks:
        """The clicks of that mask."""
        return Clicks(self.day[mask], self.number[mask], self.at_us[mask], self.ready[mask])

    def __add__(self, other: Clicks) -> Clicks:
        """Both, in order of time."""
        columns = [np.concatenate([getattr(self, n), getattr(other, n)]) for n in ("day", "number", "at_us", "ready")]
        order = np.argsort(columns[2], kind="stable")
        return Clicks(*(c[order] for c in columns))


def no_clicks() -> Clicks:
    """None."""
    return Clicks(*(np.zeros(0, dtype=np.int64) for _ in range(4)))


def _day_word(config: MarketConfig, day: int) -> str:
    return (config.first_day + timedelta(days=day)).strftime("%Y%m%d")


def impressions(config: MarketConfig, day: int, first: int, drawn: Impressions) -> pa.Table:
    """Landing rows of an hour's impressions, numbered from ``first`` within the day."""
    count = len(drawn.user)
    tests = int(drawn.test.max(initial=0)) + 1
    return build(
        "impressions",
        {
            "impression_id": ids(f"i{_day_word(config, day)}", np.arange(first, first + count), _WIDTH),
            "user_id": ids("u", drawn.user, 6),
            "campaign_id": ids("c", drawn.campaign + 1, 2),
            "creative_id": ids("cr", drawn.creative + 1, 3),
            "occurred_at": drawn.at_us,
            "placement": words(PLACEMENTS, drawn.placement),
            "position": drawn.position.astype(np.int64) + 1,
            "policy_version": words([LOGGING_POLICY], np.zeros(count, dtype=np.int32)),
            "propensity": drawn.propensity,
            "experiment_id": words([f"e{n:02d}" for n in range(tests)], np.where(drawn.test > 0, drawn.test, -1)),
            "arm": words(("control", "treatment"), drawn.arm),
            "bid": drawn.bid,
            "price": drawn.price,
        },
    )


def clicks(config: MarketConfig, found: Clicks) -> pa.Table:
    """Landing rows of clicks; a click's id is its impression's with k for i, as an impression has at most one."""
    parts = {"i": [pa.array([], pa.string())], "k": [pa.array([], pa.string())]}
    order = []
    for day in np.unique(found.day):
        own = np.flatnonzero(found.day == day)
        order.append(own)
        for letter, arrays in parts.items():
            arrays.append(ids(f"{letter}{_day_word(config, int(day))}", found.number[own], _WIDTH))
    place = np.argsort(np.concatenate(order)) if order else np.zeros(0, dtype=np.int64)
    at = pa.array(place)
    return build(
        "clicks",
        {
            "click_id": pa.concat_arrays(parts["k"]).take(at),
            "impression_id": pa.concat_arrays(parts["i"]).take(at),
            "occurred_at": found.at_us,
        },
    )


def conversions(config: MarketConfig, day: int, found: Purchases) -> pa.Table:
    """Landing rows of a day's purchases."""
    return build(
        "conversions",
        {
            "conversion_id": ids(f"v{_day_word(config, day)}", np.arange(len(found.user)), _WIDTH),
            "user_id": ids("u", found.user, 6),
            "product_id": ids("p", found.campaign + 1, 2),
            "occurred_at": found.at_us,
            "value": found.value,
        },
    )
