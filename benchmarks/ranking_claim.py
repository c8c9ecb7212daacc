"""Claim ``ranking``: segments are ranked by their true expected value, better than by raw click rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from adplatform.contracts.claims import Claim
from adplatform.contracts.targeting import RankRequest
from adplatform.simulator import Market, MarketConfig
from adplatform.stats.claims import paired_difference
from adplatform.stats.ranking import ndcg, normalised_gain, random_ndcg
from adplatform.targeting.agent import Targeting
from adplatform.targeting.features import chronological_split
from adplatform.targeting.ranking import add_expected_clicks, cells, representative, shrinkage
from adplatform.targeting.response import ResponseModel
from benchmarks.examples import creative_attributes, segment_performance, segments, training_examples

HELD_OUT_DAYS: Final = 3
MINIMUM_USERS: Final = 20
MINIMUM_GAIN: Final = 0.8
DECIDABLE_SEEDS: Final = 5


class Reading(NamedTuple):
    """One market: mean over its creatives of (NDCG - random) / (1 - random), and how often intervals hold the truth."""

    seed: int
    ours: float
    raw: float
    coverage: float
    segments: int
    creatives: int


def run(scale: str, seeds: Sequence[int], progress: Callable[[float], None] | None = None) -> Claim:
    """Rank the segments of every creative of each seed's market, as the agent does, and compare with the oracle.

    The order is judged by NDCG with the true click rate at zero exposure as gain; a random order is worth 0, the
    oracle's 1. ``figure``: mean over seeds; ``n``: seeds. Holds when it is at least 0.8 and the interval of the paired
    difference to the order by raw click rate (matured clicks over impressions) lies above 0; cannot tell under 5 seeds.
    """
    readings: list[Reading] = []
    for k, seed in enumerate(seeds):
        readings.append(read(scale, seed))
        if progress is not None:
            progress((k + 1) / len(seeds))
    ours, raw = np.array([r.ours for r in readings]), np.array([r.raw for r in readings])
    gain = paired_difference(ours, raw)
    detail: dict[str, Any] = {
        "scale": scale,
        "raw_click_rate": float(raw.mean()),
        "difference": [gain.mean, *(v if np.isfinite(v) else None for v in (gain.low, gain.high))],
        "interval_coverage": float(np.mean([r.coverage for r in readings])),
        "markets": [r._asdict() for r in readings],
    }
    return Claim(
        name="ranking",
        claim=f"(NDCG - random) / (oracle - random) of segments at least {MINIMUM_GAIN}, and above raw click rate",
        figure=float(ours.mean()),
        holds=bool(ours.mean() >= MINIMUM_GAIN and gain.low > 0) if len(readings) >= DECIDABLE_SEEDS else None,
        n=len(readings),
        detail=detail,
    )


def read(scale: str, seed: int) -> Reading:
    """The figures of one market."""
    market = Market(MarketConfig.at_scale(scale, seed=seed))
    examples, ads, groups = training_examples(market), creative_attributes(market), segments(market)
    train, _ = chronological_split(examples, HELD_OUT_DAYS)
    model = ResponseModel.fit(train, seed=seed)
    known = segment_performance(examples)
    agent = Targeting(
        model, groups, add_expected_clicks(known, examples, model), representative(train, seed=seed),
        MINIMUM_USERS, shrinkage(examples, model),
    )  # fmt: skip
    shown = [s for s in groups if s.users >= MINIMUM_USERS]
    true = market.oracle().segment_rate(ads, [s.segment_id for s in shown])
    counts = cells(known, ads, shown)
    overall = counts.clicks.sum() / counts.impressions.sum()
    rate = np.where(counts.impressions > 0, counts.clicks / np.maximum(counts.impressions, 1), overall)
    column = {s.segment_id: k for k, s in enumerate(shown)}
    ours, raw, inside = [], [], []
    for c, ad in enumerate(ads):
        ranking = agent.rank(RankRequest(creatives=(ad,), limit=1000))
        at = [column[s.segment_id] for s in ranking.scores]
        relevance, chance = true[c, at], random_ndcg(true[c, at])
        ours.append(normalised_gain(ndcg(relevance, [s.click_rate for s in ranking.scores]), chance, 1.0))
        raw.append(normalised_gain(ndcg(relevance, rate[c, at]), chance, 1.0))
        inside += [s.interval.low <= t <= s.interval.high for s, t in zip(ranking.scores, relevance, strict=True)]
    return Reading(seed, float(np.mean(ours)), float(np.mean(raw)), float(np.mean(inside)), len(shown), len(ads))
