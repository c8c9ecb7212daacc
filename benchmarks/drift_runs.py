"""One run of the claim ``drift``: a year watched day by day, with drift tried out on some days and taken back."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from scipy import special

from adplatform.monitoring.judging import REFERENCE_DAYS, Alarm, judge_day
from adplatform.monitoring.statistics import SCORES, Day, Library, stacked
from adplatform.settings import Settings
from adplatform.stats.drift import slope_deviations
from adplatform.targeting.response import ResponseModel
from adplatform.training import HELD_OUT_DAYS
from benchmarks.drift_days import Days, DrawnDays, RawDays
from benchmarks.drift_rows import Kept, examples
from benchmarks.drift_world import LEVELS, Drift, Year

WARM_UP: Final = 10
FIRST_TRAINED: Final = WARM_UP + 28
FIRST_JUDGED: Final = WARM_UP + REFERENCE_DAYS
MATURING_DAYS: Final = 3
LONGEST_DELAY: Final = 14
BUDGET: Final = float(Settings.model_fields["drift_budget"].default)
"""The product's own."""
Judge = Callable[..., list[Alarm]]


class Trial(NamedTuple):
    """A drift that was tried: on the first day, or for up to LONGEST_DELAY days."""

    drift: Drift
    delay: int | None
    """Days until the alarm, 0 for the first; None: none came."""
    first_day_only: bool


class Outcome(NamedTuple):
    """A run: what alarmed on each driftless day, and the trials."""

    rows: int
    source: str
    alarms: list[list[str]]
    trials: list[Trial]


class Watch:
    """A source of days with its champion and the last REFERENCE_DAYS days."""

    def __init__(self, source: Days, judge: Judge = judge_day) -> None:
        self.source, self.year, self._judge = source, source.year, judge
        self.kept: deque[tuple[int, Kept]] = deque(maxlen=REFERENCE_DAYS)
        self.days: deque[Day] = deque(maxlen=REFERENCE_DAYS)

    def train(self, seed: int) -> None:
        """A new champion from the days before the held-out ones; the reference is scored again, as the product does."""
        known = list(self.kept)[:-HELD_OUT_DAYS]
        self.source.take(ResponseModel.fit(examples(self.year, known), seed=seed, threads=1))
        self.days = deque((self.source.day(d, k) for d, k in self.kept), maxlen=REFERENCE_DAYS)

    def alarms(self, day: int, now: Day) -> list[str]:
        """Names of the statistics that alarm on the day ``now``."""
        days = stacked([*self.days, now])
        for late in (days.clicks, days.conversions):
            late[-MATURING_DAYS:] = 0.0
        weekday = self.year.weekday[day - len(self.days) : day + 1]
        return [a.tested.name for a in self._judge(days, weekday, LEVELS, self.year.library, BUDGET) if a.alarm]

    def first_day(self, day: int, drift: Drift) -> Trial:
        """Whether this drift, had it begun on this day, would alarm on it."""
        found = self.alarms(day, self.source.day(day, self.source.keep(day, drift)))
        return Trial(drift, 0 if found else None, True)

    def delay(self, day: int, drift: Drift) -> Trial:
        """Days until this drift, had it begun on this day, would alarm. The source must be drawn: it is copied."""
        other = copy.copy(self)
        other.source, other.days = copy.copy(self.source), copy.copy(self.days)
        if isinstance(other.source, DrawnDays):
            other.source.recent = copy.copy(other.source.recent)
        for late in range(min(LONGEST_DELAY, len(self.year.weekday) - day)):
            kept = other.source.keep(day + late, drift, again=1)
            now = other.source.day(day + late, kept)
            if other.alarms(day + late, now):
                return Trial(drift, late, False)
            other.days.append(now)
            other.source.close(day + late, kept)
        return Trial(drift, None, False)


class Plan(NamedTuple):
    """What a run does beside watching."""

    judged: int
    """Driftless days that are judged."""
    retrain_every: int
    first_days: tuple[Drift, ...]
    first_days_every: int
    delays: tuple[Drift, ...]
    delays_every: int


