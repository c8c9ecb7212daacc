"""Four deterministic agents that know a small planted market, for claims and tests of the orchestrator.

The market: a combination's click rate is a product of creative and segment effects; a segment's impressions cost
its own price and run out, so that clicks bend with spend as contracts/measurement.py says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from adplatform.contracts.base import Interval
from adplatform.contracts.brief import Appeal, Objective, Tone
from adplatform.contracts.creative import CopySource, CopyVariant, CreativeRequest, CreativeScores, CreativeSet
from adplatform.contracts.delivery import Allocation, AllocationRequest
from adplatform.contracts.measurement import ExpectedPerformance, PerformanceReport, PerformanceRequest
from adplatform.contracts.plan import CampaignPlan
from adplatform.contracts.targeting import CreativeAttributes, RankRequest, Segment, SegmentRanking, SegmentScore
from adplatform.delivery.allocation import allocate
from adplatform.orchestrator import BaseRates
from adplatform.orchestrator.selection import eligible

AUDIENCES = ("runners", "cooks", "travellers", "gamers", "makers", "parents", "investors", "musicians")
AGE_BANDS = ("18-29", "30-44", "45-59", "60+")
COST_PER_MILLE = 4.0
CONVERSION_RATE, CONVERSION_VALUE = 0.05, 60.0
DAILY_IMPRESSIONS = 5.0
BASE = 0.012
TONES = {Tone.PLAYFUL: "Run wild in", Tone.PREMIUM: "The finest:", Tone.URGENT: "Only now:", Tone.TRUSTED: "Rely on"}
APPEALS = {
    Appeal.PRICE: "Kind to your purse.",
    Appeal.QUALITY: "Made with care.",
    Appeal.CONVENIENCE: "Easy to use.",
    Appeal.NOVELTY: "New this year.",
}


def market_segments() -> tuple[Segment, ...]:
    """32 segments of 400 to 4,000 users."""
    rng = np.random.default_rng(11)
    return tuple(
        Segment(segment_id=f"{a}|{b}", users=int(rng.integers(400, 4000)), audience=a, age_band=b)
        for a in AUDIENCES
        for b in AGE_BANDS
    )


def true_rate(tone: Tone | None, appeal: Appeal | None, segment_id: str) -> float:
    """Planted click rate, between about 0.3 and 3 times ``BASE``."""

    def effect(*parts: object) -> float:
        digest = hashlib.sha256("|".join(map(str, parts)).encode()).digest()
        return int.from_bytes(digest[:4], "big") / 2**32

    audience = segment_id.split("|", maxsplit=1)[0]
    fit = effect("taste", tone, appeal, audience) + effect("segment", segment_id) - 1.0
    return float(BASE * np.exp(1.1 * fit))


def cost_per_mille(segment_id: str) -> float:
    """Planted price of a thousand impressions, between 0.6 and 1.6 times ``COST_PER_MILLE``."""
    digest = hashlib.sha256(f"price|{segment_id}".encode()).digest()
    return COST_PER_MILLE * float(np.exp(int.from_bytes(digest[:4], "big") / 2**32 - 0.5))


def saturation_of(segment_id: str, users: int, days: int) -> float:
    """Price of all impressions a segment has in a flight, in currency."""
    return users * DAILY_IMPRESSIONS * days * cost_per_mille(segment_id) / 1000.0


def base_rates() -> BaseRates:
    """The market's means, for the default rules."""
    rates = [true_rate(t, a, s.segment_id) for t in Tone for a in Appeal for s in market_segments()]
    mean = float(np.mean(rates))
    return BaseRates(
        click_rate=mean,
        click_interval=Interval(low=float(np.quantile(rates, 0.025)), high=float(np.quantile(rates, 0.975))),
        cost_per_mille=COST_PER_MILLE,
        conversion_rate=CONVERSION_RATE,
        conversion_value=CONVERSION_VALUE,
        daily_impressions=DAILY_IMPRESSIONS * sum(s.users for s in market_segments()),
    )


