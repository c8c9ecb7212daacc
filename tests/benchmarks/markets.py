"""A market small enough for a test, made once."""

from __future__ import annotations

from functools import lru_cache

import pyarrow as pa

from adplatform.simulator import Market, MarketConfig
from adplatform.targeting.features import FeatureEncoder
from benchmarks.examples import training_examples

SMALL = {"users": 1000, "impressions": 40_000, "campaigns": 2}


@lru_cache(maxsize=1)
def small_examples() -> tuple[pa.Table, FeatureEncoder]:
    table = training_examples(Market(MarketConfig.at_scale("tiny", seed=9100, **SMALL)))
    return table, FeatureEncoder.fit(table)
