"""Claim ``fallbacks``: each agent in turn fails in each way, and within 10 seconds there is a valid plan that says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from adplatform.contracts.brief import Audience, Brief, Flight, Objective, Product
from adplatform.contracts.claims import Claim
from adplatform.contracts.plan import CampaignPlan, Outcome
from adplatform.contracts.targeting import CreativeAttributes, Segment
from adplatform.orchestrator import Orchestrator, Timeouts
from adplatform.orchestrator.brief import load_brief
from adplatform.orchestrator.selection import eligible
from adplatform.settings import Settings, settings
from benchmarks import reference_agents as reference
from benchmarks.broken_agents import KINDS, METHODS, Broken

SECONDS = 10.0
OUTCOMES = {"raises": Outcome.FAILED, "hangs": Outcome.TIMED_OUT}
TIMEOUTS = Timeouts(creative=2.0, targeting=2.0, measurement=2.0, budget=2.0)


def faults_of(plan: CampaignPlan, brief: Brief, segments: tuple[Segment, ...], largest_share: float = 1.0) -> list[str]:
    """What is wrong with a plan, from the outside: schema, money to the cent, limits, flight, audience, copy."""
    found = []
    try:
        CampaignPlan.model_validate_json(plan.model_dump_json())
    except ValueError as error:
        found.append(f"schema: {error}")
    if sum((line.budget for line in plan.lines), Decimal(0)) + plan.unspent != brief.budget:
        found.append("budgets do not add up to the cent")
    if plan.brief.flight != brief.flight or plan.brief != brief:
        found.append("another brief or flight")
    if len(plan.lines) > brief.combinations or len({(x.creative_id, x.segment_id) for x in plan.lines}) != len(
        plan.lines
    ):
        found.append("more combinations than asked for, or one twice")
    allowed = {s.segment_id for s in eligible(segments, brief.audience)}
    if any(line.segment_id not in allowed for line in plan.lines):
        found.append("a segment outside the audience")
    cap = brief.budget * Decimal(str(largest_share))
    if any(line.budget <= 0 or (len(plan.lines) > 1 and line.budget > cap) for line in plan.lines):
        found.append("a line without budget or over its limit")
    if (
        plan.unspent > Decimal("0.01") * len(plan.lines)
        and brief.target_cost is None
        and len(plan.lines) * largest_share >= 1
    ):
        found.append("money left idle")
    limits = brief.guidelines
    if any(len(c.headline) > limits.headline_max or len(c.body) > limits.body_max for c in plan.creatives):
        found.append("a text over its length")
    return found


class Setup(NamedTuple):
    """Agents, a brief for them, and what a plan is worth in truth (None: not known)."""

    name: str
    orchestrator: Orchestrator
    brief: Brief
    value: Callable[[CampaignPlan], float] | None


def planted() -> Setup:
    """The reference agents of a small planted market, a brief with limits of every kind, the market's own value."""
    segments = reference.market_segments()
    facts = ("Weighs 240 grams.",)
    brief = Brief(
        campaign_id="fallbacks",
        product=Product(
            name="Trail shoes", category="sports", description="Light shoes for rough ground.", facts=facts
        ),
        objective=Objective.CLICKS,
        budget=Decimal("9999.99"),
        flight=Flight(starts_on=date(2026, 12, 1), ends_on=date(2026, 12, 14), timezone="Europe/Berlin"),
        audience=Audience(excluded_segments=("gamers|18-29",)),
        combinations=8,
    )
    whole = Orchestrator(
        creative=reference.ReferenceCreative(),
        targeting=reference.ReferenceTargeting(segments),
        measurement=reference.ReferenceMeasurement(),
        budget=reference.ReferenceBudget(),
        segments=segments,
        rates=reference.base_rates(),
        largest_share=0.4,
        segments_per_creative=12,
        timeouts=TIMEOUTS,
    )
    return Setup("reference agents of a planted market", whole, brief, reference.market_value)


