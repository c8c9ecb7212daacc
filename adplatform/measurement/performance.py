"""What money on a creative in a segment is expected to bring: price, clicks, value, and where it saturates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from scipy import special

from adplatform.contracts.base import Interval
from adplatform.contracts.errors import InputError
from adplatform.contracts.measurement import ExpectedPerformance
from adplatform.contracts.targeting import CreativeAttributes, Segment, SegmentScore
from adplatform.measurement.conversions import Conversion, Conversions

COLUMNS: Final = ("segment_id", "creative_id", "campaign_id", "impressions", "clicks", "conversions",
                  "conversion_value", "spend")  # fmt: skip
PRICE_IMPRESSIONS: Final = 200.0
"""A segment's price per impression counts as much as the overall price after this many impressions."""
SUPPLY_DAYS: Final = 200.0
"""The same for impressions per user and day, in user-days."""
FATIGUE_DAYS: Final = 7
"""Exposures of this many days tire a user (``creative_exposures_7d``)."""
HALVED: Final = 1.5936
"""x at which (1 - exp(-x)) / x is one half."""
SLOWEST_FATIGUE: Final = 0.02


class Performance:
    """Prices, supply and conversions learnt from ``segment_performance``, a table of (segment, creative) sums.

    ``segments`` gives the consenting users of each segment, ``days`` the matured days behind the sums, ``library``
    the product category of known creatives (conversions are pooled by it, or by campaign where it is unknown).
    ``default_cost_per_mille`` answers where the data has no spend. ``fatigue`` is the exponent of
    ``shrinkage.fatigue_exponent``.
    """

    def __init__(
        self, table: Any, segments: Sequence[Segment], *, days: int, library: Sequence[CreativeAttributes] = (),
        default_cost_per_mille: float | None = None, fatigue: float = 0.0,
    ) -> None:  # fmt: skip
        missing = [c for c in COLUMNS if c not in table.column_names]
        if missing:
            raise InputError("segment_performance", f"has no column {missing[0]}", "rebuild the marts")
        if days < 1:
            raise InputError("days", f"{days}", "give the number of matured days behind segment_performance")
        self._users = {s.segment_id: s.users for s in segments}
        self._fatigue, self._days = fatigue, days
        self._group_of = {c.creative_id: _group(c.product_category, c.campaign_id) for c in library}
        rows = {c: table.column(c).to_pylist() for c in COLUMNS}
        self._prices, self._price = _prices(rows, default_cost_per_mille)
        self._supply, self._mean_supply = self._supplies(rows)
        groups = [
            self._group_of.get(c, _group(None, k))
            for c, k in zip(rows["creative_id"], rows["campaign_id"], strict=True)
        ]
        self._conversions = Conversions.of(
            groups, rows["segment_id"], rows["clicks"], rows["conversions"], rows["conversion_value"]
        )

    @property
    def has_prices(self) -> bool:
        """Whether an impression has a price, from the data or by default."""
        return self._price is not None

    def expected(self, creative: CreativeAttributes, score: SegmentScore, flight_days: int) -> ExpectedPerformance:
        """Expectation of one combination over a flight of ``flight_days``.

        Per unit of currency: clicks = click rate * 1000 / cost per mille, value = clicks * conversions per click *
        value of a conversion. The value's interval takes the three as log-normal and independent. Click rate and
        interval are the ranking's; its data are not counted again. Saturation: see ``saturation``. Raises InputError
        on an unknown segment, or where there is no price.
        """
        segment = score.segment_id
        if segment not in self._users:
            raise InputError(f"segment {segment}", "is unknown or withheld", "take one of dim_segments")
        price = self._prices.get(segment, self._price)
        if price is None:
            raise InputError("spend", "the data has none", "give default_cost_per_mille")
        clicks = score.click_rate / price
        conversion = self._conversion(creative, segment)
        value, value_interval = _value(clicks, score, conversion) if conversion else (None, None)
        return ExpectedPerformance(
            creative_id=score.creative_id,
            segment_id=segment,
            click_rate=score.click_rate,
            click_interval=score.interval,
            conversion_rate=conversion.rate.mean if conversion else None,
            conversion_value=conversion.value.mean if conversion else None,
            cost_per_mille=1000 * price,
            clicks_per_unit=clicks,
            value_per_unit=value,
            value_interval=value_interval,
            saturation=self.saturation(segment, price, flight_days),
        )

    def saturation(self, segment: str, price: float, flight_days: int) -> float:
        """Spend, in currency, at which a combination's reward has bent to 63 % of its straight line's worth.

        1 / S = 1 / M + 1 / F. M buys all that is on offer: users * impressions seen per user and day * flight days *
        price (impressions of all campaigns of the data: what this buyer is known to reach). F is where fatigue bends:
        with click rate (1 + e)^-f and e the exposures of seven days, the rate halves at e = 2^(1/f) - 1; spend that
        keeps users there, over the flight, is where the exponential's mean return halves, 1.594 F. Fatigue builds up
        over seven days, so a shorter flight bears as many exposures as one of seven.
        """
        users = max(self._users[segment], 1)
        supply = users * self._supply.get(segment, self._mean_supply) * flight_days * price
        if self._fatigue < SLOWEST_FATIGUE:
            return supply
        exposures: float = (2.0 ** (1 / self._fatigue) - 1) * max(flight_days, FATIGUE_DAYS) / FATIGUE_DAYS
        tired = users * exposures * price / HALVED
        return float(1 / (1 / supply + 1 / tired))

    def _conversion(self, creative: CreativeAttributes, segment: str) -> Conversion | None:
        group = self._group_of.get(creative.creative_id) or _group(creative.product_category, creative.campaign_id)
        return self._conversions.of_cell(group, segment) if self._conversions else None

    def _supplies(self, rows: Mapping[str, list[Any]]) -> tuple[dict[str, float], float]:
        """Impressions per user and day of each segment, shrunk to the mean over all."""
        seen: dict[str, float] = {}
        for segment, impressions in zip(rows["segment_id"], rows["impressions"], strict=True):
            seen[segment] = seen.get(segment, 0.0) + impressions
        exposure = {s: float(u * self._days) for s, u in self._users.items()}
        total = sum(seen.get(s, 0.0) for s in exposure)
        mean = total / max(sum(exposure.values()), 1.0) or 1.0
        return {s: (seen.get(s, 0.0) + SUPPLY_DAYS * mean) / (d + SUPPLY_DAYS) for s, d in exposure.items()}, mean


