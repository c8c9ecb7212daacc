"""The true click: p = sigmoid(utility + context) * (1 + exposures) ** -fatigue, and its averages.

Because fatigue multiplies the probability, an average over contexts and one over exposures are separate factors:
the mean rate of a user is ``ContextAverage(utility) * fatigue_factor(mean exposures)``, exactly.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, gammaln

from adplatform.simulator.config import DEVICES, EXPOSURE_DAYS, MarketConfig
from adplatform.simulator.population import Population
from adplatform.simulator.streams import Array, stream
from adplatform.simulator.world import WEEKDAY_TRAFFIC, World, utility

_GRID = np.arange(-14.0, 6.0, 0.01)


class ContextAverage:
    """Mean click probability over hour, weekday, placement and position, as a function of utility and device."""

    def __init__(self, world: World) -> None:
        weights = np.einsum(
            "h,w,p,q->hwpq", world.hour_weight, WEEKDAY_TRAFFIC, world.placement_weight, world.position_weight
        )
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
            centre = np.array([(share[b] * effect[b]).sum() for b in blocks]) / mass
            self._curves.append(np.log(expit(_GRID[:, None] + centre) @ mass))

    def __call__(self, utilities: Array, device: Array) -> Array:
        """Mean probability; ``utilities`` and ``device`` broadcast."""
        both = [np.exp(np.interp(utilities, _GRID, curve)) for curve in self._curves]
        return np.asarray(np.where(device == 0, both[0], both[1]))


def fatigue_factor(mean_exposures: Array, fatigue: float) -> Array:
    """E[(1 + N) ** -fatigue] for N ~ Poisson(mean_exposures), by its series around the mean."""
    mean = np.maximum(np.asarray(mean_exposures, dtype=float), 1e-12)
    top = int(np.ceil(mean.max() + 10 * np.sqrt(mean.max()) + 20)) if mean.size else 1
    knots = np.unique(np.concatenate([np.linspace(0, 4, 81), np.geomspace(4, max(top, 5), 80)]))
    counts = np.arange(int(knots[-1] + 12 * np.sqrt(knots[-1]) + 30))
    log_mass = counts * np.log(np.maximum(knots[:, None], 1e-300)) - knots[:, None] - gammaln(counts + 1)
    mass = np.exp(log_mass)
    mass[0] = counts == 0
    return np.asarray(np.interp(mean, knots, mass @ (1.0 + counts) ** -fatigue))


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
