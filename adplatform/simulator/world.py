"""The market's fixed truth: campaigns, creatives, context effects, prices, and the level of clicks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from adplatform.simulator.arrow import build, ids, words
from adplatform.simulator.config import (
    APPEALS,
    CATEGORIES,
    DEVICES,
    FIRST_PRICE,
    GROUPS,
    PLACEMENTS,
    POSITIONS,
    REGIONS,
    TONES,
    MarketConfig,
)
from adplatform.simulator.names import HEADLINES, PRODUCTS
from adplatform.simulator.population import Population
from adplatform.simulator.streams import Array, stream

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Europe/London", "America/Los_Angeles")
WEEKDAY_TRAFFIC = np.array([1.0, 1.0, 1.0, 1.02, 1.05, 0.96, 0.92])
EXPLORATION = 0.2
"""Part of the logging policy that is uniform over the campaign's creatives."""


@dataclass(frozen=True)
class World:
    """True effects, in log-odds unless said. J creatives, C campaigns; ``*_weight`` are shares of traffic."""

    tone: Array
    appeal: Array
    campaign: Array
    """(J,) indices: the tone, appeal and campaign of each creative."""
    quality: Array
    """(J,) what is particular to a creative beside tone and appeal; 0 for one that nobody has made yet."""
    category: Array
    """(C,) index of each campaign's product category."""
    clicks_objective: Array
    cell: Array
    """(tones, appeals) effect of the pair on everybody."""
    region_category: Array
    """(regions, categories)."""
    hour: Array
    weekday: Array
    placement: Array
    """(devices, placements)."""
    position: Array
    hour_weight: Array
    placement_weight: Array
    position_weight: Array
    purchase: Array
    """(categories,) log-odds that a click by a user of average interest leads to a purchase."""
    value: Array
    """(categories,) mean value of a purchase, in currency."""
    organic: Array
    """(categories,) purchases a day without any ad, of a user of average interest."""
    group_price: Array
    placement_price: Array
    hour_price: Array
    """Log price of the competition relative to its base."""
    bid: Array
    """(C,) log bid relative to the same base."""
    policy: Array
    """(C, GROUPS + 1, slots) logging probabilities of a campaign's creatives; the last row is for no consent."""
    intercept: float = 0.0

    @property
    def slots(self) -> Array:
        """(C, most creatives of a campaign): creative index of each slot, -1 where there is none."""
        return slots_of(self.campaign)


def slots_of(campaign: Array) -> Array:
    """Creative indices of each campaign, padded with -1."""
    lists = [np.flatnonzero(campaign == c) for c in range(int(campaign.max()) + 1)]
    table = np.full((len(lists), max(len(x) for x in lists)), -1, dtype=np.int64)
    for row, members in zip(table, lists, strict=True):
        row[: len(members)] = members
    return table


def taste_columns(world: World, tone: Array, appeal: Array, category: Array) -> Array:
    """(n, 3) columns of ``Population.taste`` that a creative of this tone, appeal and category speaks to."""
    return np.stack([tone, len(TONES) + appeal, len(TONES) + len(APPEALS) + category], axis=-1).astype(np.int64)


def utility(
    world: World, population: Population, users: Array, tone: Array, appeal: Array, quality: Array, category: Array
) -> Array:
    """Log-odds of a click before context and fatigue; ``users`` and the creative's columns broadcast."""
    taste = population.taste
    liking = taste[users, tone] + taste[users, len(TONES) + appeal]
    liking = liking + taste[users, len(TONES) + len(APPEALS) + category]
    return np.asarray(
        liking
        + world.cell[tone, appeal]
        + world.region_category[population.region[users], category]
        + quality
        + world.intercept
    )


def drift_effect(world: World, population: Population) -> Array:
    """(GROUPS, J) log-odds that taste drift adds to each creative in each group."""
    columns = taste_columns(world, world.tone, world.appeal, world.category[world.campaign])
    return np.asarray(population.drift[:, columns].sum(axis=2))


def interest(world: World, population: Population, users: Array, category: Array) -> Array:
    """How much the users care for a category: what drives purchases, with or without ads."""
    return np.asarray(
        population.taste[users, len(TONES) + len(APPEALS) + category]
        + world.region_category[population.region[users], category]
    )


