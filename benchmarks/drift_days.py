"""Days of the claim's market: raw rows from the simulator's generator, or drawn from its expected rates.

``DrawnDays`` holds a pool of decisions (a user, a place, an hour, each creative of the campaign), weighs each by its
expected number on the day (traffic, auction, policy), draws its count (Poisson) and its clicks (binomial with the true
rate), and so costs the same at any number of rows. Exposures are drawn from the expected impressions of the last days.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

import numpy as np
from scipy.special import expit

from adplatform.contracts.errors import InputError
from adplatform.monitoring.statistics import BANDS, Day, bands
from adplatform.simulator.config import EXPOSURE_DAYS, GROUPS
from adplatform.simulator.exposures import Exposures
from adplatform.simulator.outcomes import purchase_probability
from adplatform.simulator.streams import Array, stream
from adplatform.simulator.traffic import drifted_activity
from adplatform.simulator.world import drift_effect, drifted_placements
from adplatform.targeting.response import ResponseModel
from benchmarks.drift_pool import make_pool
from benchmarks.drift_rows import Decisions, Kept, matrix, statistics
from benchmarks.drift_world import Drift, Year


class Days(Protocol):
    """Days in order: a day may be kept again, with drift or without; ``close`` goes on to the next."""

    year: Year

    def take(self, champion: ResponseModel) -> None:
        """Predict with this model from now on."""

    def keep(self, day: int, drift: Drift | None = None, again: int = 0) -> Kept:
        """The day's decisions and what came of them; ``again`` numbers independent draws."""

    def day(self, day: int, kept: Kept) -> Day:
        """Its statistics under the present champion."""

    def close(self, day: int, kept: Kept) -> None:
        """Count the day's exposures."""


class RawDays:
    """Days of raw rows. The market is seeded: ``again`` changes the purchases alone."""

    def __init__(self, year: Year) -> None:
        self.year, self.exposures = year, Exposures(year.config.users, len(year.world.tone))
        self._champion: ResponseModel | None = None

    def take(self, champion: ResponseModel) -> None:
        """Predict with this model from now on."""
        self._champion = champion

    def keep(self, day: int, drift: Drift | None = None, again: int = 0) -> Kept:
        """The day's rows, hour by hour."""
        year = self.year
        generator = year.generator(day, drift)
        hours = [generator.hour(day, hour, self.exposures) for hour in range(24)]
        names = (*Decisions._fields[:-1], "propensity", "clicked")
        column = {n: np.concatenate([getattr(h, n) for h in hours]) for n in names}
        hour = np.repeat(np.arange(24, dtype=np.int32), [len(h.user) for h in hours])
        rows = Decisions(*[*(column[n].astype(np.int32) for n in Decisions._fields[:-1]), hour])
        known = year.population.consent[rows.user]
        band = bands(np.where(known, self.exposures.of(rows.user, rows.creative), np.nan))
        clicked = column["clicked"].astype(np.int64)
        chance = purchase_probability(year.world, year.population, rows.user, year.world.category[rows.campaign])
        bought = clicked * (stream(year.seed, "bought", day, again).random(len(clicked)) < chance)
        return Kept(rows, band, column["propensity"], np.ones(len(clicked), np.int64), clicked, bought)

    def day(self, day: int, kept: Kept) -> Day:
        """Its statistics under the present champion. Raises InputError when there is none."""
        if self._champion is None:
            raise InputError("champion", "there is none", "take one first")
        predicted = self._champion.predict_matrix(matrix(self.year, kept.rows, kept.band, self._champion), threads=1)
        return statistics(self.year, day, kept, predicted)

    def close(self, day: int, kept: Kept) -> None:
        """Count the day's exposures."""
        self.exposures.close_day(kept.rows.user, kept.rows.creative)


