"""The true lift of an experiment: expected success of every enrolled user in either arm, day by day.

Impressions of a user are Poisson, so P(no success) = exp(-H) with H the expected number of successes, exposures and
all. The only approximation is that fatigue enters H by its mean (second order in H; tests compare with simulation).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from adplatform.contracts.errors import InputError
from adplatform.simulator.config import EXPOSURE_DAYS, GROUPS, Faults
from adplatform.simulator.experiments import NEVER, Experiment
from adplatform.simulator.market import Market
from adplatform.simulator.outcomes import delay_share, organic_rate, purchase_probability
from adplatform.simulator.response import ContextAverage, fatigue_factor
from adplatform.simulator.streams import Array, stream
from adplatform.simulator.traffic import drifted_activity
from adplatform.simulator.world import drift_effect, drifted_placements, utility

_DAY = 86_400


@dataclass(frozen=True)
class Schedule:
    """What each user of an experiment sees: nothing from ``dark_from`` on, creative ``fixed`` from ``fixed_from`` on."""

    users: Array
    assigned: Array
    dark_from: Array
    fixed: Array
    fixed_from: Array


@dataclass(frozen=True)
class Piece:
    """A stretch of a day, seconds: its share of the day's requests, and of the share what is bought by the end if at all."""

    start: int
    length: int
    share: float
    in_time: float


