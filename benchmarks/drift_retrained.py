"""What a retraining that drift started is worth, by the oracle of a small market whose tastes changed."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from adplatform.simulator import Faults, Market, MarketConfig, Oracle
from adplatform.targeting.bandit import SoftmaxPolicy
from adplatform.targeting.features import chronological_split
from adplatform.targeting.labels import challenge
from adplatform.targeting.response import ResponseModel
from adplatform.training import HELD_OUT_DAYS
from benchmarks import examples as ex

DAYS: Final = 18
DRIFT_DAY: Final = 9


def retrained(seed: int, threads: int = 1) -> dict[str, Any]:
    """Train before the drift and again after it, as training.py splits days, and value both policies on later decisions.

    ``gain``: of the new over the old, where tastes drifted; ``gain_without``: of the same two in the same market without
    drift, which is what more data alone brings.
    """
    config = MarketConfig.at_scale("tiny", seed=seed, days=DAYS, impressions=160_000)
    market, drifts = Market(config), config.first_day + timedelta(days=DRIFT_DAY)
    found = _compared(market, Faults(taste_drift_from=drifts), drifts, threads)
    without = _compared(market, Faults(), drifts, threads)
    return {"seed": seed, **found, "gain_without": without["gain"], "promoted_without": without["promoted"]}


def _compared(market: Market, faults: Faults, known_until: date, threads: int) -> dict[str, Any]:
    """What policies of before ``known_until`` and of now are worth on the held-out days, and what the gate says."""
    seed, days = market.config.seed, list(market.days(faults))
    events = (
        pa.concat_tables([d.impressions for d in days]),
        pa.concat_tables([d.clicks for d in days]),
        pa.concat_tables([d.conversions for d in days]),
    )
    examples = ex.training_examples(market, events)
    before = examples.filter(pc.less(examples["event_day"], pa.scalar(known_until, pa.date32())))
    train, held_out = chronological_split(examples, HELD_OUT_DAYS)
    old = ResponseModel.fit(before, seed=seed, threads=threads)
    new = ResponseModel.fit(train, seed=seed, threads=threads)
    log = held_out.filter(pc.is_null(held_out["experiment_id"]))
    exposures, oracle = ex.user_creative_exposures(examples), market.oracle(faults)
    worth = {name: _worth(oracle, market, log, SoftmaxPolicy(m), exposures) for name, m in (("old", old), ("new", new))}
    verdict = challenge(train, held_out, new, old)
    return {**worth, "gain": worth["new"] - worth["old"], "promoted": verdict.passed, "verdict": verdict.reason}


def _worth(oracle: Oracle, market: Market, log: pa.Table, policy: SoftmaxPolicy, exposures: pa.Table) -> float:
    """True expected clicks a decision of ``policy`` over the log's decisions, drift included."""
    total, creatives = 0.0, ex.creative_attributes(market)
    for campaign in pc.unique(log["campaign_id"]).to_pylist():
        own = [c for c in creatives if c.campaign_id == campaign]
        rows = log.filter(pc.equal(log["campaign_id"], campaign))
        chance = policy.probabilities(rows, own, exposures)
        total += float((chance * oracle.click_probabilities(rows, [c.creative_id for c in own])).sum())
    return float(total / log.num_rows)
