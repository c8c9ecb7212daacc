"""The orchestrator: from a brief to a campaign plan. It coordinates and decides nothing that an agent should.

States (contracts/plan.py): request, creatives, targeting, measurement, selection, plan. In each an agent has its turn; if it
fails, hangs or answers nonsense, the default rule answers and the trace says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from adplatform.contracts.agents import BudgetAgent, CreativeAgent, MeasurementAgent, TargetingAgent
from adplatform.contracts.brief import Brief
from adplatform.contracts.creative import CreativeRequest, CreativeSet
from adplatform.contracts.delivery import Allocation, AllocationRequest
from adplatform.contracts.errors import InputError
from adplatform.contracts.measurement import PerformanceReport, PerformanceRequest
from adplatform.contracts.plan import CampaignPlan, Outcome, State, TraceStep
from adplatform.contracts.targeting import CreativeAttributes, RankRequest, Segment, SegmentRanking
from adplatform.orchestrator import validation
from adplatform.orchestrator.assembling import assemble, said_of
from adplatform.orchestrator.default_copy import DefaultCopy
from adplatform.orchestrator.fallbacks import BaseRateExpectation, BaseRates, EqualSplit, LargestSegments
from adplatform.orchestrator.resilience import ATTEMPTS, UNTRIED, Turn, take_turn
from adplatform.orchestrator.selection import Candidate, candidates, choose, eligible, option

A = TypeVar("A")
R = TypeVar("R")
ME = "orchestrator"


@dataclass(frozen=True)
class Timeouts:
    """Seconds that each agent has for its turn, retries included."""

    creative: float = 120.0
    targeting: float = 2.0
    measurement: float = 2.0
    budget: float = 2.0


@dataclass
class _Turns:
    """What a plan in the making has gathered."""

    trace: list[TraceStep] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Orchestrator:
    """Holds the agents and what its default rules need. An agent that could not be built is None: its rule answers.

    ``segments``: rows of dim_segments. ``rates``: the market's base rates. ``regions``: those the data knows (empty: any).
    ``largest_share``, ``risk``: passed on to the Budget agent. ``segments_per_creative``: how many the Targeting agent ranks.
    """

    creative: CreativeAgent | None
    targeting: TargetingAgent | None
    measurement: MeasurementAgent | None
    budget: BudgetAgent | None
    segments: Sequence[Segment]
    rates: BaseRates
    minimum_users: int = 20
    regions: Sequence[str] = ()
    largest_share: float = 1.0
    risk: float = 0.0
    segments_per_creative: int = 1000
    timeouts: Timeouts = Timeouts()
    attempts: int = ATTEMPTS
    data_version: str = "unversioned"
    data_through: str | None = None
    copy_rule: CreativeAgent = field(default_factory=DefaultCopy)

    def plan(self, brief: Brief, seed: int = 0) -> CampaignPlan:
        """The plan for a brief. The same brief, versions and seed give the same plan, but for seconds in its trace.

        Raises InputError when the brief names what the data does not know, no segment is left, the objective is conversions
        and the data has none, or nothing is expected to meet the target cost.
        """
        sizes, turns = self.check(brief), _Turns()
        said = f"{len(sizes)} segments, {sum(sizes.values()):,} users, {brief.flight.days} days, {brief.budget} {brief.currency}"
        turns.trace.append(
            TraceStep(
                state=State.REQUEST, agent=ME, version=ME, outcome=Outcome.ANSWERED, attempts=1, seconds=0.0, said=said
            )
        )
        copy = self._creatives(brief, seed, turns)
        attributes = tuple(
            CreativeAttributes(
                creative_id=v.creative_id,
                campaign_id=brief.campaign_id,
                product_category=brief.product.category,
                tone=v.tone,
                appeal=v.appeal,
            )
            for v in copy.variants
        )
        ranking = self._targeting(brief, attributes, sizes, turns)
        expected = self._measurement(brief, attributes, ranking, turns)
        chosen = choose(candidates(expected.combinations, brief), float(brief.budget), brief.combinations)
        split = self._selection(brief, chosen, turns)
        return assemble(
            brief, copy, chosen, split, turns.trace, turns.versions,
            data_version=self.data_version, data_through=self.data_through, seed=seed,
        )  # fmt: skip

    def check(self, brief: Brief) -> dict[str, int]:
        """Users of each segment that may be used. Raises InputError when the brief names what the data does not know, or
        no segment is left.
        """
        audience = brief.audience
        ids = {s.segment_id for s in self.segments}
        for name, wanted, known in (
            ("segments", audience.segments, ids),
            ("excluded_segments", audience.excluded_segments, ids),
            ("audiences", audience.audiences, {s.audience for s in self.segments}),
            ("age_bands", audience.age_bands, {s.age_band for s in self.segments}),
            ("regions", audience.regions, set(self.regions) or set(audience.regions)),
        ):
            values = sorted(k for k in known if k is not None)
            for value in wanted:
                if value not in values:
                    mend = f"use one of {', '.join(values[:40])}" if values else "leave it out: the data has none"
                    raise InputError(f"audience.{name}", f"{value} is unknown", mend)
        allowed = eligible(self.segments, audience)
        sizes = {s.segment_id: s.users for s in allowed if s.users >= self.minimum_users}
        if not sizes:
            problem = f"no segment of at least {self.minimum_users} users is left ({len(allowed)} smaller ones)"
            raise InputError("audience", problem, "widen the audience or take out exclusions")
        return sizes

    def _creatives(self, brief: Brief, seed: int, turns: _Turns) -> CreativeSet:
        request = CreativeRequest(brief=brief, seed=seed)

        def ask(agent: CreativeAgent) -> CreativeSet:
            return validation.checked_creatives(agent.creatives(request), brief)

        rules = (self.copy_rule,) if isinstance(self.copy_rule, DefaultCopy) else (self.copy_rule, DefaultCopy())
        return self._turn(State.CREATIVES, "creative", self.creative, rules, ask, self.timeouts.creative, turns)

    def _targeting(
        self, brief: Brief, attributes: tuple[CreativeAttributes, ...], sizes: dict[str, int], turns: _Turns
    ) -> SegmentRanking:
        request = RankRequest(
            creatives=attributes, audience=brief.audience, limit=min(1000, self.segments_per_creative)
        )

        def ask(agent: TargetingAgent) -> SegmentRanking:
            return validation.checked_ranking(agent.rank(request), request, sizes, self.minimum_users)

        rule = LargestSegments(self.segments, self.rates, self.minimum_users)
        ranking = self._turn(State.TARGETING, "targeting", self.targeting, (rule,), ask, self.timeouts.targeting, turns)
        if not ranking.scores:
            problem = f"every segment has fewer than {self.minimum_users} users in {', '.join(brief.audience.regions)}"
            raise InputError("audience.regions", problem, "add regions or widen the audience")
        return ranking

    def _measurement(
        self, brief: Brief, attributes: tuple[CreativeAttributes, ...], ranking: SegmentRanking, turns: _Turns
    ) -> PerformanceReport:
        best = sorted(ranking.scores, key=lambda s: (-s.click_rate, s.segment_id, s.creative_id))[:5000]
        request = PerformanceRequest(
            creatives=attributes, combinations=tuple(best), flight_days=min(3650, brief.flight.days)
        )

        def ask(agent: MeasurementAgent) -> PerformanceReport:
            return validation.checked_performance(agent.expect(request), request)

        rule = BaseRateExpectation(self.rates, sum(s.users for s in self.segments))
        return self._turn(
            State.MEASUREMENT, "measurement", self.measurement, (rule,), ask, self.timeouts.measurement, turns
        )

    def _selection(self, brief: Brief, chosen: Sequence[Candidate], turns: _Turns) -> Allocation:
        request = AllocationRequest(
            options=tuple(option(c) for c in chosen),
            budget=brief.budget,
            largest_share=self.largest_share,
            risk=self.risk,
        )

        def ask(agent: BudgetAgent) -> Allocation:
            return validation.checked_allocation(agent.allocate(request), request)

        return self._turn(State.SELECTION, "budget", self.budget, (EqualSplit(),), ask, self.timeouts.budget, turns)

    def _turn(
        self,
        state: State,
        name: str,
        agent: A | None,
        rules: Sequence[A],
        ask: Callable[[A], R],
        seconds: float,
        turns: _Turns,
    ) -> R:
        """The agent's turn, then the first default rule that answers well; InputError of the last rule is the user's."""
        turn: Turn[R] = Turn(None, UNTRIED, Outcome.FAILED, 0, 0.0, "could not be built")
        if agent is not None:
            turn = take_turn(name, lambda: (_version(agent), ask(agent)), seconds, self.attempts)
        answer, fallback = turn.answer, None
        for i, rule in enumerate(rules if answer is None else ()):
            if i == len(rules) - 1:
                fallback, answer = _version(rule), ask(rule)
            else:
                tried = take_turn(name, lambda rule=rule: (_version(rule), ask(rule)), seconds, 1)  # type: ignore[misc]
                fallback, answer = tried.version, tried.answer
            if answer is not None:
                break
        assert answer is not None
        turns.versions[name] = fallback or turn.version
        turns.trace.append(
            TraceStep(
                state=state,
                agent=name,
                version=turn.version,
                outcome=turn.outcome,
                attempts=turn.attempts,
                seconds=turn.seconds,
                fallback=fallback,
                problem=turn.problem,
                said=said_of(answer),
            )
        )
        return answer


def _version(agent: object) -> str:
    """The agent's version; AgentUnavailable follows where it has none."""
    version = agent.version  # type: ignore[attr-defined]
    if not isinstance(version, str) or not version:
        raise TypeError(f"version is {version!r}, not a name")
    return version