class DrawnDays:
    """The same days from expected rates; see the module."""

    def __init__(self, year: Year) -> None:
        self.year = year
        self._pool = make_pool(year)
        self.pool, self.slot = self._pool.rows, self._pool.slot
        p, users, world = self.pool, year.population, year.world
        self.known = users.consent[p.user]
        self.group = users.group[p.user].astype(np.int64)
        self.row = np.where(self.known, self.group, GROUPS)
        self.activity = users.activity[p.user] / users.activity.sum()
        category = world.category[p.campaign]
        self._taste = drift_effect(world, users)[self.group, p.creative]
        self._buys = purchase_probability(world, users, p.user, category)
        self._moved = (drifted_activity(users) / users.activity)[p.user]
        self._placed = (drifted_placements(world) / world.placement_weight)[p.placement]
        self.recent: deque[Array] = deque(maxlen=EXPOSURE_DAYS)
        self._told: Array | None = None

    def take(self, champion: ResponseModel) -> None:
        """Tabulate the model's answer for every decision of the pool and exposure band."""
        told = np.empty((len(self.slot), BANDS), dtype=np.float32)
        for band in range(BANDS):
            own = np.flatnonzero(self.known if band < BANDS - 1 else ~self.known)
            rows = Decisions(*(c[own] for c in self.pool))
            asked = matrix(self.year, rows, np.full(len(own), band), champion)
            told[own, band] = champion.predict_matrix(asked, threads=1)
        self._told = told

    def expected(self, day: int, drift: Drift | None = None) -> tuple[Array, Array]:
        """Indices of the pool's decisions that can occur on the day, and the expected number of each."""
        t, p = self.year.traffic, self.pool
        on = np.flatnonzero(t.requests[day].sum(axis=0)[p.campaign] > 0)
        c, g = p.campaign[on], self.group[on]
        rate = self._pool.base[on] * t.requests[day][p.hour[on], c] * t.win[day, c, g]
        rate = rate * self.year.policy(day)[c, self.row[on], self.slot[on]]
        if drift is not None and drift.kind == "traffic":
            activity = self.year.population.activity
            mean = float((drifted_activity(self.year.population)).sum() / activity.sum())
            both = self._moved[on] / mean * self._placed[on]
            rate = rate * (1 + drift.size * (both - 1))
        return on, rate

    def keep(self, day: int, drift: Drift | None = None, again: int = 0) -> Kept:
        """Decisions that occurred and what came of them."""
        fault = 0 if drift is None else 1 + int(1000 * drift.size) + 10_000 * (drift.kind == "taste")
        generator = stream(self.year.seed, "drawn day", day, again, fault)
        on, rate = self.expected(day, drift)
        count = generator.poisson(rate)
        on, count = on[count > 0], count[count > 0]
        seen = generator.poisson(np.sum([r[on] for r in self.recent], axis=0) if self.recent else np.zeros(len(on)))
        odds = self._pool.odds[on] + self.year.world.weekday[self.year.weekday[day]]
        if drift is not None and drift.kind == "taste":
            odds = odds + drift.size * self._taste[on]
        rate = expit(odds) * self._pool.factor[on] * (1.0 + seen) ** -self.year.config.fatigue
        clicked = generator.binomial(count, rate.clip(max=1.0))
        band = bands(np.where(self.known[on], seen, np.nan))
        rows = Decisions(*(c[on] for c in self.pool))
        propensity = self.year.policy(day)[rows.campaign, self.row[on], self.slot[on]]
        return Kept(rows, band, propensity, count, clicked, generator.binomial(clicked, self._buys[on]), on)

    def day(self, day: int, kept: Kept) -> Day:
        """Its statistics under the present champion. Raises InputError when there is none."""
        if self._told is None or kept.pool is None:
            raise InputError("champion", "there is none, or the day is of another source", "take one first")
        return statistics(self.year, day, kept, self._told[kept.pool, kept.band].astype(float))

    def close(self, day: int, kept: Kept) -> None:
        """Add the day's expected impressions of each decision's user and creative to the recent ones."""
        t, p = self.year.traffic, self.pool
        mean = t.requests[day].sum(axis=0)[p.campaign] * t.win[day, p.campaign, self.group] * self.activity
        self.recent.append((mean * self.year.policy(day)[p.campaign, self.row, self.slot]).astype(np.float32))
