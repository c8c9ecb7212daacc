"""The best split of a budget over the market's own campaigns, each showing its creatives by the logging policy.

A campaign bids relative to each segment's price, so it wins the same share everywhere; each campaign's reward is a
concave function of its own budget.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from adplatform.contracts.brief import Objective
from adplatform.contracts.errors import InputError
from adplatform.simulator.auction import SupplyCurve
from adplatform.simulator.config import EXPOSURE_DAYS, GROUPS, MarketConfig
from adplatform.simulator.outcomes import purchase_probability
from adplatform.simulator.planning import greedy_amounts
from adplatform.simulator.population import Population
from adplatform.simulator.response import ContextAverage, fatigue_factor
from adplatform.simulator.streams import Array
from adplatform.simulator.world import World, utility

_STEPS = 80


class Splitter:
    """Reward curves of the campaigns of one market, over all users, with or without consent."""

    def __init__(self, config: MarketConfig, population: Population, world: World) -> None:
        self._config, self._population, self._world = config, population, world
        self._average = ContextAverage(world)
        self._curve = SupplyCurve(world, 0.0)
        mass = np.bincount(population.group, population.activity, minlength=GROUPS)
        self._price = float((mass / mass.sum()) @ np.exp(world.group_price))
        self._worth: dict[tuple[int, Objective], tuple[Array, Array, Array]] = {}

    def reward(self, split: Mapping[str, float], objective: Objective, days: int) -> float:
        """True expected reward of campaign id -> currency over ``days`` days."""
        known = self._ids()
        for name, budget in split.items():
            if name not in known:
                raise InputError("split", f"unknown campaign {name!r}", f"take {known[0]} to {known[-1]}")
            if not (np.isfinite(budget) and budget >= 0):
                raise InputError(f"split.{name}", f"{budget!r}", "take an amount from 0")
        return float(sum(self.rewards(known.index(n), np.array([b]), objective, days)[0] for n, b in split.items()))

    def best(self, budget: float, objective: Objective, days: int) -> dict[str, float]:
        """The split with the highest reward; exact up to 80 steps a campaign. Spends the budget or all supply."""
        if not (np.isfinite(budget) and budget > 0):
            raise InputError("budget", f"{budget!r}", "take an amount above 0")
        top = min(budget, self._requests(days) * self._curve.full_cost * self._price)
        spend = np.tile(top * np.linspace(0, 1, _STEPS) ** 2, (len(self._ids()), 1))
        reward = np.array([self.rewards(c, row, objective, days) for c, row in enumerate(spend)])
        return dict(zip(self._ids(), map(float, greedy_amounts(spend, reward, budget)), strict=True))

    def rewards(self, campaign: int, budgets: Array, objective: Objective, days: int) -> Array:
        """(b,) true expected reward of each budget over ``days`` days."""
        if days < 1:
            raise InputError("days", f"{days} days on air", "take at least 1")
        chance, activity, worth = self._cells(campaign, objective)
        requests = self._requests(days)
        bought = requests * self._curve.share(budgets / requests / self._price)
        daily = bought[:, None] / days * activity / self._population.activity.sum(dtype=float)
        kept = np.zeros((len(bought), len(activity)))
        for day in range(min(days, EXPOSURE_DAYS + 1)):
            times = days - EXPOSURE_DAYS if day == EXPOSURE_DAYS else 1
            kept += times * (fatigue_factor(day * daily * chance, self._config.fatigue) if day else 1.0)
        return np.asarray((daily * chance * kept) @ worth)

    def _cells(self, campaign: int, objective: Objective) -> tuple[Array, Array, Array]:
        """Users grouped by logging probabilities and activity, for each creative: chance, activity, summed worth."""
        if (campaign, objective) not in self._worth:
            self._worth[campaign, objective] = self._grouped(campaign, objective)
        return self._worth[campaign, objective]

    def _grouped(self, campaign: int, objective: Objective) -> tuple[Array, Array, Array]:
        world, population = self._world, self._population
        users = np.arange(population.size)
        category = np.array(world.category[campaign])
        row = np.where(population.consent, population.group, GROUPS).astype(np.int64)
        cells, place = np.unique(row * 64 + population.activity, return_inverse=True)
        gain = np.ones(len(users))
        if objective is Objective.CONVERSIONS:
            gain = purchase_probability(world, population, users, category) * world.value[category]
        chances, worths = [], []
        for k, creative in enumerate(world.slots[campaign]):
            if creative < 0:
                continue
            odds = utility(
                world,
                population,
                users,
                world.tone[creative],
                world.appeal[creative],
                world.quality[creative],
                category,
            )
            rate = self._average(odds, population.device)
            worths.append(np.bincount(place, rate * gain))
            chances.append(world.policy[campaign, cells // 64, k])
        return np.concatenate(chances), np.tile(cells % 64, len(chances)).astype(float), np.concatenate(worths)

    def _requests(self, days: int) -> float:
        return self._population.size * self._config.requests_per_user_day * days

    def _ids(self) -> list[str]:
        return [f"c{c + 1:02d}" for c in range(len(self._world.category))]