def draw_world(config: MarketConfig, population: Population) -> World:
    """The market of this seed, its click level set so that the mean click rate is the config's."""
    from adplatform.simulator.response import set_level

    generator = stream(config.seed, "world")
    campaign = np.repeat(np.arange(config.campaigns), generator.integers(6, 9, config.campaigns))
    cells = [
        generator.permutation(len(TONES) * len(APPEALS))[: int((campaign == c).sum())] for c in range(config.campaigns)
    ]
    pairs = np.concatenate(cells)
    category = np.resize(generator.permutation(len(CATEGORIES)), config.campaigns)
    hours = np.arange(24)
    wave = np.sin((hours - 9) / 24 * 2 * np.pi)
    world = World(
        tone=pairs // len(APPEALS),
        appeal=pairs % len(APPEALS),
        campaign=campaign,
        quality=generator.normal(0, 0.1, len(campaign)),
        category=category,
        clicks_objective=np.arange(config.campaigns) % 2 == 0,
        cell=generator.normal(0, 0.2, (len(TONES), len(APPEALS))),
        region_category=generator.normal(0, 0.12, (len(REGIONS), len(CATEGORIES))),
        hour=0.25 * np.sin((hours - generator.uniform(10, 16)) / 24 * 2 * np.pi) + generator.normal(0, 0.05, 24),
        weekday=np.array([0.0, 0.0, 0.0, 0.0, 0.02, 0.06, 0.05]) + generator.normal(0, 0.02, 7),
        placement=np.array([0.3, -0.8, 0.0, 0.95]) + generator.normal(0, 0.12, (len(DEVICES), len(PLACEMENTS))),
        position=np.array([0.6, 0.05, -0.5, -1.0]) + generator.normal(0, 0.05, POSITIONS),
        hour_weight=(1.0 + 0.8 * wave) / (1.0 + 0.8 * wave).sum(),
        placement_weight=np.array([0.4, 0.25, 0.2, 0.15]),
        position_weight=np.array([0.4, 0.3, 0.2, 0.1]),
        purchase=np.log(generator.uniform(0.05, 0.1, len(CATEGORIES))),
        value=generator.uniform(15, 60, len(CATEGORIES)),
        organic=generator.uniform(0.0015, 0.003, len(CATEGORIES)),
        group_price=generator.normal(0, 0.2, GROUPS),
        placement_price=np.array([0.1, -0.3, 0.0, 0.3]),
        hour_price=0.15 * wave,
        bid=generator.uniform(0.05, 0.5, config.campaigns),
        policy=np.zeros(0),
    )
    world = replace(world, policy=_logging_policy(config, population, world))
    return replace(world, intercept=set_level(config, population, world))


def _logging_policy(config: MarketConfig, population: Population, world: World) -> Array:
    """Softmax over a weak heuristic (group taste seen through much noise) mixed with a uniform choice."""
    generator = stream(config.seed, "logging policy")
    columns = taste_columns(world, world.tone, world.appeal, world.category[world.campaign])
    liking = population.group_mean[:, columns].sum(axis=2) + world.cell[world.tone, world.appeal] + world.quality
    score = 0.5 * liking + generator.normal(0, 0.4, liking.shape)
    score = np.concatenate([score, score.mean(axis=0, keepdims=True)])
    slots = world.slots
    logits = np.where(slots[:, None, :] >= 0, score[:, slots].transpose(1, 0, 2), -np.inf)
    soft = np.exp(logits - logits.max(axis=2, keepdims=True))
    soft /= soft.sum(axis=2, keepdims=True)
    count = (slots >= 0).sum(axis=1)[:, None, None]
    return np.asarray((1 - EXPLORATION) * soft + EXPLORATION / count * (slots >= 0)[:, None, :])


def campaigns_table(config: MarketConfig, world: World, budgets: Array) -> pa.Table:
    """The landing table ``campaigns``; ``budgets`` (C,) in currency a day."""
    count = len(world.category)
    names = [PRODUCTS[k][c // len(CATEGORIES) % 3] for c, k in enumerate(world.category)]
    flights = [flight(config, c) for c in range(count)]
    target = np.where(world.clicks_objective, 0.25, 4.0)
    return build(
        "campaigns",
        {
            "campaign_id": ids("c", np.arange(1, count + 1), 2),
            "product_id": ids("p", np.arange(1, count + 1), 2),
            "product_name": names,
            "product_category": words(CATEGORIES, world.category),
            "objective": words(("conversions", "clicks"), world.clicks_objective.astype(int)),
            "daily_budget": budgets,
            "target_cost": target,
            "currency": ["EUR"] * count,
            "timezone": [zone(c) for c in range(count)],
            "starts_on": [f[0] for f in flights],
            "ends_on": [f[1] for f in flights],
        },
    )


def creatives_table(world: World) -> pa.Table:
    """The landing table ``creatives_library``."""
    headline = [
        HEADLINES[t][a].format(PRODUCTS[world.category[c]][c // len(CATEGORIES) % 3])
        for t, a, c in zip(world.tone, world.appeal, world.campaign, strict=True)
    ]
    return build(
        "creatives_library",
        {
            "creative_id": ids("cr", np.arange(1, len(world.tone) + 1), 3),
            "campaign_id": ids("c", world.campaign + 1, 2),
            "headline": headline,
            "tone": words(TONES, world.tone),
            "appeal": words(APPEALS, world.appeal),
        },
    )


def zone(campaign: int) -> str:
    """The campaign's time zone; all are whole hours from UTC, so an hour of UTC lies in one budget day."""
    return ZONES[campaign % len(ZONES)]


def flight(config: MarketConfig, campaign: int) -> tuple[date, date]:
    """First and last day on air in the campaign's zone. Every fifth starts late, every sixth ends early."""
    starts = config.first_day + timedelta(days=2 if campaign % 6 == 4 and config.days > 7 else -1)
    ends = config.last_day + timedelta(days=-2 if campaign % 6 == 5 and config.days > 7 else 7)
    return starts, ends


def first_price_mask() -> Array:
    """(placements,) whether a placement is sold in first-price auctions."""
    return np.array([p in FIRST_PRICE for p in PLACEMENTS])


def drifted_placements(world: World) -> Array:
    """Shares of the placements under traffic drift: stories have grown, the feed has shrunk."""
    share = world.placement_weight * np.array([0.6, 1.0, 2.5, 1.0])
    return np.asarray(share / share.sum())
