"""Claim ``calibration``: on held-out days of a market with known truth, what the response model says comes true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from adplatform.contracts.claims import Claim
from adplatform.simulator import Market, MarketConfig
from adplatform.stats.calibration import gap_closed, log_loss, observed_over_expected, reliability
from adplatform.targeting.features import chronological_split, numbers
from adplatform.targeting.response import ResponseModel
from benchmarks.examples import impressions, training_examples

HELD_OUT_DAYS: Final = 3
BINS: Final = 20
MINIMUM_INSIDE: Final = 17
OBSERVED_OVER_EXPECTED: Final = (0.97, 1.03)
MINIMUM_GAP_CLOSED: Final = 0.70
DECIDABLE_CLICKS: Final = 10_000
"""Under this many held-out clicks observed over expected has a standard error above 0.01: the limits can't decide."""


class Reading(NamedTuple):
    """One market's figures."""

    seed: int
    inside: int
    ratio: float
    closed: float
    clicks: int
    rows: int


def run(scale: str, seeds: Sequence[int], progress: Callable[[float], None] | None = None) -> Claim:
    """Train on all but the last three days of each seed's market, and compare with clicks and oracle on those.

    ``figure``: mean share of the log-loss gap between a constant and the oracle that is closed; ``n``: held-out rows.
    Holds when every market has 17 of 20 equal-mass bins inside, observed over expected in 0.97 to 1.03 and 0.70 of the
    gap closed; cannot tell under 10,000 held-out clicks a market.
    """
    readings: list[Reading] = []
    for k, seed in enumerate(seeds):
        readings.append(read(scale, seed))
        if progress is not None:
            progress((k + 1) / len(seeds))
    decidable = all(r.clicks >= DECIDABLE_CLICKS for r in readings)
    low, high = OBSERVED_OVER_EXPECTED
    kept = all(
        r.inside >= MINIMUM_INSIDE and low <= r.ratio <= high and r.closed >= MINIMUM_GAP_CLOSED for r in readings
    )
    detail: dict[str, Any] = {"scale": scale, "bins": BINS, "markets": [r._asdict() for r in readings]}
    if not decidable:
        least = min(r.clicks for r in readings)
        detail["cannot_tell"] = f"{least:,} held-out clicks, needs {DECIDABLE_CLICKS:,}: run it at scale small"
    return Claim(
        name="calibration",
        claim=f"on held-out days {MINIMUM_INSIDE} of {BINS} bins lie inside, observed over expected in {low} to {high}, "
        f"{MINIMUM_GAP_CLOSED:.0%} of the log-loss gap to the oracle closed",
        figure=float(np.mean([r.closed for r in readings])),
        holds=kept if decidable else None,
        n=sum(r.rows for r in readings),
        detail=detail,
    )


def read(scale: str, seed: int) -> Reading:
    """The figures of one market."""
    market = Market(MarketConfig.at_scale(scale, seed=seed))
    events = impressions(market)
    train, held_out = chronological_split(training_examples(market, events), HELD_OUT_DAYS)
    shown = events[0].slice(train.num_rows)
    del events
    if shown["impression_id"] != held_out["impression_id"]:
        raise AssertionError("the held-out rows are not the last impressions of the market")
    p = ResponseModel.fit(train, seed=seed).predict(held_out)
    y, truth = numbers(held_out["clicked"]), market.oracle().click_probability(shown)
    constant = np.full(len(y), numbers(train["clicked"]).mean())
    return Reading(
        seed=seed,
        inside=int(reliability(p, y, BINS).inside.sum()),
        ratio=observed_over_expected(p, y),
        closed=gap_closed(log_loss(p, truth), log_loss(constant, truth), log_loss(truth, truth)),
        clicks=int(y.sum()),
        rows=len(y),
    )
