"""How many requests each campaign takes part in on each day, what it bids, and its daily budget."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from adplatform.simulator.auction import noisy_payment, noisy_win
from adplatform.simulator.config import AUDIENCES, GROUPS, MarketConfig
from adplatform.simulator.population import Population
from adplatform.simulator.streams import Array, stream
from adplatform.simulator.world import WEEKDAY_TRAFFIC, World, flight, zone

PACING = 0.92
"""A campaign takes part in so many requests that at most this part of its budget is expected to be spent."""
_TREATED = 0.8


@dataclass(frozen=True)
class Traffic:
    """Per day D, hour 24, campaign C, group: participation and prices."""

    requests: Array
    """(D, 24, C) expected requests that the campaign bids on."""
    log_bid: Array
    """(D, C)."""
    win: Array
    """(D, C, GROUPS) probability to win a request of that group."""
    budget: Array
    """(C,) currency for each of the campaign's own days."""
    local_day: Array
    """(D, 24, C) ordinal of the campaign's own date."""


def draw_traffic(config: MarketConfig, population: Population, world: World) -> Traffic:
    """Participation, bids and budgets such that ``config.impressions`` are expected in all."""
    generator = stream(config.seed, "traffic")
    count = len(world.category)
    share = generator.dirichlet(np.full(count, 25.0))
    log_bid = world.bid + generator.normal(0, 0.2, (config.days, count))
    weekday = (np.arange(config.days) + config.first_day.weekday()) % 7
    local_day, on_air = local_days(config, count)
    plan = WEEKDAY_TRAFFIC[weekday][:, None, None] * world.hour_weight[None, :, None] * share * on_air
    win = noisy_win(log_bid[:, :, None], world.group_price)
    mass = np.bincount(population.group, population.activity, minlength=GROUPS)
    mass = mass / mass.sum()
    paid = noisy_payment(world, log_bid[:, :, None], world.group_price) @ mass
    usual = share * (noisy_payment(world, world.bid[:, None], world.group_price) @ mass)
    headroom = generator.uniform(0.85, 1.6, count)
    full = WEEKDAY_TRAFFIC[weekday][:, None] * share * paid
    throttle = np.minimum(1.0, PACING * usual * headroom / full)
    plan = plan * throttle[:, None, :]
    held_out = 1 - config.holdout_enrolled * (1 - _TREATED)
    scale = config.impressions / ((plan.sum(axis=1) * (win @ mass)).sum() * held_out)
    return Traffic(plan * scale, log_bid, win, np.round(usual * headroom * scale, 2).clip(0.01), local_day)


def local_days(config: MarketConfig, campaigns: int) -> tuple[Array, Array]:
    """The campaign's own date (ordinal) in each hour of UTC, and whether it is on air then; both (D, 24, C)."""
    start = datetime(config.first_day.year, config.first_day.month, config.first_day.day, tzinfo=UTC)
    ordinal = np.empty((config.days, 24, campaigns), dtype=np.int64)
    on_air = np.empty(ordinal.shape, dtype=bool)
    for c in range(campaigns):
        first, last = flight(config, c)
        zone_info = ZoneInfo(zone(c))
        for hour in range(config.days * 24):
            local = (start + timedelta(hours=hour)).astimezone(zone_info).date()
            ordinal[hour // 24, hour % 24, c] = local.toordinal()
            on_air[hour // 24, hour % 24, c] = first <= local <= last
    return ordinal, on_air


def drifted_activity(population: Population) -> Array:
    """Activity under traffic drift: mobile users twice, gamers three times as active."""
    times = population.activity.astype(np.int64) * np.where(population.device == 0, 2, 1)
    return np.asarray(times * np.where(population.audience == AUDIENCES.index("gamers"), 3, 1))
