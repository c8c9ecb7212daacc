"""The batch plane: reads the warehouse and builds with ``assembly`` the agents that the endpoints build from snapshots."""

from __future__ import annotations

import logging
from typing import Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from adplatform import assembly
from adplatform.contracts.base import Interval
from adplatform.contracts.errors import InputError
from adplatform.contracts.features import CONTEXT_FEATURES
from adplatform.contracts.measurement import ExpectedPerformance, PerformanceReport, PerformanceRequest
from adplatform.contracts.targeting import RankRequest, Segment, SegmentRanking
from adplatform.estimation import experiment_counts, fatigue
from adplatform.inputs import AgentInputs, Labels, Market, MeasurementInputs, TargetingInputs
from adplatform.measurement.agent import Measurement
from adplatform.orchestrator.fallbacks import BaseRates
from adplatform.orchestrator.machine import Orchestrator
from adplatform.state import State
from adplatform.stats.intervals import wilson
from adplatform.targeting.agent import Targeting
from adplatform.targeting.ranking import add_expected_clicks, representative, shrinkage
from adplatform.targeting.response import Response
from adplatform.training import creatives, examples

T = TypeVar("T")
CONTEXT_DAYS: Final = 7
"""Days of examples from which the contexts of a ranking are drawn."""
CREATIVES_AT_ONCE: Final = 20
"""So many creatives in 250 segments are the 5,000 combinations that one request may hold."""
_log = logging.getLogger(__name__)


def segments(state: State) -> tuple[Segment, ...]:
    """Rows of dim_segments."""
    rows = state.warehouse.read("select segment_id, users, audience, age_band from dim_segments order by segment_id")
    return tuple(Segment(**row) for row in rows.to_pylist())


def performance(state: State) -> pa.Table:
    """The segment_performance mart, in a fixed order."""
    return state.warehouse.read("select * from segment_performance order by segment_id, creative_id, campaign_id")


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


def labels(state: State) -> Labels:
    """The data's own labels, for audiences and for reading a sentence."""
    users = state.warehouse.read("select distinct region from dim_users where region is not null order by 1")
    products = [p for p in state.landing.read("campaigns").to_pylist() if p["product_category"]]
    return Labels(
        segments(state), tuple(users["region"].to_pylist()), tuple(sorted({p["product_category"] for p in products})),
        {p["product_name"]: p["product_category"] for p in products},
    )  # fmt: skip


def targeting_inputs(state: State, model: Response) -> TargetingInputs:
    """What the Targeting agent is built from, with what ``model`` expects."""
    window = f"event_day > (select max(event_day) from training_examples) - interval {CONTEXT_DAYS} day"
    contexts = representative(examples(state, window), seed=state.settings.seed)
    numbered = pc.cast(pc.dictionary_encode(contexts["user_id"].combine_chunks()).indices, pa.string())
    contexts = contexts.select([*CONTEXT_FEATURES, "segment_id"]).append_column("user_id", numbered)
    matured = examples(state, "is_matured and segment_id is not null")
    table = add_expected_clicks(performance(state), matured, model)
    return TargetingInputs(model.version, segments(state), table, contexts, shrinkage(matured, model))


def measurement_inputs(state: State) -> MeasurementInputs:
    """What the Measurement agent is built from."""
    return MeasurementInputs(
        segments(state), performance(state), tuple(creatives(state)), matured_days(state), assumed_cost(state),
        fatigue(state), state.warehouse.data_version(),
    )  # fmt: skip


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


def agent_inputs(state: State) -> AgentInputs:
    """Everything that agents are built from, of one state of the warehouse. Raises InputError without matured days or price."""
    with state.warehouse.lock():
        market = Market(
            base_rates(state), tuple(experiment_counts(state)), state.warehouse.data_version(), state.data_through
        )
        targeting = assembly.or_none(
            "targeting", lambda: targeting_inputs(state, assembly.response_model(state.registry))
        )
        return AgentInputs(
            labels(state), market, targeting, assembly.or_none("measurement", lambda: measurement_inputs(state))
        )


def targeting_agent(state: State) -> Targeting:
    """The Targeting agent on the response champion."""
    model = assembly.response_model(state.registry)
    return assembly.targeting_agent(targeting_inputs(state, model), model, state.settings)


def measurement_agent(state: State) -> Measurement:
    """The Measurement agent on the matured sums of segment_performance."""
    return assembly.measurement_agent(measurement_inputs(state))


def orchestrator(state: State) -> Orchestrator:
    """The orchestrator with every agent that can be built."""
    return assembly.orchestrator(agent_inputs(state), state.settings, state.registry, state.documents)


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
