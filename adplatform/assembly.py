"""Builds the agents from registry, marts and settings, once, for Dagster's shells, the endpoints and the command line."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

import pyarrow as pa

from adplatform.contracts.agents import CreativeAgent
from adplatform.contracts.base import Interval
from adplatform.contracts.brief import Brief
from adplatform.contracts.creative import CreativeRequest, CreativeSet
from adplatform.contracts.errors import AdPlatformError, InputError
from adplatform.contracts.measurement import ExpectedPerformance, PerformanceReport, PerformanceRequest
from adplatform.contracts.targeting import RankRequest, Segment, SegmentRanking
from adplatform.delivery import Budget, BudgetPolicy
from adplatform.estimation import fatigue
from adplatform.measurement.agent import Measurement
from adplatform.orchestrator.brief import load_brief
from adplatform.orchestrator.fallbacks import BaseRates
from adplatform.orchestrator.machine import Orchestrator, Timeouts
from adplatform.state import State
from adplatform.stats.intervals import wilson
from adplatform.targeting.agent import Targeting
from adplatform.targeting.ranking import add_expected_clicks, representative, shrinkage
from adplatform.training import creatives, examples, serving_response

T = TypeVar("T")
CONTEXT_DAYS: Final = 7
"""Days of examples from which the contexts of a ranking are drawn."""
CREATIVES_AT_ONCE: Final = 20
"""So many creatives in 250 segments are the 5,000 combinations that one request may hold."""
_log = logging.getLogger(__name__)


def segments(state: State) -> list[Segment]:
    """Rows of dim_segments."""
    rows = state.warehouse.read("select segment_id, users, audience, age_band from dim_segments order by segment_id")
    return [Segment(**row) for row in rows.to_pylist()]


def performance(state: State) -> pa.Table:
    """The segment_performance mart, in a fixed order."""
    return state.warehouse.read("select * from segment_performance order by segment_id, creative_id")


def targeting_agent(state: State) -> Targeting:
    """The Targeting agent on the response champion."""
    model = serving_response(state)
    window = f"event_day > (select max(event_day) from training_examples) - interval {CONTEXT_DAYS} day"
    recent = examples(state, window)
    matured = examples(state, "is_matured and segment_id is not null")
    table = add_expected_clicks(performance(state), matured, model)
    contexts = representative(recent, seed=state.settings.seed)
    prior = shrinkage(matured, model)
    return Targeting(model, segments(state), table, contexts, state.settings.minimum_segment_users, prior)


def measurement_agent(state: State) -> Measurement:
    """The Measurement agent on the matured sums of segment_performance."""
    return Measurement(
        performance(state), segments(state), days=matured_days(state), library=creatives(state),
        default_cost_per_mille=assumed_cost(state), fatigue=fatigue(state),
        version=f"performance-{state.warehouse.data_version()[:16]}",
    )  # fmt: skip


def assumed_cost(state: State) -> float | None:
    """Cost per mille where the data has no prices: the setting, else what the data set's loader stated."""
    return state.settings.cost_per_mille or state.settings.dataset.get("assumed_cost_per_mille")


def matured_days(state: State) -> int:
    """Matured days behind segment_performance. Raises InputError when there are none."""
    days = state.warehouse.read("select count(distinct event_day) as n from training_examples where is_matured")
    n = int(days["n"][0].as_py())
    if n == 0:
        raise InputError("training_examples", "no day is matured yet", "land days up to the attribution window's end")
    return n


def budget_agent(state: State) -> Budget:
    """The Budget agent: the champion policy, or the first one before any was trained."""
    champion = state.registry.champion("budget_policy")
    if champion is None:
        return Budget(BudgetPolicy.first())
    return Budget(BudgetPolicy.load(state.registry.path("budget_policy", champion.version)))