def market_value(plan: CampaignPlan) -> float:
    """True reward of a plan in the planted market: each line bends by its own curve."""
    attributes = {c.creative_id: (c.tone, c.appeal) for c in plan.creatives}
    users = {s.segment_id: s.users for s in market_segments()}
    total = 0.0
    for line in plan.lines:
        rate = true_rate(*attributes[line.creative_id], line.segment_id) * 1000.0 / cost_per_mille(line.segment_id)
        s = saturation_of(line.segment_id, users[line.segment_id], plan.brief.flight.days)
        total += rate * s * float(-np.expm1(-float(line.budget) / s))
    return total if plan.objective is Objective.CLICKS else total * CONVERSION_RATE * CONVERSION_VALUE


class ReferenceCreative:
    """Implements CreativeAgent: the tones and appeals by mean true rate."""

    version = "reference-creative"

    def creatives(self, request: CreativeRequest) -> CreativeSet:
        """``brief.variants`` of the 16 texts, those first that the market as a whole likes best."""
        name = request.brief.product.name
        segments = market_segments()

        def liked(pair: tuple[Tone, Appeal]) -> float:
            return sum(s.users * true_rate(pair[0], pair[1], s.segment_id) for s in segments)

        pairs = sorted(((t, a) for t in Tone for a in Appeal), key=liked, reverse=True)
        variants = tuple(
            CopyVariant(
                creative_id=f"{t.value}-{a.value}",
                headline=f"{TONES[t]} {name}",
                body=f"{APPEALS[a]} {name}.",
                tone=t,
                appeal=a,
                source=CopySource.LANGUAGE_MODEL,
                scores=CreativeScores(relevance=0.8, diversity=0.5, brand=1.0),
            )
            for t, a in pairs[: request.brief.variants]
        )
        return CreativeSet(variants=variants, generated=16, model_version=self.version)


class ReferenceTargeting:
    """Implements TargetingAgent: true rates, best first."""

    version = "reference-targeting"

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = segments

    def rank(self, request: RankRequest) -> SegmentRanking:
        """Every eligible segment for each creative."""
        scores = []
        for creative in request.creatives:
            rated = [
                (true_rate(creative.tone, creative.appeal, s.segment_id), s)
                for s in eligible(self._segments, request.audience)
            ]
            for rate, segment in sorted(rated, key=lambda x: (-x[0], x[1].segment_id))[: request.limit]:
                scores.append(
                    SegmentScore(
                        creative_id=creative.creative_id,
                        segment_id=segment.segment_id,
                        click_rate=rate,
                        interval=Interval(low=rate * 0.9, high=rate * 1.1),
                        users=segment.users,
                        impressions=1000,
                    )
                )
        return SegmentRanking(scores=tuple(scores), model_version=self.version)


class ReferenceMeasurement:
    """Implements MeasurementAgent: the planted market's curves."""

    version = "reference-measurement"

    def expect(self, request: PerformanceRequest) -> PerformanceReport:
        """One row for each combination."""
        by_id = {c.creative_id: c for c in request.creatives}
        rows = tuple(_row(by_id[s.creative_id], s, request.flight_days) for s in request.combinations)
        return PerformanceReport(combinations=rows, model_version=self.version)


def _row(creative: CreativeAttributes, score: SegmentScore, days: int) -> ExpectedPerformance:
    rate = true_rate(creative.tone, creative.appeal, score.segment_id)
    price = cost_per_mille(score.segment_id)
    clicks = rate * 1000.0 / price
    value = clicks * CONVERSION_RATE * CONVERSION_VALUE
    return ExpectedPerformance(
        creative_id=score.creative_id,
        segment_id=score.segment_id,
        click_rate=rate,
        click_interval=Interval(low=rate * 0.9, high=rate * 1.1),
        conversion_rate=CONVERSION_RATE,
        conversion_value=CONVERSION_VALUE,
        cost_per_mille=price,
        clicks_per_unit=clicks,
        value_per_unit=value,
        value_interval=Interval(low=value * 0.8, high=value * 1.2),
        saturation=saturation_of(score.segment_id, score.users, days),
    )


class ReferenceBudget:
    """Implements BudgetAgent: the exact split."""

    version = "reference-budget"

    def allocate(self, request: AllocationRequest) -> Allocation:
        """Water-filling."""
        return allocate(request, self.version)
