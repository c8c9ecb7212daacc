"""Every statistic of a day against its reference, all under one budget of false alarms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from adplatform.contracts.monitoring import DriftKind
from adplatform.monitoring.statistics import SCORES, Day, Floats, Library
from adplatform.stats.drift import (
    Deviations,
    Judgement,
    judge,
    ratio_deviations,
    slope_deviations,
    spread_deviations,
)

REFERENCE_DAYS: Final = 56
"""Eight of each weekday."""
SHARE_FLOOR: Final = 0.10
"""Relative change of a level's share. Bids that wander by 20 % a day move segments' shares by up to 4 %."""
SMALLEST_SHARE: Final = 0.01
"""Levels with less of the traffic are not tested."""
CLICKS_FLOOR: Final = 0.10
"""Relative change of clicks over expected: the promotion gate's own limit (verdicts.OBSERVED_OVER_EXPECTED)."""
SLOPE_FLOOR: Final = 0.25
"""Change of the calibration slope: the gate's own limit too (verdicts.CALIBRATION_SLOPE)."""
SPREAD_FLOOR: Final = 0.15
"""Relative standard deviation of clicks over expected between audiences."""
CONVERSION_FLOOR: Final = 0.20
LEVEL: Final = "clicks over predicted clicks"
SLOPE: Final = "slope of clicks on the model's score"
UNEVEN: Final = "unevenness of clicks over predicted clicks by audience and creative"
BOTH: Final = "slope and unevenness together"
PARTS: Final = {DriftKind.POPULATION: 0.15, DriftKind.CALIBRATION: 0.65, DriftKind.REWARD: 0.2}
"""Of the budget. Calibration has most: a day has few clicks, while traffic that matters shows in any part."""


class Tested(NamedTuple):
    """One statistic of one day. ``judged`` is None where the reference is too short."""

    kind: DriftKind
    name: str
    judged: Judgement | None
    value: float
    reference: float
    effect: float
    floor: float
    lag: int = 0
    """Days before the report's day that it is of."""


class Alarm(NamedTuple):
    """A statistic with the level it was tested at."""

    tested: Tested
    limit: float
    """z beyond which it alarms; infinite where it was not judged."""
    alarm: bool


def judge_day(
    days: Day, weekday: NDArray[Any], levels: Mapping[str, Sequence[str]], library: Library, budget: float
) -> list[Alarm]:
    """The last of ``days`` (stacked, the rest is its reference) by every statistic.

    ``levels`` names each population feature's levels, ``library`` says what the creatives are, ``budget`` is the chance
    of any alarm on a day without drift: ``PARTS`` of it for each kind, parted within by ``_weight`` (Bonferroni).
    """
    days, library = _on_air(days, library)
    found = [
        *_population(days, weekday, levels),
        *_calibration(days, weekday, library),
        *_reward(days, weekday, library.campaign),
    ]
    alarms = []
    for kind in DriftKind:
        own = [t for t in found if t.kind is kind]
        level = budget * PARTS[kind] / max(1.0, sum(_weight(t) for t in own))
        alarms += [_decided(t, level * _weight(t)) for t in own]
    return alarms


def _on_air(days: Day, library: Library) -> tuple[Day, Library]:
    """Without creatives and campaigns that no day of the window shows: most of a library at most times."""
    shown = days.predicted_by_exposure.sum(axis=(0, 2)) + days.weight.sum(axis=(0, 2, 3)) > 0
    by_creative = {
        n: getattr(days, n)[:, shown] for n in Day._fields if n.endswith(("_exposure", "_score", "_audience"))
    }
    by_creative |= {n: getattr(days, n)[:, shown] for n in ("weight", "weighted_clicks", "squared_clicks")}
    running = days.clicks.sum(axis=0) + sum(t.sum(axis=(0, 2)) for t in days.population.values()) > 0
    population = {name: table[:, running] for name, table in days.population.items()}
    by_campaign = {n: getattr(days, n)[:, running] for n in ("clicks", "conversions")}
    kept = days._replace(population=population, **by_creative, **by_campaign)
    return kept, Library(*(code[shown] for code in library))


def _weight(tested: Tested) -> float:
    """Parts of its kind's budget: the sharpest statistic has half of calibration's."""
    return 0.0 if tested.judged is None else 3.0 if tested.name == BOTH else 1.0


def _decided(tested: Tested, level: float) -> Alarm:
    if tested.judged is None:
        return Alarm(tested, float("inf"), False)
    sides = 1 if tested.name in (UNEVEN, BOTH) else 2
    limit = -float(special.stdtrit(tested.judged.freedom, level / sides))
    return Alarm(tested, limit, tested.judged.p < level and abs(tested.effect) >= tested.floor)


def _sum_of_z(*rising: Deviations) -> Deviations:
    """Stouffer's sum of statistics that rise with drift, each in its counting error."""
    with np.errstate(invalid="ignore", divide="ignore"):
        z = sum(d.value / np.sqrt(d.counting) for d in rising) / np.sqrt(len(rising))
    return Deviations(z, np.ones(len(z)), np.ones(len(z)))