def watch(seed: int, rows: int, users: int, source: str, plan: Plan, judge: Judge = judge_day) -> Outcome:
    """One run."""
    year = Year(seed, rows, users)
    seen = Watch(RawDays(year) if source == "raw" else DrawnDays(year), judge)
    alarms, trials = [], []
    for day in range(FIRST_JUDGED + plan.judged):
        kept = seen.source.keep(day)
        if day >= FIRST_TRAINED and (day - FIRST_TRAINED) % plan.retrain_every == 0:
            seen.train(seed)
        if day >= FIRST_TRAINED:
            now = seen.source.day(day, kept)
            if day >= FIRST_JUDGED:
                alarms.append(seen.alarms(day, now))
                if (day - FIRST_JUDGED) % plan.first_days_every == 0:
                    trials += [seen.first_day(day, d) for d in plan.first_days]
                if source == "drawn" and (day - FIRST_JUDGED) % plan.delays_every == 0:
                    trials += [seen.delay(day, d) for d in plan.delays]
            seen.days.append(now)
        if day >= WARM_UP:
            seen.kept.append((day, kept))
        seen.source.close(day, kept)
    return Outcome(rows, source, alarms, trials)


def figures(day: Day, library: Library) -> dict[str, float]:
    """A day in figures that need no reference, to compare raw rows with drawn ones."""
    found = {
        f"{feature} = {LEVELS[feature][level]}": share
        for feature, table in day.population.items()
        for level, share in enumerate(table.sum(axis=0) / table.sum())
    }
    clicks, predicted = day.clicks_by_exposure, day.predicted_by_exposure
    found["clicks over predicted"] = float(clicks.sum() / predicted.sum())
    for band in range(clicks.shape[1]):
        found[f"share of clicks in exposure band {band}"] = float(clicks[:, band].sum() / clicks.sum())
    twice = np.stack([day.predicted_by_score, day.clicks_by_score])
    found["slope"] = float(slope_deviations(twice, np.stack([day.predicted_by_score] * 2), SCORES).value[-1])
    for name, code in zip(Library._fields, library, strict=True):
        member = (code[None, :] == np.unique(code)[:, None]).astype(float)
        y, e = member @ day.clicks_by_audience, member @ day.predicted_by_audience
        found[f"unevenness by {name}"] = float((((y - e) ** 2) / np.where(e > 0, e, 1.0)).sum())
    found["click rate of an even choice"] = float(day.weighted_clicks.sum() / day.weight.sum())
    found["conversions per click"] = float(day.conversions.sum() / day.clicks.sum())
    return found


def agreement(seed: int, rows: int, users: int, days: int = 5, draws: int = 60) -> dict[str, Any]:
    """Raw rows of ``days`` days against ``draws`` draws of each: z of every figure, which must be standard normal."""
    year = Year(seed, rows, users)
    raw, drawn = RawDays(year), DrawnDays(year)
    z: list[dict[str, float]] = []
    recent: list[tuple[int, Kept]] = []
    for day in range(WARM_UP + days):
        kept = raw.keep(day)
        if day == WARM_UP:
            champion = ResponseModel.fit(examples(year, recent), seed=seed, threads=1)
            raw.take(champion)
            drawn.take(champion)
        if day >= WARM_UP:
            real = figures(raw.day(day, kept), year.library)
            many = [figures(drawn.day(day, drawn.keep(day, again=1 + i)), year.library) for i in range(draws)]
            table = {name: np.array([m[name] for m in many]) for name in real}
            spread = {name: float(v.std(ddof=1)) * np.sqrt(1 + 1 / draws) for name, v in table.items()}
            z.append({n: float((real[n] - table[n].mean()) / spread[n]) for n in real if spread[n] > 0})
        recent.append((day, kept))
        raw.close(day, kept)
        drawn.close(day, kept)
    every = np.array([list(row.values()) for row in z])
    worst = np.unravel_index(np.abs(every).argmax(), every.shape)
    return {
        "days": days, "rows_a_day": rows, "figures": int(every.shape[1]), "draws": draws,
        "largest_z": float(every[worst]), "largest_z_of": list(z[0])[worst[1]], "mean_square_z": float((every**2).mean()),
        "limit": float(special.stdtrit(draws - 1, 1 - 0.01 / 2 / every.size)),
    }  # fmt: skip
