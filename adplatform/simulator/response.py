"""The true click: p = sigmoid(utility + context) * (1 + exposures) ** -fatigue, and its averages.

Because fatigue multiplies the probability, an average over contexts and one over exposures are separate factors:
the mean rate of a user is ``ContextAverage(utility) * fatigue_factor(mean exposures)``, exactly.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, gammaln

from adplatform.simulator.config import DEVICES, EXPOSURE_DAYS, MarketConfig
from adplatform.simulator.population import Population
from adplatform.simulator.streams import Array, stream
from adplatform.simulator.world import WEEKDAY_TRAFFIC, World, utility

_GRID = np.arange(-14.0, 6.0, 0.01)


class ContextAverage:
    """Mean click probability over hour, weekday, placement and position, as a function of utility and device.

    Of one ``weekday`` where it is given, and with other shares of the placements where they are.
    """

    def __init__(self, world: World, weekday: int | None = None, placements: Array | None = None) -> None:
        weekdays = WEEKDAY_TRAFFIC if weekday is None else np.eye(7)[weekday]
        shares = world.placement_weight if placements is None else placements
        weights = np.einsum("h,w,p,q->hwpq", world.hour_weight, weekdays, shares, world.position_weight)
        share = (weights / weights.sum()).ravel()
        self._curves = []
        for device in range(len(DEVICES)):
            effect = (
                world.hour[:, None, None, None]
                + world.weekday[None, :, None, None]
                + world.placement[device][None, None, :, None]
                + world.position[None, None, None, :]
            ).ravel()
            order = np.argsort(effect)
            blocks = np.array_split(order, 96)
            mass = np.array([share[b].sum() for b in blocks])
            centre = np.array([(share[b] * effect[b]).sum() for b in blocks]) / np.maximum(mass, 1e-300)
            self._curves.append(np.log(expit(_GRID[:, None] + centre) @ mass))

    def __call__(self, utilities: Array, device: Array) -> Array:
        """Mean probability; ``utilities`` and ``device`` broadcast."""
        both = [np.exp(np.interp(utilities, _GRID, curve)) for curve in self._curves]
        return np.asarray(np.where(device == 0, both[0], both[1]))


def fatigue_factor(mean_exposures: Array, fatigue: float) -> Array:
    """E[(1 + N) ** -fatigue] for N ~ Poisson(mean_exposures)."""
    mean = np.asarray(mean_exposures, dtype=float)
    knots, product = _fatigue_knots(fatigue)
    inside = np.clip(mean, 1e-12, knots[-1])
    far = np.maximum(mean / knots[-1], 1.0) ** -fatigue
    return np.asarray(np.interp(inside, knots, product) / inside * far)


@lru_cache(maxsize=8)
def _fatigue_knots(fatigue: float) -> tuple[Array, Array]:
    """Knots m and m E[(1 + N) ** -fatigue] = E[N ** (1 - fatigue)], whose linear interpolation is concave as it is."""
    knots = np.concatenate([[0.0], np.geomspace(1e-4, 5_000.0, 600)])
    counts = np.arange(6_000)
    log_mass = counts * np.log(np.maximum(knots[:, None], 1e-300)) - knots[:, None] - gammaln(counts + 1)
    return knots, np.exp(log_mass) @ np.where(counts > 0, np.maximum(counts, 1) ** (1 - fatigue), 0.0)


def context_effect(
    world: World, device: Array, hour: Array, weekday: Array, placement: Array, position: Array
) -> Array:
    """Log-odds that the context adds; ``position`` counts from 0."""
    return np.asarray(
        world.hour[hour] + world.weekday[weekday] + world.placement[device, placement] + world.position[position]
    )


def set_level(config: MarketConfig, population: Population, world: World) -> float:
    """The intercept at which the logged click rate is expected to be ``mean_click_rate``.

    Solved on 40,000 draws of user (by activity), campaign and creative (by the logging policy), with the exposures
    that a steady market gives them; a user in a creative test sees one creative again and again.
    """
    generator = stream(config.seed, "click level")
    count = 40_000
    weight = population.activity / population.activity.sum()
    users = generator.choice(population.size, count, p=weight)
    campaign = generator.integers(0, len(world.category), count)
    group = np.where(population.consent[users], population.group[users], len(population.group_mean))
    chance = world.policy[campaign, group]
    slot = (generator.random(count)[:, None] > chance.cumsum(axis=1)).sum(axis=1)
    slot = np.minimum(slot, (world.slots[campaign] >= 0).sum(axis=1) - 1)
    creative = world.slots[campaign, slot]
    tested = generator.random(count) < 2 * config.ab_enrolled
    daily = config.impressions / config.days * weight[users] / len(world.category)
    daily = daily * np.where(tested, 1.0, chance[np.arange(count), slot])
    kept = np.mean([fatigue_factor(min(d, EXPOSURE_DAYS) * daily, config.fatigue) for d in range(config.days)], axis=0)
    raw = utility(
        world,
        population,
        users,
        world.tone[creative],
        world.appeal[creative],
        world.quality[creative],
        world.category[campaign],
    )
    average = ContextAverage(world)
    device = population.device[users]
    return float(
        brentq(
            lambda level: (average(raw + level, device) * kept).mean() - config.mean_click_rate, -9.0, 3.0, xtol=1e-6
        )
    )