def of_home(config: Settings) -> Setup | None:
    """The home's own agents, its first brief and the simulator's oracle; None where no simulated market or not every agent is built there."""
    held, briefs = config.dataset, sorted((config.home / "briefs").glob("*.yaml"))
    if held.get("name") != "simulated" or not config.warehouse.exists() or not briefs:
        return None
    from adplatform.batch import orchestrator
    from adplatform.simulator import Market, MarketConfig
    from adplatform.state import State

    market = MarketConfig.at_scale(held["scale"], seed=held["seed"], first_day=date.fromisoformat(held["first_day"]))
    oracle = Market(market).oracle()

    def value(plan: CampaignPlan) -> float:
        product = plan.brief.product.category
        known = {
            c.creative_id: CreativeAttributes(
                creative_id=c.creative_id, product_category=product, tone=c.tone, appeal=c.appeal
            )
            for c in plan.creatives
        }
        lines = [(known[x.creative_id], x.segment_id, float(x.budget)) for x in plan.lines]
        return oracle.plan_reward(lines, plan.objective, plan.brief.flight.days)

    return Setup(
        "the agents of this home, valued by the oracle", orchestrator(State(config)), load_brief(briefs[0]), value
    )


def run(progress: Callable[[float], None] | None = None, setup: Setup | None = None, seed: int | None = None) -> Claim:
    """Four agents times eight failures. ``figure``: the share of plans that were valid, in time, and told the truth.

    ``loss_of_value``: (value of the whole plan - value with that agent's fallback) / value of the whole plan, in truth.
    Without ``setup`` the home's agents are used where a simulated market is built, else the reference agents.
    """
    chosen = setup or of_home(settings()) or planted()
    seed = settings().seed if seed is None else seed  # the demo's own, whose copy is worded already
    whole, asked, worth = chosen.orchestrator, chosen.brief, chosen.value
    full = whole.plan(asked, seed)
    best = worth(full) if worth else 0.0
    good, slowest, problems = 0, 0.0, []
    losses: dict[str, float] = {}
    cells = [(agent, kind) for agent in METHODS for kind in KINDS]
    quick = replace(whole, timeouts=_bounded(whole.timeouts))
    for i, (agent, kind) in enumerate(cells):
        one: dict[str, Any] = {agent: Broken(agent, kind, getattr(whole, agent))}
        start = time.perf_counter()
        plan = replace(quick, **one).plan(asked, seed)
        seconds = time.perf_counter() - start
        slowest = max(slowest, seconds)
        faults = faults_of(plan, asked, tuple(whole.segments), whole.largest_share) + _untold(plan, agent, kind)
        faults += [f"took {seconds:.1f} s"] if seconds > SECONDS else []
        good += not faults
        problems += [f"{agent} {kind}: {fault}" for fault in faults]
        if worth and best > 0:
            losses[agent] = round((best - worth(plan)) / best, 4)
        if progress:
            progress((i + 1) / len(cells))
    detail: dict[str, Any] = {
        "agents": chosen.name,
        "versions": dict(full.receipt.versions),
        "kinds": list(KINDS),
        "slowest_seconds": round(slowest, 2),
        "timeout_seconds": {name: getattr(quick.timeouts, name) for name in METHODS},
        "loss_of_value": losses,
        "problems": problems,
    }
    text = f"each agent failing in {len(KINDS)} ways: a valid plan within {SECONDS:g} s, and its trace says so"
    return Claim(
        name="fallbacks", claim=text, figure=good / len(cells), holds=good == len(cells), n=len(cells), detail=detail
    )


def _bounded(timeouts: Timeouts) -> Timeouts:
    """Timeouts under which one hanging agent leaves time for the others: at most 5 seconds each."""
    return Timeouts(
        *(min(5.0, s) for s in (timeouts.creative, timeouts.targeting, timeouts.measurement, timeouts.budget))
    )


def _untold(plan: CampaignPlan, agent: str, kind: str) -> list[str]:
    """What the trace should say and doesn't."""
    steps = {s.agent: s for s in plan.trace}
    step, wanted = steps[agent], OUTCOMES.get(kind, Outcome.NONSENSE)
    found = [] if step.outcome is wanted else [f"trace says {step.outcome.value}, not {wanted.value}"]
    if not step.fallback or not step.problem or plan.receipt.versions[agent] != step.fallback:
        found.append("trace or receipt does not name the fallback and the problem")
    others = [s.agent for s in plan.trace if s.agent != agent and (s.outcome is not Outcome.ANSWERED or s.fallback)]
    return found + [f"{name} fell back as well" for name in others]
