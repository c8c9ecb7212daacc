"""What is true of a market: click probabilities, the value of any policy, lift, and the best plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import pyarrow as pa

from adplatform.contracts.brief import Objective
from adplatform.contracts.targeting import CreativeAttributes
from adplatform.simulator.arrow import ids
from adplatform.simulator.decisions import Decisions
from adplatform.simulator.lift import Lifts
from adplatform.simulator.planning import Line, Planner
from adplatform.simulator.splitting import Splitter
from adplatform.simulator.streams import Array


class Oracle(Decisions):
    """The truth of one market: of its decisions, its segments, its plans, and its experiments.

    Segments and plans are valued without drift, whatever the faults.
    """

    @cached_property
    def _planner(self) -> Planner:
        return Planner(self._config, self._population, self._world)

    @cached_property
    def _lifts(self) -> Lifts:
        return Lifts(self._market, self._faults)

    @cached_property
    def _splitter(self) -> Splitter:
        return Splitter(self._config, self._population, self._world)

    def segment_rate(self, creatives: Sequence[CreativeAttributes], segment_ids: Sequence[str]) -> Array:
        """(creatives, segments) true click rate at zero exposure, over the segment's consenting users and all contexts.

        A creative of the market goes by its id; a new one by tone, appeal and product category.
        """
        return self._planner.table(creatives, segment_ids, Objective.CLICKS)

    def segment_value(self, creatives: Sequence[CreativeAttributes], segment_ids: Sequence[str]) -> Array:
        """(creatives, segments) true value of the purchases that one impression causes, in currency; else as ``segment_rate``."""
        return self._planner.table(creatives, segment_ids, Objective.CONVERSIONS)

    def plan_reward(self, lines: Sequence[Line], objective: Objective | str, days: int) -> float:
        """True expected reward of spending so: clicks, or value of purchases caused. Concave and increasing in each budget."""
        return self._planner.plan_reward(lines, Objective(objective), days)

    def best_plan(
        self,
        creatives: Sequence[CreativeAttributes],
        segment_ids: Sequence[str],
        budget: float,
        objective: Objective | str,
        days: int,
        k: int,
    ) -> list[Line]:
        """The true optimum over k lines; see ``Planner.best_plan``."""
        return self._planner.best_plan(creatives, segment_ids, budget, Objective(objective), days, k)

    def uniform_plan(
        self,
        creatives: Sequence[CreativeAttributes],
        segment_ids: Sequence[str],
        budget: float,
        objective: Objective | str,
        days: int,
        k: int,
        seed: int = 0,
    ) -> list[Line]:
        """k random combinations with equal budgets. ``objective`` and ``days`` change nothing: it knows nothing."""
        return self._planner.uniform_plan(creatives, segment_ids, budget, k, seed)

    def uniform_reward(
        self,
        creatives: Sequence[CreativeAttributes],
        segment_ids: Sequence[str],
        budget: float,
        objective: Objective | str,
        days: int,
        k: int,
    ) -> float:
        """Expected ``plan_reward`` of ``uniform_plan`` over all its draws: the zero of normalised regret."""
        return self._planner.uniform_reward(creatives, segment_ids, budget, Objective(objective), days, k)

    def saturating_spend(self, segment_ids: Sequence[str], days: int) -> Array:
        """(segments,) spend at which one line has bought every request that it is offered; more brings nothing."""
        return self._planner.saturating_spend(segment_ids, days)

    def best_split(self, budget: float, objective: Objective | str, days: int = 1) -> dict[str, float]:
        """The split of a budget over the market's campaigns with the highest true reward under the logging policy."""
        return self._splitter.best(budget, Objective(objective), days)

    def split_reward(self, split: Mapping[str, float], objective: Objective | str, days: int = 1) -> float:
        """True expected reward of a split (campaign id -> currency over ``days``); concave in each budget."""
        return self._splitter.reward(split, Objective(objective), days)

    def lift(self, experiment_id: str) -> tuple[float, float]:
        """True expected lift in the experiment's metric over its enrolled users: (difference of rates, ratio - 1)."""
        control, treatment = self._lifts.rates(experiment_id)
        return treatment - control, treatment / control - 1

    def arm_rates(self, experiment_id: str) -> tuple[float, float]:
        """True expected success rates of (control, treatment) had every enrolled user been in that arm."""
        return self._lifts.rates(experiment_id)

    def user_lift(self, experiment_id: str) -> pa.Table:
        """Per enrolled user: user_id, control, treatment (success probabilities) and lift, which differ between users."""
        users, control, treatment = self._lifts.users(experiment_id)
        return pa.table(
            {"user_id": ids("u", users, 6), "control": control, "treatment": treatment, "lift": treatment - control}
        )
