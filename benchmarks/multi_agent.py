"""The product's own agents and orchestrator in a simulated market, put together as adplatform/assembly.py does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adplatform.contracts.base import Interval
from adplatform.contracts.brief import Brief
from adplatform.contracts.creative import CopySource, CopyVariant, CreativeRequest, CreativeScores, CreativeSet
from adplatform.contracts.features import LABEL
from adplatform.contracts.plan import CampaignPlan
from adplatform.contracts.targeting import CreativeAttributes, Segment
from adplatform.delivery import Budget, BudgetPolicy
from adplatform.measurement.agent import Measurement
from adplatform.measurement.shrinkage import fatigue_exponent
from adplatform.orchestrator import Orchestrator, Timeouts
from adplatform.orchestrator.fallbacks import BaseRates
from adplatform.simulator import Market
from adplatform.stats.calibration import log_loss
from adplatform.stats.intervals import wilson
from adplatform.targeting.agent import Targeting
from adplatform.targeting.baseline import BaseRateModel
from adplatform.targeting.features import chronological_split, days_of, numbers
from adplatform.targeting.ranking import add_expected_clicks, shrinkage
from adplatform.targeting.response import Response, ResponseModel
from adplatform.targeting.verdicts import response_verdict
from adplatform.training import HELD_OUT_DAYS
from benchmarks.examples import creative_attributes

PATIENT = Timeouts(60.0, 60.0, 60.0, 60.0)
"""Seconds: a busy machine must not turn an agent's answer into a fallback."""


class FixedCreatives:
    """Implements CreativeAgent with creatives that are given: both contenders plan with the same."""

    version = "fixed-creatives"

    def __init__(self, creatives: Sequence[CreativeAttributes]) -> None:
        self._creatives = creatives

    def creatives(self, request: CreativeRequest) -> CreativeSet:
        """One variant for each creative; the plan's value rests on tone, appeal and id, not on the words."""
        name = request.brief.product.name
        variants = tuple(
            CopyVariant(
                creative_id=c.creative_id,
                headline=f"{name}, number {i + 1}",
                body=f"{name}: the {c.tone} way, for {c.appeal}, version {i + 1}.",
                tone=c.tone,
                appeal=c.appeal,
                source=CopySource.TEMPLATE,
                scores=CreativeScores(relevance=0.5, diversity=0.5, brand=1.0),
            )
            for i, c in enumerate(self._creatives)
        )
        return CreativeSet(variants=variants, generated=0, model_version=self.version)


class MultiAgent:
    """Targeting, Measurement and Budget of one market behind the orchestrator."""

    def __init__(self, targeting: Targeting, measurement: Measurement, rates: BaseRates, trial: int) -> None:
        self.targeting, self.measurement, self.rates, self.trial = targeting, measurement, rates, trial

    @classmethod
    def fit(
        cls, examples: pa.Table, market: Market, contexts: pa.Table, segments: Sequence[Segment],
        trials: Sequence[dict[str, Any]], *, seed: int, threads: int = 2,
    ) -> Self:  # fmt: skip
        """The best of ``trials`` by log loss on the days that stop its trees, if it passes its verdict on the held-out days."""
        train, held_out = chronological_split(examples, HELD_OUT_DAYS)
        model, trial = best_response(train, trials, seed=seed, threads=threads)
        first = BaseRateModel.fit(train)
        serving: Response = model if response_verdict(held_out, model, first).passed else first
        matured = examples.filter(examples["is_matured"])
        table = segment_performance(matured)
        targeting = Targeting(
            serving, segments, add_expected_clicks(table, matured, serving), contexts, prior=shrinkage(matured, serving)
        )
        days = len(np.unique(days_of(matured)))
        measurement = Measurement(
            table,
            segments,
            days=days,
            library=creative_attributes(market),
            fatigue=fatigue_of(matured),
            version="measurement",
        )
        return cls(targeting, measurement, base_rates(table, days), trial)

    def plan(self, brief: Brief, creatives: Sequence[CreativeAttributes], seed: int) -> CampaignPlan:
        """The orchestrator's plan with these creatives."""
        return Orchestrator(
            creative=FixedCreatives(creatives),
            targeting=self.targeting,
            measurement=self.measurement,
            budget=Budget(BudgetPolicy()),
            segments=self.targeting.segments,
            rates=self.rates,
            timeouts=PATIENT,
        ).plan(brief, seed)

    def described(self) -> dict[str, Any]:
        """Which model serves."""
        model = self.targeting.model
        trees = model.details["rounds"] if isinstance(model, ResponseModel) else 0
        return {"trial": self.trial, "trees": trees, "model": model.version.rsplit("-", 1)[0]}


def best_response(
    train: pa.Table, trials: Sequence[dict[str, Any]], *, seed: int, threads: int
) -> tuple[ResponseModel, int]:
    """The response model of the trial with the least log loss on the days after those that grew its trees."""
    found = []
    for number, changes in enumerate(trials):
        model = ResponseModel.fit(train, seed=seed, threads=threads, parameters=changes)
        later = train.filter(pa.array(days_of(train) > np.datetime64(model.details["fitted_through"])))
        found.append((log_loss(model.predict(later), numbers(later[LABEL])), number, model))
    _, number, model = min(found, key=lambda x: x[:2])
    return model, number


def segment_performance(matured: pa.Table) -> pa.Table:
    """The mart segment_performance with its money."""
    keys = ["segment_id", "creative_id", "campaign_id"]
    sums = [("user_id", "count_distinct"), ("clicked", "count"), ("clicked", "sum"), ("converted", "sum"),
            ("conversion_value", "sum"), ("price", "sum")]  # fmt: skip
    names = ["users", "impressions", "clicks", "conversions", "conversion_value", "spend"]
    out = matured.filter(pc.is_valid(matured["segment_id"])).group_by(keys).aggregate(sums)
    return out.rename_columns([*keys, *names]).sort_by([("segment_id", "ascending"), ("creative_id", "ascending")])


def fatigue_of(matured: pa.Table) -> float:
    """As adplatform/estimation.py has it."""
    known = matured.filter(pc.is_valid(matured["creative_exposures_7d"]))
    rows = known.group_by("creative_exposures_7d").aggregate([("clicked", "count"), ("clicked", "sum")])
    return fatigue_exponent(*(numbers(rows[c]) for c in ("creative_exposures_7d", "clicked_count", "clicked_sum")))


def base_rates(table: pa.Table, days: int) -> BaseRates:
    """As adplatform/assembly.py has it."""
    clicks, shown, spend, bought, value = (
        float(pc.sum(table[c]).as_py() or 0.0)
        for c in ("clicks", "impressions", "spend", "conversions", "conversion_value")
    )
    interval = wilson(int(clicks), int(shown))
    return BaseRates(
        click_rate=clicks / shown,
        click_interval=Interval(low=interval.low, high=interval.high),
        cost_per_mille=1000 * spend / shown,
        conversion_rate=bought / clicks,
        conversion_value=value / bought if bought else None,
        daily_impressions=shown / days,
    )
