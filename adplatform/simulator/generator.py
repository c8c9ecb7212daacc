"""One hour of the market: requests, auctions, the logging policy's choice, clicks and purchases."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from scipy.special import expit

from adplatform.simulator.auction import BID_NOISE, LOG_BASE, LOG_FLOOR, SPREAD
from adplatform.simulator.config import GROUPS, Faults, MarketConfig
from adplatform.simulator.experiments import Arms, Experiment
from adplatform.simulator.exposures import Exposures
from adplatform.simulator.population import Population, midnight_us
from adplatform.simulator.response import context_effect
from adplatform.simulator.streams import Array, pick, stream
from adplatform.simulator.traffic import Traffic, drifted_activity
from adplatform.simulator.world import World, drift_effect, drifted_placements, first_price_mask, utility

HOUR_US = 3_600_000_000


@dataclass(frozen=True)
class Impressions:
    """Won impressions in order of time; ``test`` is the number of the experiment that fixed the creative, 0 for none."""

    user: Array
    campaign: Array
    creative: Array
    at_us: Array
    placement: Array
    position: Array
    propensity: Array
    test: Array
    arm: Array
    bid: Array
    price: Array
    clicked: Array


class HourGenerator:
    """Draws the hours of a market in order; keeps the spend of each campaign's own day."""

    def __init__(
        self,
        config: MarketConfig,
        population: Population,
        world: World,
        traffic: Traffic,
        arms: Arms,
        experiments: list[Experiment],
        faults: Faults,
    ) -> None:
        self._config, self._population, self._world, self._traffic = config, population, world, traffic
        self._arms, self._faults = arms, faults
        self._start = midnight_us(config)
        self._slots = world.slots
        self._cumulative = world.policy.cumsum(axis=2)
        self._last_slot = (self._slots >= 0).sum(axis=1) - 1
        self._drift = drift_effect(world, population)
        self._policy_row = np.where(population.consent, population.group, GROUPS).astype(np.int8)
        self._requests = request_table(population, drifted=False)
        self._drifted: Array | None = None
        self._test_creatives = np.zeros((len(experiments) + 1, 2), dtype=np.int64)
        self._test_share = np.ones(len(experiments) + 1)
        self._test_until = np.zeros(len(experiments) + 1, dtype=np.int64)
        for e in experiments:
            self._test_creatives[e.number] = e.control, e.treatment
            self._test_share[e.number] = e.treatment_share
            self._test_until[e.number] = (e.last + 1) * 86_400
        self._spent = np.zeros(len(world.category))
        self._spent_on = np.zeros(len(world.category), dtype=np.int64)

    def hour(self, day: int, hour: int, exposures: Exposures) -> Impressions:
        """The impressions of one hour; ``exposures`` as of the start of the day."""
        generator = stream(self._config.seed, "hour", day, hour)
        world, traffic = self._world, self._traffic
        expected = traffic.requests[day, hour]
        count = int(generator.poisson(expected.sum()))
        campaign = pick(generator, expected, count) if count else np.zeros(0, dtype=np.int8)
        at_us = np.sort(generator.integers(0, HOUR_US, count)) + (self._start + (day * 24 + hour) * HOUR_US)
        moved = self._is_on(self._faults.traffic_drift_from, day)
        user = self._draw_users(generator, count, moved)
        placement = pick(generator, drifted_placements(world) if moved else world.placement_weight, count)
        position = pick(generator, world.position_weight, count)
        log_bid = np.maximum(traffic.log_bid[day, campaign] + BID_NOISE * generator.standard_normal(count), LOG_FLOOR)
        rival = world.group_price[self._population.group[user]] + SPREAD * generator.standard_normal(count)
        second = (at_us - self._start) // 1_000_000
        won = (log_bid >= rival) & ~self._is_dark(campaign, user, second)
        level = np.exp(LOG_BASE + world.hour_price[hour] + world.placement_price[placement])
        bid = np.round(np.exp(log_bid) * level, 6)
        second_price = np.round(np.exp(np.maximum(rival, LOG_FLOOR)) * level, 6)
        price = np.where(first_price_mask()[placement], bid, np.minimum(second_price, bid))
        kept = np.flatnonzero(won)
        kept = kept[self._affordable(campaign[kept], price[kept], traffic.local_day[day, hour])]
        taken = [x[kept] for x in (campaign, user, at_us, placement, position, bid, price, second)]
        return self._outcome(generator, day, hour, taken, exposures)

    def _outcome(
        self, generator: np.random.Generator, day: int, hour: int, won: list[Array], exposures: Exposures
    ) -> Impressions:
        campaign, user, at_us, placement, position, bid, price, second = won
        creative, propensity, test, arm = self._choose(generator, campaign, user, second)
        odds = self.utility(user, creative, day)
        weekday = (self._config.first_day.weekday() + day) % 7
        device = self._population.device[user]
        odds = odds + context_effect(self._world, device, np.array(hour), np.array(weekday), placement, position)
        tired = (1.0 + exposures.of(user, creative)) ** -self._config.fatigue
        clicked = generator.random(len(user)) < expit(odds) * tired
        return Impressions(
            user, campaign, creative, at_us, placement, position, propensity, test, arm, bid, price, clicked
        )

    def utility(self, user: Array, creative: Array, day: int) -> Array:
        """Log-odds before context and fatigue on that day, taste drift included; ``user`` and ``creative`` broadcast."""
        world = self._world
        category = world.category[world.campaign[creative]]
        odds = utility(
            world,
            self._population,
            user,
            world.tone[creative],
            world.appeal[creative],
            world.quality[creative],
            category,
        )
        if self._is_on(self._faults.taste_drift_from, day):
            odds = odds + self._drift[self._population.group[user], creative]
        return odds

    def _choose(
        self, generator: np.random.Generator, campaign: Array, user: Array, second: Array
    ) -> tuple[Array, Array, Array, Array]:
        """Creative, propensity, experiment and arm (-1: none) of each impression."""
        row = self._policy_row[user]
        drawn = generator.random(len(user))
        slot = np.zeros(len(user), dtype=np.int64)
        for k in range(self._cumulative.shape[2] - 1):
            slot += drawn > self._cumulative[campaign, row, k]
        slot = np.minimum(slot, self._last_slot[campaign])
        creative = self._slots[campaign, slot]
        propensity = self._world.policy[campaign, row, slot]
        test = self._arms.test[campaign, user]
        on = (test > 0) & (second >= self._arms.test_from[campaign, user]) & (second < self._test_until[test])
        test = np.where(on, test, 0)
        arm = self._arms.arm[campaign, user]
        share = np.where(arm == 1, self._test_share[test], 1 - self._test_share[test])
        creative = np.where(on, self._test_creatives[test, arm], creative).astype(np.int16)
        return creative, np.where(on, share, propensity), test, np.where(on, arm, -1)

    def _is_dark(self, campaign: Array, user: Array, second: Array) -> Array:
        """Whether the user is in the control arm of the campaign's holdout."""
        return np.asarray((second >= self._arms.dark_from[campaign, user]) & (second < self._arms.dark_until[campaign]))

    def _affordable(self, campaign: Array, price: Array, local_day: Array) -> Array:
        """Whether the campaign's budget of its own day still covers each impression; the spend is booked."""
        fresh = local_day != self._spent_on
        self._spent[fresh] = 0.0
        self._spent_on = local_day.copy()
        kept = np.ones(len(campaign), dtype=bool)
        for c in range(len(self._spent)):
            own = np.flatnonzero(campaign == c)
            running = self._spent[c] + np.cumsum(price[own])
            within = running <= self._traffic.budget[c]
            kept[own] = within
            if within.any():
                self._spent[c] = running[within][-1]
        return kept

    def _draw_users(self, generator: np.random.Generator, count: int, moved: bool) -> Array:
        if moved and self._drifted is None:
            self._drifted = request_table(self._population, drifted=True)
        table = self._drifted if moved and self._drifted is not None else self._requests
        return table[generator.integers(0, len(table), count)]

    def _is_on(self, since: date | None, day: int) -> bool:
        """Whether a drift that began on the date ``since`` is on that day."""
        return since is not None and self._config.first_day + timedelta(days=day) >= since


def request_table(population: Population, drifted: bool) -> Array:
    """User indices, each as often as its activity says: a uniform pick is a request. Exact, and 5 times as fast as a search."""
    times = drifted_activity(population) if drifted else population.activity
    return np.repeat(np.arange(population.size, dtype=np.int32), times)
