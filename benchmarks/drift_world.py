"""A market of a year for the claim ``drift``, with everything that must not be taken for drift left on.

It is the simulator's market (population, auctions, true click rates, fatigue, weekdays) with two things that its own
fortnight does not need: campaigns that begin and end all year, and a logging policy that is replaced every month or
two. Bids wander by 20 % a day, so segments' shares do. There are no experiments, and budgets never bind.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from adplatform.monitoring.statistics import Library
from adplatform.simulator import Faults, Market, MarketConfig
from adplatform.simulator.config import AGE_BANDS, AUDIENCES, DEVICES, GROUPS, PLACEMENTS, POSITIONS, REGIONS
from adplatform.simulator.experiments import arms_of
from adplatform.simulator.generator import HourGenerator
from adplatform.simulator.streams import Array, stream
from adplatform.simulator.traffic import Traffic
from adplatform.simulator.world import EXPLORATION, World, taste_columns

DAYS: Final = 366
CAMPAIGNS: Final = 24
"""Of about eight on air at a time; each has one flight, so each begins and ends as a new one."""
FLIGHT_DAYS: Final = (50, 150)
POLICY_DAYS: Final = (30, 60)
FIRST_DAY: Final = date(2025, 1, 6)
LEVELS: Final = {
    "audience": (*AUDIENCES, "unknown"),
    "age_band": (*AGE_BANDS, "unknown"),
    "region": (*REGIONS, "unknown"),
    "device": (*DEVICES, "unknown"),
    "placement": PLACEMENTS,
    "position": tuple(str(p + 1) for p in range(POSITIONS)),
    "hour": tuple(f"{h} to {h + 4}" for h in range(0, 24, 4)),
}


class Drift(NamedTuple):
    """What drifts and by how much of the simulator's own fault: ``taste`` or ``traffic``, ``size`` 1 is all of it."""

    kind: str
    size: float


class Year:
    """The market of one seed: who bids when, and which policy chooses."""

    def __init__(self, seed: int, rows_a_day: int, users: int) -> None:
        self.seed, self.rows_a_day = seed, rows_a_day
        config = MarketConfig(
            seed=seed, first_day=FIRST_DAY, users=users, impressions=rows_a_day * DAYS, campaigns=CAMPAIGNS, days=DAYS
        )
        self.config, self.market = config, Market(config)
        self.population, self.world = self.market.population, self.market.world
        self.slots = self.world.slots
        self.weekday = (np.arange(DAYS) + FIRST_DAY.weekday()) % 7

    @property
    def library(self) -> Library:
        """What the creatives are."""
        return Library(self.world.campaign, self.world.tone, self.world.appeal)

    @cached_property
    def flights(self) -> Array:
        """(C, 2) first and last day on air, in the campaign's own zone."""
        generator = stream(self.seed, "flights")
        length = generator.integers(*FLIGHT_DAYS, CAMPAIGNS)
        first = generator.permutation(np.linspace(-FLIGHT_DAYS[0] - 40, DAYS - 20, CAMPAIGNS)).astype(int)
        return np.stack([first, first + length], axis=1)

    @cached_property
    def whole_day(self) -> Array:
        """(D, C) whether the campaign is on air for all of that UTC day; its first and last are cut by its zone."""
        day = np.arange(DAYS)[:, None]
        return np.asarray((day > self.flights[:, 0]) & (day < self.flights[:, 1]))

    @cached_property
    def traffic(self) -> Traffic:
        """The simulator's traffic, on air in the flights only, and as many rows a day on average as asked."""
        drawn = self.market.traffic
        local = drawn.local_day - FIRST_DAY.toordinal()
        on = (local >= self.flights[:, 0]) & (local <= self.flights[:, 1])
        plan = np.where(on, np.maximum(drawn.requests, drawn.requests.mean(axis=0)), 0.0)
        mass = np.bincount(self.population.group, self.population.activity, minlength=GROUPS)
        rows = (plan.sum(axis=1) * (drawn.win @ (mass / mass.sum()))).sum(axis=1).mean()
        return replace(drawn, requests=plan * (self.rows_a_day / rows), budget=np.full(CAMPAIGNS, np.inf))

    @cached_property
    def policies(self) -> tuple[Array, list[Array]]:
        """First day of each policy, and its (C, GROUPS + 1, slots) probabilities: a heuristic of other skill each time."""
        generator = stream(self.seed, "policies")
        steps = generator.integers(*POLICY_DAYS, DAYS // POLICY_DAYS[0] + 1)
        starts = np.concatenate([[0], np.cumsum(steps)])
        columns = taste_columns(
            self.world, self.world.tone, self.world.appeal, self.world.category[self.world.campaign]
        )
        world = self.world
        liking = (
            self.population.group_mean[:, columns].sum(axis=2) + world.cell[world.tone, world.appeal] + world.quality
        )
        made = []
        for _ in starts:
            score = generator.uniform(0.2, 1.0) * liking + generator.normal(0, 0.4, liking.shape)
            score = np.concatenate([score, score.mean(axis=0, keepdims=True)])
            logits = np.where(self.slots[:, None, :] >= 0, score[:, self.slots].transpose(1, 0, 2), -np.inf)
            soft = np.exp(logits - logits.max(axis=2, keepdims=True))
            soft /= soft.sum(axis=2, keepdims=True)
            held = (self.slots >= 0)[:, None, :]
            made.append((1 - EXPLORATION) * soft + EXPLORATION / held.sum(axis=2, keepdims=True) * held)
        return starts, made

    def policy(self, day: int) -> Array:
        """The policy in force on that day."""
        starts, made = self.policies
        return made[int(np.searchsorted(starts, day, side="right")) - 1]

    def generator(self, day: int, drift: Drift | None = None) -> HourGenerator:
        """The simulator's own generator of that day's rows. Taste drift takes any size, traffic drift all or nothing."""
        world: World = replace(self.world, policy=self.policy(day))
        population, faults = self.population, Faults()
        if drift is not None and drift.kind == "taste":
            population = replace(population, drift=population.drift * drift.size)
            faults = Faults(taste_drift_from=FIRST_DAY)
        elif drift is not None:
            faults = Faults(traffic_drift_from=FIRST_DAY)
        return HourGenerator(
            self.config, population, world, self.traffic, arms_of(self.config, CAMPAIGNS, []), [], faults
        )
