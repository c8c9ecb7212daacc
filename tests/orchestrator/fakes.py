"""Deterministic agents with a planted truth, and agents that fail in every way a plan must survive."""

from __future__ import annotations

import time
from datetime import date
from decimal import Decimal

from adplatform.contracts.brief import Brief, Flight, Objective, Product
from adplatform.contracts.targeting import Segment
from adplatform.orchestrator import Orchestrator, Timeouts
from benchmarks.reference_agents import (
    ReferenceBudget,
    ReferenceCreative,
    ReferenceMeasurement,
    ReferenceTargeting,
    base_rates,
    market_segments,
)

SEGMENTS: tuple[Segment, ...] = market_segments()
PATIENT = Timeouts(creative=30, targeting=30, measurement=30, budget=30)  # nobody is late for want of a processor
QUICK = Timeouts(creative=0.5, targeting=0.5, measurement=0.5, budget=0.5)  # for an agent that hangs


def brief(**changes) -> Brief:
    fields = {
        "campaign_id": "shoes",
        "product": Product(
            name="Trail shoes",
            category="sports",
            description="Light shoes for rough ground.",
            facts=("Weighs 240 grams.", "Made of recycled yarn."),
        ),
        "objective": Objective.CLICKS,
        "budget": Decimal("20000.00"),
        "flight": Flight(starts_on=date(2026, 12, 1), ends_on=date(2026, 12, 14)),
    }
    return Brief.model_validate({**fields, **changes})


def orchestrator(**changes) -> Orchestrator:
    fields = {
        "creative": ReferenceCreative(),
        "targeting": ReferenceTargeting(SEGMENTS),
        "measurement": ReferenceMeasurement(),
        "budget": ReferenceBudget(),
        "segments": SEGMENTS,
        "rates": base_rates(),
        "regions": ("north", "south"),
        "timeouts": PATIENT,
    }
    return Orchestrator(**{**fields, **changes})


class Hangs:
    version = "hangs"

    def _wait(self, request):
        time.sleep(30)

    creatives = rank = expect = allocate = _wait


class Raises:
    """Raises ``error`` the first ``times`` times, then asks ``then``."""

    version = "raises"

    def __init__(self, error, times=10**9, then=None):
        self.error, self.left, self.then, self.calls = error, times, then, 0

    def _ask(self, name, request):
        self.calls += 1
        if self.left > 0:
            self.left -= 1
            raise self.error
        return getattr(self.then, name)(request)

    def creatives(self, request):
        return self._ask("creatives", request)

    def rank(self, request):
        return self._ask("rank", request)

    def expect(self, request):
        return self._ask("expect", request)

    def allocate(self, request):
        return self._ask("allocate", request)