def no_bars() -> None:
    """The loading bars of transformers would stand between a user and the one line of an error."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()


@lru_cache(maxsize=2)
def _loaded_creative(folder: str, source: str, embedding: str) -> Any:
    from adplatform.creative.agent import Creative

    no_bars()
    return Creative.load(source, embedding, converted=Path(folder))


class PublishedCreatives:
    """The Creative agent with a memory: what was worded for a request once is not worded again.

    The key is the whole request and the agent's version, so the same brief, seed and model give the same variants.
    """

    def __init__(self, state: State, load: Callable[[], CreativeAgent], version: str) -> None:
        self._state, self._load, self.version = state, load, version

    def creatives(self, request: CreativeRequest) -> CreativeSet:
        """From memory, else from the agent; only answers of the agent itself are remembered."""
        key = hashlib.sha256(f"{self.version}\n{request.model_dump_json()}".encode()).hexdigest()[:32]
        held = self._state.documents.find("creative_cache", key, CreativeSet)
        if held is None:
            held = self._load().creatives(request)
            self._state.documents.put("creative_cache", key, held)
        return held


def creative_agent(state: State) -> PublishedCreatives:
    """The Creative agent on the converted language model of the registry."""
    from adplatform.creative.prompts import VERSION

    champion = state.registry.champion("copy_model")
    if champion is None:
        raise InputError("copy_model", "is not converted yet", "materialize copy_model first")
    folder, config = state.registry.path("copy_model", champion.version, verify=False), state.settings

    def load() -> CreativeAgent:
        agent: CreativeAgent = _loaded_creative(str(folder), config.language_model, config.embedding_model)
        return agent

    parts = f"{champion.version} {config.language_model} {config.embedding_model} {VERSION}"
    return PublishedCreatives(state, load, f"copy-{hashlib.sha256(parts.encode()).hexdigest()[:12]}")


def base_rates(state: State) -> BaseRates:
    """The market's rates that default rules answer with."""
    row = state.warehouse.read(
        """select sum(clicks) as clicks, sum(impressions) as impressions, sum(spend) as spend,
                  sum(conversions) as conversions, sum(conversion_value) as value from segment_performance"""
    ).to_pylist()[0]
    clicks, impressions = int(row["clicks"] or 0), int(row["impressions"] or 0)
    if impressions == 0:
        raise InputError("segment_performance", "is empty", "land impressions and wait until a day is matured")
    interval = wilson(clicks, impressions)
    spend = float(row["spend"] or 0.0)
    cost = 1000 * spend / impressions if spend > 0 else assumed_cost(state)
    if cost is None:
        raise InputError(
            "price", "the data has none", "set ADPLATFORM_COST_PER_MILLE to what a thousand impressions cost"
        )
    conversions = float(row["conversions"] or 0.0)
    return BaseRates(
        click_rate=clicks / impressions,
        click_interval=Interval(low=interval.low, high=interval.high),
        cost_per_mille=cost,
        conversion_rate=conversions / clicks if row["conversions"] is not None and clicks else None,
        conversion_value=float(row["value"]) / conversions if conversions else None,
        daily_impressions=impressions / matured_days(state),
    )


def _or_none(what: str, build: Callable[[], T]) -> T | None:
    """An agent that cannot be built is None: the orchestrator's rule answers for it, and the trace says so."""
    try:
        return build()
    except (AdPlatformError, OSError, ValueError, KeyError) as error:
        _log.warning("%s can't be built: %s", what, error)
        return None


def orchestrator(state: State) -> Orchestrator:
    """The orchestrator with every agent that can be built."""
    config = state.settings
    regions = state.warehouse.read("select distinct region from dim_users where region is not null order by 1")
    seconds = config.agent_seconds
    return Orchestrator(
        creative=_or_none("creative", lambda: creative_agent(state)),
        targeting=_or_none("targeting", lambda: targeting_agent(state)),
        measurement=_or_none("measurement", lambda: measurement_agent(state)),
        budget=_or_none("budget", lambda: budget_agent(state)),
        segments=segments(state),
        rates=base_rates(state),
        minimum_users=config.minimum_segment_users,
        regions=regions["region"].to_pylist(),
        timeouts=Timeouts(config.creative_seconds, seconds, seconds, seconds),
        data_version=state.warehouse.data_version(),
        data_through=state.data_through,
    )


def brief_of(state: State, campaign_id: str) -> Brief:
    """The brief of a campaign: ``briefs/<campaign>.yaml`` in the home."""
    return load_brief(state.settings.home / "briefs" / f"{campaign_id}.yaml")


def rank_campaign(state: State, campaign_id: str) -> SegmentRanking:
    """Segments for every creative of the campaign that is in the library."""
    own = tuple(c for c in creatives(state) if c.campaign_id == campaign_id)
    if not own:
        raise InputError(f"campaign {campaign_id}", "has no creative", "ingest creatives_library first")
    return targeting_agent(state).rank(RankRequest(creatives=own, limit=20))


def expect_library(state: State, flight_days: int = 14) -> PerformanceReport:
    """Expected performance of every creative of the library in every segment that is large enough."""
    library, targeting, measurement = creatives(state), targeting_agent(state), measurement_agent(state)
    combinations: list[ExpectedPerformance] = []
    for start in range(0, len(library), CREATIVES_AT_ONCE):
        some = tuple(library[start : start + CREATIVES_AT_ONCE])
        ranking = targeting.rank(RankRequest(creatives=some, limit=1000))
        request = PerformanceRequest(creatives=some, combinations=ranking.scores, flight_days=flight_days)
        combinations += measurement.expect(request).combinations
    return PerformanceReport(combinations=tuple(combinations), model_version=measurement.version)
