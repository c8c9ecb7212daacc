"""The value of creatives in segments, and of plans that spend money on them.

The market's rule for a plan: the ad server offers each request to one of ``line_slots`` line items, so lines do not
compete with each other; a line bids what exhausts its budget against the segment's competition; fatigue follows the
frequency with which each user sees the line's creative. Each line's reward is then a concave, increasing function of
its own budget, and the reward of a plan is their sum. For N ~ Poisson(m), m E[(1+N)^-f] = E[N^(1-f)]: concave in m.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adplatform.contracts.brief import Objective
from adplatform.contracts.errors import InputError
from adplatform.contracts.targeting import CreativeAttributes
from adplatform.simulator.auction import SupplyCurve
from adplatform.simulator.config import APPEALS, CATEGORIES, EXPOSURE_DAYS, SEGMENT_IDS, TONES, MarketConfig
from adplatform.simulator.outcomes import purchase_probability
from adplatform.simulator.population import Population
from adplatform.simulator.response import ContextAverage, fatigue_factor
from adplatform.simulator.streams import Array, stream
from adplatform.simulator.world import World, utility

Line = tuple[CreativeAttributes, str, float]
"""A creative, a segment id, and the budget in currency over the whole flight."""
_STEPS = 240


@dataclass(frozen=True)
class Traits:
    """A creative as the truth sees it."""

    tone: int
    appeal: int
    category: int
    quality: float


class Planner:
    """True rates of creatives in segments of consenting users, and the plans that are best by them."""

    def __init__(self, config: MarketConfig, population: Population, world: World) -> None:
        self._config, self._population, self._world = config, population, world
        self._average = ContextAverage(world)
        consenting = np.flatnonzero(population.consent)
        group = population.group[consenting]
        self._members = [consenting[group == g] for g in range(len(SEGMENT_IDS))]
        self._mean_activity = float(population.activity.mean())
        self._curves: dict[int, SupplyCurve] = {}

    def traits(self, creative: CreativeAttributes) -> Traits:
        """The truth of a creative of the market by its id, of a new one by tone, appeal and product category."""
        place = self._known(creative)
        if place is not None:
            world = self._world
            category = int(world.category[world.campaign[place]])
            return Traits(int(world.tone[place]), int(world.appeal[place]), category, float(world.quality[place]))
        for name, value, known in (
            ("tone", creative.tone, TONES),
            ("appeal", creative.appeal, APPEALS),
            ("product_category", creative.product_category, CATEGORIES),
        ):
            if value is None or str(value) not in known:
                raise InputError(
                    f"creative {creative.creative_id}: {name}",
                    f"{value!r} is unknown",
                    f"take one of {', '.join(known)}",
                )
        return Traits(
            TONES.index(str(creative.tone)),
            APPEALS.index(str(creative.appeal)),
            CATEGORIES.index(str(creative.product_category)),
            0.0,
        )

    def _known(self, creative: CreativeAttributes) -> int | None:
        name = creative.creative_id
        if not (name.startswith("cr") and name[2:].isdigit() and 1 <= int(name[2:]) <= len(self._world.tone)):
            return None
        place = int(name[2:]) - 1
        own = (f"cr{place + 1:03d}", f"c{self._world.campaign[place] + 1:02d}")
        return place if own[0] == name and creative.campaign_id in (None, own[1]) else None

    def segment(self, segment_id: str) -> int:
        """Index of a segment; InputError where it is unknown or has no consenting user."""
        if segment_id not in SEGMENT_IDS:
            raise InputError("segment_id", f"unknown segment {segment_id!r}", f"take one such as {SEGMENT_IDS[0]}")
        index = SEGMENT_IDS.index(segment_id)
        if len(self._members[index]) == 0:
            raise InputError("segment_id", f"segment {segment_id!r} has no consenting user", "take another")
        return index

    def user_rates(self, traits: Traits, users: Array) -> Array:
        """(users,) true p(click) at zero exposure, averaged over contexts."""
        one = [np.array(x) for x in (traits.tone, traits.appeal, traits.quality, traits.category)]
        return self._average(utility(self._world, self._population, users, *one), self._population.device[users])

    def user_values(self, traits: Traits, users: Array, objective: Objective) -> Array:
        """(users,) expected reward of an impression at zero exposure: clicks, or value of purchases that the ad causes."""
        rates = self.user_rates(traits, users)
        if objective is Objective.CLICKS:
            return rates
        bought = purchase_probability(self._world, self._population, users, np.array(traits.category))
        return np.asarray(rates * bought * self._world.value[traits.category])

    def table(self, creatives: Sequence[CreativeAttributes], segment_ids: Sequence[str], objective: Objective) -> Array:
        """(creatives, segments) mean of ``user_values`` over the segment's consenting users."""
        segments = [self.segment(s) for s in segment_ids]
        traits = [self.traits(c) for c in creatives]
        return np.array([[self.user_values(t, self._members[s], objective).mean() for s in segments] for t in traits])

    def _curve(self, segment: int) -> SupplyCurve:
        if segment not in self._curves:
            self._curves[segment] = SupplyCurve(self._world, float(self._world.group_price[segment]))
        return self._curves[segment]

    def requests(self, segment: int, days: int) -> float:
        """Requests that one line is offered over the flight."""
        activity = self._population.activity[self._members[segment]].sum(dtype=float) / self._mean_activity
        return float(activity * self._config.requests_per_user_day * days / self._config.line_slots)

    def rewards(self, traits: Traits, segment: int, budgets: Array, objective: Objective, days: int) -> Array:
        """(b,) true expected reward of each budget spent on one line over ``days`` days."""
        if days < 1:
            raise InputError("days", f"{days} days on air", "take at least 1")
        users = self._members[segment]
        activity = self._population.activity[users]
        levels, place = np.unique(activity, return_inverse=True)
        worth = np.bincount(place, self.user_values(traits, users, objective))
        requests = self.requests(segment, days)
        curve = self._curve(segment)
        bought = requests * curve.share(np.asarray(budgets, dtype=float) / requests)
        daily = bought[:, None] / days * levels / activity.sum(dtype=float)
        kept = np.zeros(daily.shape)
        for day in range(min(days, EXPOSURE_DAYS + 1)):
            times = days - EXPOSURE_DAYS if day == EXPOSURE_DAYS else 1
            kept += times * (fatigue_factor(day * daily, self._config.fatigue) if day else 1.0)
        return np.asarray((daily * kept) @ worth)

    def plan_reward(self, lines: Sequence[Line], objective: Objective, days: int) -> float:
        """True expected reward of a plan; lines of the same creative and segment are one line."""
        total: dict[tuple[str, str], tuple[CreativeAttributes, float]] = {}
        for creative, segment_id, budget in lines:
            if not (np.isfinite(budget) and budget >= 0):
                raise InputError(
                    "budget", f"{budget!r} on {creative.creative_id} in {segment_id}", "take an amount from 0"
                )
            key = (creative.creative_id, segment_id)
            total[key] = (creative, total[key][1] + budget if key in total else budget)
        found = 0.0
        for (_, segment_id), (creative, budget) in total.items():
            found += float(
                self.rewards(self.traits(creative), self.segment(segment_id), np.array([budget]), objective, days)[0]
            )
        return found

    def best_plan(
        self,
        creatives: Sequence[CreativeAttributes],
        segment_ids: Sequence[str],
        budget: float,
        objective: Objective,
        days: int,
        k: int,
    ) -> list[Line]:
        """The k lines and budgets of the highest true reward, by Lagrangian choice of lines and greedy marginal reward.

        Exact up to the grid (240 steps a line) and the duality gap of choosing k lines, which shrinks with their number.
        """
        combos = [(c, s) for c in creatives for s in segment_ids]
        spend, reward = self._grid(combos, budget, objective, days)
        price = _dual_price(spend, reward, budget, k)
        net = (reward - price * spend).max(axis=1)
        chosen = np.argsort(-net, kind="stable")[: min(k, len(combos))]
        amounts = greedy_amounts(spend[chosen], reward[chosen], budget)
        return [(*combos[i], float(a)) for i, a in zip(chosen, amounts, strict=True) if a > 0]

    def uniform_plan(
        self, creatives: Sequence[CreativeAttributes], segment_ids: Sequence[str], budget: float, k: int, seed: int = 0
    ) -> list[Line]:
        """k combinations drawn at random, with equal budgets: the plan of someone who knows nothing."""
        combos = [(c, s) for c in creatives for s in segment_ids]
        count = min(k, len(combos))
        drawn = stream(self._config.seed, "uniform plan", seed).choice(len(combos), count, replace=False)
        return [(*combos[i], budget / count) for i in np.sort(drawn)]

    def uniform_reward(
        self,
        creatives: Sequence[CreativeAttributes],
        segment_ids: Sequence[str],
        budget: float,
        objective: Objective,
        days: int,
        k: int,
    ) -> float:
        """Expected true reward of ``uniform_plan`` over its draws, exactly."""
        count = min(k, len(creatives) * len(segment_ids))
        each = [
            self.rewards(self.traits(c), self.segment(s), np.array([budget / count]), objective, days)[0]
            for c in creatives
            for s in segment_ids
        ]
        return float(count * np.mean(each))

    def saturating_spend(self, segment_ids: Sequence[str], days: int) -> Array:
        """(segments,) spend at which one line has bought all its requests."""
        full = []
        for segment in map(self.segment, segment_ids):
            curve = self._curve(segment)
            full.append(self.requests(segment, days) * curve.full_cost)
        return np.array(full)

    def _grid(
        self, combos: Sequence[tuple[CreativeAttributes, str]], budget: float, objective: Objective, days: int
    ) -> tuple[Array, Array]:
        """(combinations, steps) spends, finer near 0, and their rewards."""
        if not (np.isfinite(budget) and budget > 0):
            raise InputError("budget", f"{budget!r}", "take an amount above 0")
        spends, rewards = [], []
        for creative, segment_id in combos:
            segment = self.segment(segment_id)
            curve = self._curve(segment)
            top = min(budget, self.requests(segment, days) * curve.full_cost)
            spend = top * np.linspace(0, 1, _STEPS) ** 2
            spends.append(spend)
            rewards.append(self.rewards(self.traits(creative), segment, spend, objective, days))
        return np.array(spends), np.array(rewards)


def _dual_price(spend: Array, reward: Array, budget: float, k: int) -> float:
    """The marginal reward at which the k best lines together want to spend just the budget."""
    low, high = 0.0, float((np.diff(reward, axis=1) / np.diff(spend, axis=1)).max()) * 1.01
    for _ in range(60):
        middle = (low + high) / 2
        net = reward - middle * spend
        wanted = spend[np.arange(len(spend)), net.argmax(axis=1)]
        best = np.argsort(-net.max(axis=1), kind="stable")[:k]
        low, high = (middle, high) if wanted[best].sum() > budget else (low, middle)
    return high


def greedy_amounts(spend: Array, reward: Array, budget: float) -> Array:
    """(lines,) amounts: the pieces of all lines by falling marginal reward until the budget is spent."""
    width = np.diff(spend, axis=1)
    slope = np.diff(reward, axis=1) / width
    slope = np.minimum.accumulate(slope, axis=1)
    order = np.argsort(-slope, axis=None, kind="stable")
    before = np.concatenate([[0.0], width.ravel()[order].cumsum()[:-1]])
    taken = np.zeros(width.size)
    taken[order] = np.clip(budget - before, 0.0, width.ravel()[order])
    return np.asarray(taken.reshape(width.shape).sum(axis=1))
