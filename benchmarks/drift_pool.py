"""The pool of decisions that ``DrawnDays`` draws from, weighed so that its shares and click rates are the market's.

Users, places and hours are a scrambled Sobol sequence. Raking (Deming and Stephan 1940) makes the weights add up to the exact
shares of segments, regions, devices and places; click rates are scaled to their exact means by segment, consent and creative.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from scipy.special import expit
from scipy.stats import qmc

from adplatform.simulator.config import GROUPS
from adplatform.simulator.response import ContextAverage
from adplatform.simulator.streams import Array, stream
from adplatform.simulator.world import utility
from benchmarks.drift_rows import Decisions
from benchmarks.drift_world import CAMPAIGNS, Year

CONTEXTS: Final = 2048
"""Decisions of a campaign in the pool."""
RAKES: Final = 6


class Pool(NamedTuple):
    """Decisions: each context with every creative of its campaign."""

    rows: Decisions
    slot: Array
    """Place of the creative in its campaign."""
    base: Array
    """Weight per expected request of the campaign in the hour, before auction and policy."""
    odds: Array
    """True log-odds of a click but for weekday, fatigue and drift."""
    factor: Array
    """By which the true probability is scaled."""


def make_pool(year: Year) -> Pool:
    """The pool of a year's market."""
    generator, users = stream(year.seed, "pool"), year.population
    order = np.lexsort((generator.random(users.size), users.region, users.device, users.consent, users.group))
    reach = np.cumsum(users.activity[order]) / users.activity.sum()
    parts, slots, weights = [], [], []
    for c in range(CAMPAIGNS):
        at = qmc.Sobol(4, rng=generator).random_base2(CONTEXTS.bit_length() - 1)
        user = order[np.searchsorted(reach, at[:, 0])]
        shares = (year.world.placement_weight, year.world.position_weight, year.world.hour_weight)
        places = [_level(u, w) for u, w in zip(at[:, 1:].T, shares, strict=True)]
        weight = _raked(year, user, list(zip(places, shares, strict=True)))
        weight = weight / np.bincount(places[2], weight)[places[2]]
        own = np.flatnonzero(year.slots[c] >= 0)
        each, slot = np.repeat(np.arange(CONTEXTS), len(own)), np.tile(own, CONTEXTS)
        columns = (user[each], np.full(len(each), c), year.slots[c][slot], *(code[each] for code in places))
        parts.append(columns)
        slots.append(slot)
        weights.append(weight[each])
    rows = Decisions(*(np.concatenate(column).astype(np.int32) for column in zip(*parts, strict=True)))
    base = np.concatenate(weights)
    odds, factor = _rates(year, rows, base)
    return Pool(rows, np.concatenate(slots), base, odds, factor)


def _level(at: Array, shares: Array) -> Array:
    """The level in whose part of [0, 1) each number falls."""
    return np.searchsorted(np.cumsum(shares) / shares.sum(), at, side="right").clip(max=len(shares) - 1)


def _raked(year: Year, user: Array, places: list[tuple[Array, Array]]) -> Array:
    """(contexts,) weights of mean 1 whose margins are the market's."""
    users = year.population
    group, region, device, consent = (
        c.astype(np.int64) for c in (users.group, users.region, users.device, users.consent)
    )
    margins = [
        (group * 2 + consent, 2 * GROUPS),
        (region * 2 + consent, 8),
        ((users.age * 2 + device) * 2 + consent, 16),
    ]
    wanted = [(code[user], np.bincount(code, users.activity, minlength=n)) for code, n in margins]
    wanted += places
    weight = np.ones(len(user))
    for _ in range(RAKES):
        for code, mass in wanted:
            held = np.bincount(code, weight, minlength=len(mass))
            weight = weight * (mass / mass.sum() * len(user) / np.where(held > 0, held, 1.0))[code]
    return weight


def _rates(year: Year, rows: Decisions, base: Array) -> tuple[Array, Array]:
    """Log-odds of each decision, and the factor from the pool's mean click rate to the market's, by group, consent and creative."""
    users, world = year.population, year.world
    own = world.category[rows.campaign]
    taste = utility(
        world, users, rows.user, world.tone[rows.creative], world.appeal[rows.creative], world.quality[rows.creative], own
    )  # fmt: skip
    odds = (
        taste
        + world.hour[rows.hour]
        + world.placement[users.device[rows.user], rows.placement]
        + world.position[rows.position]
    )
    weight = base * world.hour_weight[rows.hour]
    p = expit(odds + float(np.average(world.weekday)))
    average, everyone, factor = ContextAverage(world), np.arange(users.size), np.ones(len(odds))
    rates = np.empty((len(world.tone), users.size))
    for j, (tone, appeal, quality) in enumerate(zip(world.tone, world.appeal, world.quality, strict=True)):
        category = world.category[world.campaign[j : j + 1]]
        liked = utility(world, users, everyone, np.array(tone), np.array(appeal), np.array(quality), category)
        rates[j] = users.activity * average(liked, users.device)
    for _ in range(RAKES):
        for code in (users.group.astype(np.int64), users.consent.astype(np.int64)):
            member = (code[:, None] == np.unique(code)).astype(float)
            exact = (rates @ member / (users.activity @ member)).ravel()
            cell = rows.creative * member.shape[1] + code[rows.user]
            mass = np.bincount(cell, weight, minlength=exact.size)
            mine = np.bincount(cell, weight * p * factor, minlength=exact.size)
            factor = factor * (exact * mass / np.where(mine > 0, mine, 1.0))[cell]
    return odds, factor
