"""What could be known as of time: the market's own replay of the features in ``contracts.features``.

The oracle joins it to logged impressions, so that policies can be valued on contexts that a policy would have seen.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adplatform.contracts.features import FEATURES
from adplatform.simulator.arrow import ids, numbers_of, words
from adplatform.simulator.config import (
    AGE_BANDS,
    APPEALS,
    AUDIENCES,
    CATEGORIES,
    DEVICES,
    EXPOSURE_DAYS,
    PLACEMENTS,
    REGIONS,
    SEGMENT_IDS,
    TONES,
    MarketConfig,
)
from adplatform.simulator.population import DAY_US, Population, midnight_us
from adplatform.simulator.streams import Array
from adplatform.simulator.world import World


class History:
    """Daily counts of each user, (users, days); a window of n days ends the day before the day asked for."""

    def __init__(self, config: MarketConfig) -> None:
        shape = (config.users, config.days + 1)
        self._impressions, self._clicks, self._purchases = (np.zeros(shape, dtype=np.int32) for _ in range(3))
        self._last_click = np.full(shape, -1, dtype=np.int16)

    def add(self, day: int, shown: Array, clicked: Array, bought: Array) -> None:
        """Book the users of a day's impressions, clicks and purchases (users as often as they did it)."""
        for table, users in ((self._impressions, shown), (self._clicks, clicked), (self._purchases, bought)):
            table[:, day + 1] = table[:, day] + np.bincount(users, minlength=len(table))
        self._last_click[:, day + 1] = np.where(
            self._clicks[:, day + 1] > self._clicks[:, day], day, self._last_click[:, day]
        )

    def features(self, users: Array, days: Array) -> dict[str, Array]:
        """History features of each (user, day); days since click is NaN where there is none."""
        last = self._last_click[users, days]
        return {
            "user_impressions_7d": self._window(self._impressions, users, days, 7),
            "user_clicks_7d": self._window(self._clicks, users, days, 7),
            "user_clicks_28d": self._window(self._clicks, users, days, 28),
            "user_conversions_28d": self._window(self._purchases, users, days, 28),
            "user_days_since_click": np.where(last >= 0, days - last, np.nan),
        }

    @staticmethod
    def _window(table: Array, users: Array, days: Array, length: int) -> Array:
        return np.asarray(table[users, days] - table[users, np.maximum(days - length, 0)])


class ExposureHistory:
    """Past days' (user, creative) pairs, to count exposures as of the start of any day."""

    def __init__(self, creatives: int) -> None:
        self._creatives = creatives
        self._days: list[tuple[Array, Array]] = []

    def add(self, pairs: Array, seen: Array) -> None:
        """Append a day's sorted pairs with their counts."""
        self._days.append((pairs, seen))

    def of(self, users: Array, creatives: Array, days: Array) -> Array:
        """Exposures over the EXPOSURE_DAYS days before each day; the arguments broadcast."""
        users, creatives, days = np.broadcast_arrays(users, creatives, days)
        codes = users.astype(np.int64) * self._creatives + creatives
        total = np.zeros(codes.shape, dtype=np.int64)
        for day, (pairs, seen) in enumerate(self._days):
            asked = (days > day) & (days <= day + EXPOSURE_DAYS)
            if len(pairs) and asked.any():
                place = np.minimum(np.searchsorted(pairs, codes[asked]), len(pairs) - 1)
                total[asked] += np.where(pairs[place] == codes[asked], seen[place], 0)
        return total


def context_table(
    config: MarketConfig,
    population: Population,
    world: World,
    history: History,
    columns: dict[str, Array],
) -> pa.Table:
    """Contexts as a policy sees them: ``training_examples`` columns, null without consent where personal.

    ``columns``: user, campaign, creative, at_us, day, placement, position (from 0), exposures.
    """
    user, day, at_us = columns["user"], columns["day"], columns["at_us"]
    known = population.consent[user]
    hidden = ~known
    category = world.category[columns["campaign"]]
    creative = columns["creative"]
    made: dict[str, pa.Array] = {
        "user_id": pa.array(_nulled(ids("u", user, 6), hidden)),
        "segment_id": words(SEGMENT_IDS, np.where(known, population.group[user], -1)),
        "campaign_id": ids("c", columns["campaign"] + 1, 2),
        "event_day": pa.array(_dates(config, day)),
        "occurred_at": pa.array(at_us).cast(pa.timestamp("us", tz="UTC")),
        "audience": words(AUDIENCES, np.where(known, population.audience[user], -1)),
        "age_band": words(AGE_BANDS, np.where(known, population.age[user], -1)),
        "region": words(REGIONS, np.where(known, population.region[user], -1)),
        "device": words(DEVICES, np.where(known, population.device[user], -1)),
        "placement": words(PLACEMENTS, columns["placement"]),
        "product_category": words(CATEGORIES, category),
        "tone": words(TONES, world.tone[creative]),
        "appeal": words(APPEALS, world.appeal[creative]),
        "creative_id": ids("cr", creative + 1, 3),
        "hour": pa.array(at_us // (DAY_US // 24) % 24),
        "weekday": pa.array((config.first_day.weekday() + day) % 7),
        "position": pa.array(columns["position"].astype(np.int64) + 1),
        "tenure_days": pa.array(
            (midnight_us(config) // DAY_US + day) - population.registered_us[user] // DAY_US, mask=hidden
        ),
        "creative_exposures_7d": pa.array(columns["exposures"].astype(np.int64), mask=hidden),
    }
    for name, values in history.features(user, day).items():
        unknown = hidden | (np.isnan(values) if values.dtype.kind == "f" else False)
        made[name] = pa.array(
            values.astype(np.int64, copy=False) if values.dtype.kind != "f" else np.nan_to_num(values).astype(np.int64),
            mask=unknown,
        )
    order = ["user_id", "segment_id", "campaign_id", "event_day", "occurred_at", *FEATURES]
    return pa.table({name: made[name] for name in order})


def impression_ids(config: MarketConfig, days: Array, numbers: Array) -> pa.Array:
    """Ids of the impressions with these numbers within their days."""
    words_of_days = np.array(
        [int((config.first_day + timedelta(days=d)).strftime("%Y%m%d")) for d in range(config.days)]
    )
    return ids("i", words_of_days[days] * 10_000_000 + numbers, 15)


def impression_numbers(config: MarketConfig, column: pa.ChunkedArray) -> tuple[Array, Array]:
    """The inverse: (day from the market's first, -1 where it is none of the market's; number within the day)."""
    codes = numbers_of(column, 1)
    known = {int((config.first_day + timedelta(days=d)).strftime("%Y%m%d")): d for d in range(config.days)}
    found, place = np.unique(codes // 10_000_000, return_inverse=True)
    return np.array([known.get(int(f), -1) for f in found])[place], codes % 10_000_000


def _nulled(array: pa.Array, mask: Array) -> pa.Array:
    return pc.if_else(pa.array(mask), pa.scalar(None, pa.string()), array)


def _dates(config: MarketConfig, days: Array) -> pa.Array:
    return pa.array((days + midnight_us(config) // DAY_US).astype(np.int32)).cast(pa.date32())