def _group(category: str | None, campaign_id: str | None) -> str:
    """What conversions are pooled by."""
    return f"category {category}" if category else f"campaign {campaign_id}"


def _prices(rows: Mapping[str, list[Any]], default: float | None) -> tuple[dict[str, float], float | None]:
    """Price of an impression by segment, shrunk to the overall price; (nothing, the default) where none is positive."""
    spend: dict[str, float] = {}
    bought: dict[str, float] = {}
    for segment, impressions, money in zip(rows["segment_id"], rows["impressions"], rows["spend"], strict=True):
        if money is not None:
            spend[segment] = spend.get(segment, 0.0) + money
            bought[segment] = bought.get(segment, 0.0) + impressions
    if not sum(spend.values()) > 0:
        return {}, None if default is None else default / 1000
    overall = sum(spend.values()) / sum(bought.values())
    shrunk = {s: (m + PRICE_IMPRESSIONS * overall) / (bought[s] + PRICE_IMPRESSIONS) for s, m in spend.items()}
    return shrunk, overall


def _value(clicks: float, score: SegmentScore, conversion: Conversion) -> tuple[float, Interval]:
    """Value per unit of currency and its log-normal interval."""
    mean = clicks * conversion.rate.mean * conversion.value.mean
    if mean <= 0:
        return 0.0, Interval(low=0.0, high=0.0)
    z = float(special.ndtri(0.5 + score.interval.level / 2))
    floor = score.click_rate * 1e-3
    spread = (np.log(max(score.interval.high, floor)) - np.log(max(score.interval.low, floor))) / (2 * z)
    relative = [part.standard_error / part.mean for part in conversion]
    sigma = float(np.sqrt(spread**2 + sum(np.log1p(r * r) for r in relative)))
    centre = float(np.log(mean)) - sigma**2 / 2
    half = float(special.ndtri(0.975)) * sigma
    return mean, Interval(low=float(np.exp(centre - half)), high=float(np.exp(centre + half)))
