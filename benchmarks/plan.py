"""From a sentence to a plan: how long it takes, over sentences of varied wording, against the agents asked bare."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import date

import numpy as np

from adplatform.contracts.brief import Brief
from adplatform.contracts.claims import BenchmarkReport, Row
from adplatform.contracts.creative import CreativeRequest
from adplatform.contracts.delivery import AllocationRequest
from adplatform.contracts.measurement import PerformanceRequest
from adplatform.contracts.targeting import CreativeAttributes, RankRequest
from adplatform.orchestrator import Orchestrator
from adplatform.orchestrator.brief import parse_sentence
from adplatform.orchestrator.language.vocabulary import Vocabulary
from adplatform.orchestrator.selection import candidates, choose, option
from benchmarks import reference_agents as reference
from benchmarks.fallbacks_claim import planted

TODAY = date(2026, 11, 25)
GOALS = ("clicks", "traffic", "sales", "more sign-ups")
MONEY = ("€20k", "budget 5,000 dollars", "EUR 2.500,00", "£1.5 thousand")
WHEN = ("from 1 to 14 December", "next month", "for two weeks from Monday", "2026-12-05 to 2026-12-20")
WHO = ("runners", "people aged 18 to 29", "parents and gamers", "everyone in the north")


def sentences() -> list[str]:
    """256 sentences: every goal with every sum, flight and audience."""
    return [
        f"We want {goal} for our travel bags {when} with {money}, target {who}"
        for goal in GOALS
        for money in MONEY
        for when in WHEN
        for who in WHO
    ]


def vocabulary() -> Vocabulary:
    """Labels of the planted market."""
    return Vocabulary(
        categories=("sports", "cooking", "travel", "gaming"),
        audiences=reference.AUDIENCES,
        age_bands=reference.AGE_BANDS,
        regions=("north", "south", "east", "west"),
        segments=reference.market_segments(),
    )


def run(orchestrator: Orchestrator | None = None) -> BenchmarkReport:
    """Median and 99th percentile seconds of sentence to plan, of its parts, and of the four agents called bare (the floor).

    The agents are the reference agents unless an ``orchestrator`` is given; no embedding model is loaded.
    """
    whole, known = orchestrator or planted().orchestrator, vocabulary()
    asked = sentences()
    brief = parse_sentence(asked[0], today=TODAY, known=known)  # fills the caches of date and currency names
    whole.plan(brief)
    read, planned, both, bare = [], [], [], []
    for text in asked:
        start = time.perf_counter()
        brief = parse_sentence(text, today=TODAY, known=known)
        middle = time.perf_counter()
        whole.plan(brief)
        end = time.perf_counter()
        read.append(middle - start)
        planned.append(end - middle)
        both.append(end - start)
        bare.append(_timed(lambda brief=brief: _bare(whole, brief)))  # type: ignore[misc]
    floor = statistics.median(bare)
    rows = (
        _row("sentence to plan, median seconds", both, 50, floor),
        _row("sentence to plan, 99th percentile seconds", both, 99, float(np.percentile(bare, 99))),
        _row("of which reading the sentence, median seconds", read, 50, None),
        _row("of which the plan, median seconds", planned, 50, floor),
    )
    return BenchmarkReport(name="plan", machine={}, seconds=sum(both) + sum(bare), rows=rows)


def _row(what: str, seconds: list[float], percentile: float, peer: float | None) -> Row:
    ours = float(np.percentile(seconds, percentile))
    name = None if peer is None else "the four agents called bare"
    return Row(
        what=what, ours=ours, peer=peer, peer_name=name, ratio=None if peer is None else ours / peer, n=len(seconds)
    )


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _bare(whole: Orchestrator, brief: Brief) -> object:
    """The agents one after the other: no timeouts, no checks, no trace."""
    assert whole.creative
    assert whole.targeting
    assert whole.measurement
    assert whole.budget
    copy = whole.creative.creatives(CreativeRequest(brief=brief))
    attributes = tuple(
        CreativeAttributes(
            creative_id=v.creative_id, product_category=brief.product.category, tone=v.tone, appeal=v.appeal
        )
        for v in copy.variants
    )
    ranking = whole.targeting.rank(
        RankRequest(creatives=attributes, audience=brief.audience, limit=whole.segments_per_creative)
    )
    request = PerformanceRequest(creatives=attributes, combinations=ranking.scores, flight_days=brief.flight.days)
    report = whole.measurement.expect(request)
    chosen = choose(candidates(report.combinations, brief), float(brief.budget), brief.combinations)
    return whole.budget.allocate(AllocationRequest(options=tuple(option(c) for c in chosen), budget=brief.budget))
