"""What follows an impression: the click's delay, the purchase with its delay and value, and purchases without ads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from adplatform.simulator.config import CONVERSION_DAYS, MarketConfig
from adplatform.simulator.population import DAY_US, Population
from adplatform.simulator.streams import Array, stream
from adplatform.simulator.world import World, interest

_DELAY_DAYS = 0.7
"""Scale of the exponential delay from click to purchase, cut at CONVERSION_DAYS."""
_VALUE_SPREAD = 0.5
_ORGANIC_INTEREST = 0.5
_PURCHASE_INTEREST = 0.6
_LARGEST = 4.0
"""No user buys more than so many times as often, unadvertised, as one of average interest."""


@dataclass(frozen=True)
class Purchases:
    """Purchases with any time, sorted by nothing."""

    user: Array
    campaign: Array
    at_us: Array
    value: Array

    def where(self, mask: Array) -> Purchases:
        """The purchases of that mask."""
        return Purchases(self.user[mask], self.campaign[mask], self.at_us[mask], self.value[mask])


def no_purchases() -> Purchases:
    """None."""
    return Purchases(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


def joined(parts: list[Purchases]) -> Purchases:
    """All purchases of ``parts``, by time."""
    user, campaign, at_us, value = (
        np.concatenate([getattr(p, name) for p in parts]) for name in ("user", "campaign", "at_us", "value")
    )
    order = np.argsort(at_us, kind="stable")
    return Purchases(user[order], campaign[order], at_us[order], value[order])


def purchase_probability(world: World, population: Population, users: Array, category: Array) -> Array:
    """P(purchase because of the ad | click); differs between users by their interest in the category."""
    return np.asarray(
        expit(world.purchase[category] + _PURCHASE_INTEREST * interest(world, population, users, category))
    )


def organic_rate(world: World, population: Population, users: Array, category: Array) -> Array:
    """Purchases a day without any ad (a Poisson rate)."""
    return np.asarray(world.organic[category] * _factor(world, population, users, category))


def _factor(world: World, population: Population, users: Array, category: Array) -> Array:
    return np.asarray(np.minimum(np.exp(_ORGANIC_INTEREST * interest(world, population, users, category)), _LARGEST))


def delay_share(days: Array) -> Array:
    """P(the purchase comes within so many days of the click | it comes at all)."""
    inside = np.clip(days, 0.0, CONVERSION_DAYS)
    return np.asarray(-np.expm1(-inside / _DELAY_DAYS) / -np.expm1(-CONVERSION_DAYS / _DELAY_DAYS))


def click_delays(generator: np.random.Generator, count: int) -> Array:
    """Microseconds from impression to click: lognormal around 8 s, at most 10 minutes."""
    return np.asarray((np.minimum(np.exp(generator.normal(np.log(8.0), 0.9, count)), 600.0) * 1e6).astype(np.int64))


def click_purchases(
    generator: np.random.Generator,
    population: Population,
    world: World,
    user: Array,
    campaign: Array,
    clicked_us: Array,
) -> Purchases:
    """The purchases that these clicks cause; each click leads to at most one."""
    category = world.category[campaign]
    bought = generator.random(len(user)) < purchase_probability(world, population, user, category)
    user, campaign, category = user[bought], campaign[bought], category[bought]
    top = -np.expm1(-CONVERSION_DAYS / _DELAY_DAYS)
    delay = -_DELAY_DAYS * np.log1p(-generator.random(len(user)) * top)
    at_us = clicked_us[bought] + (delay * DAY_US).astype(np.int64)
    return Purchases(user, campaign, at_us, _values(generator, world, category))


def organic_purchases(config: MarketConfig, population: Population, world: World, day: int, start_us: int) -> Purchases:
    """Purchases of one day that no ad caused; Poisson with ``organic_rate`` by thinning."""
    generator = stream(config.seed, "organic", day)
    rates = world.organic[world.category]
    count = int(generator.poisson(population.size * rates.sum() * _LARGEST))
    user = generator.integers(0, population.size, count)
    campaign = np.minimum(np.searchsorted(rates.cumsum() / rates.sum(), generator.random(count)), len(rates) - 1)
    category = world.category[campaign]
    kept = generator.random(count) * _LARGEST < _factor(world, population, user, category)
    user, campaign, category = user[kept], campaign[kept], category[kept]
    at_us = start_us + generator.integers(0, DAY_US, len(user))
    return Purchases(user, campaign, at_us, _values(generator, world, category))


def _values(generator: np.random.Generator, world: World, category: Array) -> Array:
    """Purchase values in currency: lognormal with the category's mean, to the cent."""
    noise = generator.normal(-(_VALUE_SPREAD**2) / 2, _VALUE_SPREAD, len(category))
    return np.asarray(np.maximum(np.round(world.value[category] * np.exp(noise), 2), 0.01))