class Lifts:
    """Lift of each experiment of one market."""

    def __init__(self, market: Market, faults: Faults) -> None:
        self._market, self._faults = market, faults
        self._world, self._population = market.world, market.population
        self._averages: dict[tuple[int, bool], ContextAverage] = {}
        self._drift = drift_effect(market.world, market.population)
        self._cache: dict[str, tuple[Array, Array, Array]] = {}

    def rates(self, experiment_id: str) -> tuple[float, float]:
        """Mean success probability over the enrolled users, in control and in treatment."""
        _, control, treatment = self.users(experiment_id)
        return float(control.mean()), float(treatment.mean())

    def users(self, experiment_id: str) -> tuple[Array, Array, Array]:
        """Enrolled users, and the success probability of each in control and in treatment."""
        if experiment_id not in self._cache:
            found = {e.experiment_id: e for e in self._market.designs}
            if experiment_id not in found:
                raise InputError(
                    "experiment_id", f"unknown experiment {experiment_id!r}", f"take one of {', '.join(found)}"
                )
            e = found[experiment_id]
            control, treatment = (self._success(e, self._schedule(e, arm)) for arm in (0, 1))
            self._cache[experiment_id] = (e.users, control, treatment)
        return self._cache[experiment_id]

    def _schedule(self, e: Experiment, arm: int) -> Schedule:
        """An arm's schedule. Users treated in a holdout may be in a creative test: as many as in truth, drawn once."""
        count = len(e.users)
        never, none = np.full(count, NEVER, dtype=np.int64), np.full(count, -1)
        if not e.holdout:
            fixed = np.full(count, (e.control, e.treatment)[arm])
            return Schedule(e.users, e.assigned, never, fixed, e.assigned.astype(np.int64))
        if arm == 0:
            return Schedule(e.users, e.assigned, e.assigned.astype(np.int64), none, never)
        arms = self._market.arms
        like = e.users.copy()
        treated = e.users[e.treated]
        drawn = stream(self._market.config.seed, "lift", e.number).choice(treated, int((~e.treated).sum()))
        like[~e.treated] = drawn
        creatives = np.full((len(self._market.designs) + 1, 2), -1)
        for test in self._market.designs:
            creatives[test.number] = test.control, test.treatment
        fixed = creatives[arms.test[e.campaign, like], arms.arm[e.campaign, like]]
        return Schedule(e.users, e.assigned, never, fixed, arms.test_from[e.campaign, like].astype(np.int64))

    def _success(self, e: Experiment, plan: Schedule) -> Array:
        """(users,) P(at least one success between assignment and the end of the experiment's last day)."""
        world, traffic, c = self._world, self._market.traffic, e.campaign
        end = (e.last + 1) * _DAY
        category = np.array(world.category[c])
        expected = np.zeros(len(plan.users))
        if e.metric == "conversion":
            expected += organic_rate(world, self._population, plan.users, category) * (end - plan.assigned) / _DAY
            bought = purchase_probability(world, self._population, plan.users, category)
        logged: list[Array] = []
        fixed: list[Array] = []
        for day in range(e.last + 1):
            by_policy, by_test = self._rates(e, plan, day, logged, fixed)
            daily = self._impressions(plan.users, c, day)
            seen = np.zeros((2, len(plan.users)))
            share = traffic.requests[day, :, c] / max(traffic.requests[day, :, c].sum(), 1e-12)
            for index, pieces in _pieces(plan, day, share, end):
                for piece in pieces:
                    lit = _before(plan.dark_from[index], piece)
                    tested = (1 - _before(plan.fixed_from[index], piece)) * lit
                    seen[0, index] += piece.share * daily[index] * (lit - tested)
                    seen[1, index] += piece.share * daily[index] * tested
                    if e.metric == "click":
                        expected[index] += piece.share * daily[index] * tested * by_test[index]
                        continue
                    clicks = daily[index] * ((lit - tested) * by_policy[index] + tested * by_test[index])
                    wait = np.maximum(plan.assigned[index] - piece.start - piece.length / 2, 0) / _DAY
                    expected[index] += clicks * bought[index] * (piece.in_time - piece.share * delay_share(wait))
            logged.append(seen[0])
            fixed.append(seen[1])
        return np.asarray(-np.expm1(-expected))

    def _impressions(self, users: Array, campaign: int, day: int) -> Array:
        """(users,) impressions of the campaign expected on that day, were none dark."""
        traffic = self._market.traffic
        activity = (
            drifted_activity(self._population)
            if self._since(self._faults.traffic_drift_from, day)
            else self._population.activity
        )
        won = traffic.win[day, campaign, self._population.group[users]]
        return np.asarray(
            traffic.requests[day, :, campaign].sum() * won * activity[users] / activity.sum(dtype=np.int64)
        )

    def _rates(
        self, e: Experiment, plan: Schedule, day: int, logged: list[Array], fixed: list[Array]
    ) -> tuple[Array, Array]:
        """(users,) mean click rates on that day under the logging policy, and of the fixed creative."""
        population, fatigue = self._population, self._market.config.fatigue
        average = self._average(day)
        row = np.where(population.consent[plan.users], population.group[plan.users], GROUPS)
        zero = np.zeros(len(plan.users))
        by_policy_seen, by_test_seen = (sum(x[-EXPOSURE_DAYS:], zero) for x in (logged, fixed))
        by_policy, by_test = zero.copy(), zero.copy()
        for k, creative in enumerate(self._world.slots[e.campaign]):
            if creative < 0:
                continue
            chance = self._world.policy[e.campaign, row, k]
            rate = average(self._odds(plan.users, int(creative), day), population.device[plan.users])
            by_policy += chance * rate * fatigue_factor(chance * by_policy_seen, fatigue)
            by_test += np.where(
                plan.fixed == creative, rate * fatigue_factor(by_test_seen + chance * by_policy_seen, fatigue), 0.0
            )
        return by_policy, by_test

    def _odds(self, users: Array, creative: int, day: int) -> Array:
        world, population = self._world, self._population
        category = np.array(world.category[world.campaign[creative]])
        odds = utility(
            world, population, users, world.tone[creative], world.appeal[creative], world.quality[creative], category
        )
        if self._since(self._faults.taste_drift_from, day):
            odds = odds + self._drift[population.group[users], creative]
        return odds

    def _average(self, day: int) -> ContextAverage:
        weekday = (self._market.config.first_day.weekday() + day) % 7
        moved = self._since(self._faults.traffic_drift_from, day)
        if (weekday, moved) not in self._averages:
            placements = drifted_placements(self._world) if moved else None
            self._averages[weekday, moved] = ContextAverage(self._world, weekday, placements)
        return self._averages[weekday, moved]

    def _since(self, since: date | None, day: int) -> bool:
        return since is not None and day >= (since - self._market.config.first_day).days


def _pieces(plan: Schedule, day: int, share: Array, end: int) -> list[tuple[Array, list[Piece]]]:
    """(users, pieces of the day): hours for users whose schedule turns on that day or later, else the day as a whole."""
    first, last = day * _DAY, (day + 1) * _DAY
    settled = plan.assigned < first
    for moment in (plan.dark_from, plan.fixed_from):
        settled &= (moment < first) | (moment >= last)
    starts = first + 3600 * np.arange(24)
    in_time = share * delay_share((end - starts - 1800) / _DAY)
    hours = [Piece(int(s), 3600, float(w), float(t)) for s, w, t in zip(starts, share, in_time, strict=True)]
    whole = [Piece(first, _DAY, float(share.sum()), float(in_time.sum()))]
    return [(np.flatnonzero(settled), whole), (np.flatnonzero(~settled), hours)]


def _before(moment: Array, piece: Piece) -> Array:
    """Part of the piece that lies before each moment."""
    return np.asarray(np.clip((moment - piece.start) / piece.length, 0.0, 1.0))
