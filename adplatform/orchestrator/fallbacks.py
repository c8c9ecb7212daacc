"""The default rules of targeting, measurement and budget: what answers when an agent doesn't (copy: default_copy.py).

No model, no data but base rates, no randomness.

They keep the same contracts as the agents (``contracts/agents.py``), and their answers pass the same checks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from adplatform.contracts.base import Interval
from adplatform.contracts.delivery import Allocation, AllocationRequest, AllocationShare
from adplatform.contracts.errors import InputError
from adplatform.contracts.measurement import ExpectedPerformance, PerformanceReport, PerformanceRequest
from adplatform.contracts.targeting import RankRequest, Segment, SegmentRanking, SegmentScore
from adplatform.orchestrator.selection import eligible
from adplatform.stats.apportion import apportion


@dataclass(frozen=True)
class BaseRates:
    """What is known of the market as a whole, for the rules that know nothing more.

    ``click_rate`` with its interval, ``cost_per_mille`` in currency, ``conversion_rate`` per click and
    ``conversion_value`` in currency (None where the data has no conversions), ``daily_impressions`` a day on all segments together (None: one a user).
    """

    click_rate: float
    click_interval: Interval
    cost_per_mille: float
    conversion_rate: float | None = None
    conversion_value: float | None = None
    daily_impressions: float | None = None


class LargestSegments:
    """Implements TargetingAgent: the largest segments first, each at the base rate."""

    version = "largest-segments-1"

    def __init__(self, segments: Sequence[Segment], rates: BaseRates, minimum_users: int) -> None:
        self._segments, self._rates, self._minimum = tuple(segments), rates, minimum_users

    def rank(self, request: RankRequest) -> SegmentRanking:
        """Every eligible segment of minimum size, by number of users."""
        allowed = eligible(self._segments, request.audience)
        large = sorted((s for s in allowed if s.users >= self._minimum), key=lambda s: (-s.users, s.segment_id))
        scores = tuple(
            SegmentScore(
                creative_id=creative.creative_id,
                segment_id=segment.segment_id,
                click_rate=self._rates.click_rate,
                interval=self._rates.click_interval,
                users=segment.users,
                impressions=0,
            )
            for creative in request.creatives
            for segment in large[: request.limit]
        )
        return SegmentRanking(scores=scores, withheld=len(allowed) - len(large), model_version=self.version)


class BaseRateExpectation:
    """Implements MeasurementAgent: the ranking's own click rate at the market's mean price and conversion rate."""

    version = "base-rates-1"

    def __init__(self, rates: BaseRates, users: int) -> None:
        """``users`` of all segments, among whom the daily impressions are spread evenly."""
        self._rates, self._users = rates, max(users, 1)

    def expect(self, request: PerformanceRequest) -> PerformanceReport:
        """One row for each combination; saturation is what the segment's impressions of the flight cost."""
        rates = self._rates
        value = (
            None
            if rates.conversion_rate is None or rates.conversion_value is None
            else rates.conversion_rate * rates.conversion_value
        )
        seen = rates.daily_impressions / self._users if rates.daily_impressions is not None else 1.0
        rows = []
        for score in request.combinations:
            per_unit = 1000.0 / rates.cost_per_mille
            low, high = (per_unit * x * (value or 0.0) for x in (score.interval.low, score.interval.high))
            rows.append(
                ExpectedPerformance(
                    creative_id=score.creative_id,
                    segment_id=score.segment_id,
                    click_rate=score.click_rate,
                    click_interval=score.interval,
                    conversion_rate=rates.conversion_rate if value is not None else None,
                    conversion_value=rates.conversion_value if value is not None else None,
                    cost_per_mille=rates.cost_per_mille,
                    clicks_per_unit=per_unit * score.click_rate,
                    value_per_unit=None if value is None else per_unit * score.click_rate * value,
                    value_interval=None if value is None else Interval(low=low, high=high),
                    saturation=score.users * seen * request.flight_days / per_unit,
                )
            )
        return PerformanceReport(combinations=tuple(rows), model_version=self.version)


class EqualSplit:
    """Implements BudgetAgent: equal parts within the limits."""

    version = "equal-split-1"

    def allocate(self, request: AllocationRequest) -> Allocation:
        """Equal parts, to the cent; InputError where the minimums exceed the budget."""
        total = int(request.budget * 100)
        cap = total if len(request.options) == 1 else int(request.budget * 100 * Decimal(str(request.largest_share)))
        low = [int(o.minimum * 100) for o in request.options]
        high = [cap if o.maximum is None else min(cap, int(o.maximum * 100)) for o in request.options]
        earns = [1.0 if o.reward_rate > 0 else 0.0 for o in request.options]
        try:
            cents = apportion(total, earns, low, high, [o.option_id for o in request.options])
        except ValueError as error:
            raise InputError("minimum", "minimums exceed the budget or the limits", "lower the minimums") from error
        shares = []
        for option, part in zip(request.options, cents, strict=True):
            spend = Decimal(int(part)) / 100
            expected = option.reward_rate * option.saturation * -math.expm1(-float(spend) / option.saturation)
            shares.append(
                AllocationShare(
                    option_id=option.option_id,
                    budget=spend,
                    share=float(spend / request.budget),
                    expected_reward=expected,
                )
            )
        unspent = request.budget - sum((s.budget for s in shares), Decimal(0))
        return Allocation(shares=tuple(shares), budget=request.budget, unspent=unspent, model_version=self.version)