def _ratio(kind: DriftKind, name: str, found: Deviations, weekday: NDArray[Any], floor: float, scale: float = 1.0,
           lag: int = 0) -> Tested:  # fmt: skip
    """``scale`` turns 1 + deviation into the figure that people know: a share, a rate."""
    judged = judge(found, weekday)
    now = 1 + float(found.value[-1]) if np.isfinite(found.value[-1]) else float("nan")
    effect = judged.effect if judged else float("nan")
    return Tested(kind, name, judged, now * scale, (now - effect) * scale, effect, floor, lag)


def _population(days: Day, weekday: NDArray[Any], levels: Mapping[str, Sequence[str]]) -> Iterator[Tested]:
    for feature, table in days.population.items():
        total = table.sum(axis=2)
        if not total[-1].sum():
            continue
        group = np.arange(table.shape[1])
        usual = table[:-1].sum(axis=(0, 1)) / max(total[:-1].sum(), 1.0)
        share = table[-1].sum(axis=0) / total[-1].sum()
        for code, level in enumerate(levels[feature]):
            # A level that was never seen has no ratio: it alarms by what it took from the levels that were.
            if usual[code] == 0 or max(usual[code], share[code]) < SMALLEST_SHARE:
                continue
            name = f"{feature} = {level}"
            deviations = ratio_deviations(table[:, :, code], total, group, share=True)
            now = 1 + float(deviations.value[-1])
            yield _ratio(DriftKind.POPULATION, name, deviations, weekday, SHARE_FLOOR, share[code] / max(now, 1e-9))


def _flat(table: Floats) -> Floats:
    return table.reshape(len(table), -1)


def _calibration(days: Day, weekday: NDArray[Any], library: Library) -> Iterator[Tested]:
    kind, part = DriftKind.CALIBRATION, days.reported[:, None, None]
    clicks, predicted = days.clicks_by_exposure, days.predicted_by_exposure * part
    group = np.repeat(library.campaign, clicks.shape[2])
    level = ratio_deviations(_flat(clicks), _flat(predicted), group)
    yield _ratio(kind, LEVEL, level, weekday, CLICKS_FLOOR)
    slope = slope_deviations(days.clicks_by_score, days.predicted_by_score * part, SCORES)
    told = _ratio(kind, SLOPE, slope, weekday, SLOPE_FLOOR)
    yield told
    audiences = days.clicks_by_audience.shape[2]
    clicks, predicted = _flat(days.clicks_by_audience), _flat(days.predicted_by_audience * part)
    spreads = [spread_deviations(clicks, predicted, _cells(code, audiences)) for code in library]
    now = max(float(size[-1]) for _, size in spreads)
    effect, usual = max((_excess(size), _usual(size)) for _, size in spreads)
    unevenness = _sum_of_z(*(d for d, _ in spreads))
    uneven = judge(unevenness, weekday, two_sided=False)
    yield Tested(kind, UNEVEN, uneven, now, usual, effect, SPREAD_FLOOR)
    # Both move when groups' tastes do, and counting errs in them independently: together they see it sooner.
    both = judge(_sum_of_z(slope._replace(value=-slope.value), unevenness), weekday, two_sided=False)
    floors = float(np.nanmax([effect / SPREAD_FLOOR, -told.effect / SLOPE_FLOOR]))
    yield Tested(kind, BOTH, both, both.z if both else float("nan"), 0.0, floors, 1.0)


def _cells(code: NDArray[Any], audiences: int) -> NDArray[Any]:
    """(J x A,) the cell (code, audience) of each creative and audience."""
    number = np.unique(code, return_inverse=True)[1]
    return (number[:, None] * audiences + np.arange(audiences)).ravel()


def _usual(size: Floats) -> float:
    before = size[:-1][np.isfinite(size[:-1])]
    return float(np.sqrt((before**2).mean())) if len(before) else float("nan")


def _excess(size: Floats) -> float:
    """Relative standard deviation between cells beyond the usual one."""
    return float(np.sqrt(max(0.0, float(size[-1]) ** 2 - _usual(size) ** 2)))


def _reward(days: Day, weekday: NDArray[Any], campaign: NDArray[Any]) -> Iterator[Tested]:
    kind = DriftKind.REWARD
    weight = _flat(days.weight * days.reported[:, None, None, None])
    clicks, squares = _flat(days.weighted_clicks), _flat(days.squared_clicks)
    group = np.repeat(campaign, days.weight.shape[2] * days.weight.shape[3])
    found = ratio_deviations(clicks, weight, group, squares)
    rate = float(clicks[-1].sum() / weight[-1].sum()) if weight[-1].sum() else float("nan")
    scale = rate / max(1 + float(found.value[-1]), 1e-9)
    yield _ratio(kind, "click rate of an even choice", found, weekday, CLICKS_FLOOR, scale)
    matured = np.flatnonzero(days.clicks.sum(axis=1) > 0)
    if len(matured) >= 2 and days.conversions.sum() > 0:
        last = int(matured[-1])
        won, out = days.conversions[: last + 1], days.clicks[: last + 1]
        found = ratio_deviations(won, out, np.arange(out.shape[1]), share=True)
        scale = float(won[-1].sum() / out[-1].sum()) / max(1 + float(found.value[-1]), 1e-9)
        lag = len(days.clicks) - 1 - last
        yield _ratio(kind, "conversions per click", found, weekday[: last + 1], CONVERSION_FLOOR, scale, lag)
