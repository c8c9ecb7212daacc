"""The daily sufficient statistics that drift is judged on: counts by stratum, a few thousand numbers a day at any size.

From them a report can be made for any day without the day's rows. Arrays of a day stand in ``Day``; ``stacked`` puts
days together, (days, ...). Codes count from 0; what is unknown has the last code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
EXPOSURE_EDGES: Final = (1, 3, 6, 12)
BANDS: Final = len(EXPOSURE_EDGES) + 2
"""Bands of exposures in the last 7 days: 0, 1 to 2, 3 to 5, 6 to 11, 12 and more, unknown."""
SCORE_EDGES: Final = (-0.7, -0.45, -0.3, -0.15, 0.0, 0.15, 0.3, 0.45, 0.7)
SCORES: Final = np.array([-0.85, -0.57, -0.37, -0.22, -0.075, 0.075, 0.22, 0.37, 0.57, 0.85])
"""Middle of each bin of the relative score: the model's log-odds less their means by place, hour and creative, so how
much more than others it thinks that this user likes this creative."""
HOURS_OF_A_BLOCK: Final = 4
POPULATION: Final = ("audience", "age_band", "region", "device", "placement", "position", "hour")
"""What the traffic is looked at by, within each campaign. Features that count back in time (exposures, clicks of the last
days, tenure) move with campaigns, policies and the calendar, and are conditioned on instead."""
LARGEST_WEIGHT: Final = 100.0


class Scored(NamedTuple):
    """Rows of one day with the champion's predictions, as codes; several equal rows may be one with ``times`` > 1."""

    creative: NDArray[Any]
    audience: NDArray[Any]
    band: NDArray[Any]
    placement: NDArray[Any]
    position: NDArray[Any]
    hour: NDArray[Any]
    predicted: Floats
    """Click probability."""
    clicked: Floats
    """Clicks of the row, 0 to ``times``."""
    times: Floats


class Library(NamedTuple):
    """What the creatives are, as codes, each (J,)."""

    campaign: NDArray[Any]
    tone: NDArray[Any]
    appeal: NDArray[Any]


class Day(NamedTuple):
    """Sufficient statistics of one day, or of many with one more axis in front.

    J creatives, C campaigns, A audiences, X exposure bands, B score bins, P placements.
    """

    population: Mapping[str, Floats]
    """Feature -> (C, levels) impressions of campaigns that are on air all day."""
    clicks_by_exposure: Floats
    predicted_by_exposure: Floats
    """(J, X)."""
    clicks_by_score: Floats
    predicted_by_score: Floats
    """(J, B)."""
    clicks_by_audience: Floats
    predicted_by_audience: Floats
    """(J, A)."""
    weight: Floats
    weighted_clicks: Floats
    squared_clicks: Floats
    """(J, X, P): sums of 1/propensity, of clicks times it, and of clicks times its square."""
    clicks: Floats
    conversions: Floats
    """(C,): clicks of matured impressions, and those that led to a conversion."""
    reported: Floats
    """(): share of the day's clicks that can have come in by now."""


def bands(exposures: Floats) -> NDArray[Any]:
    """Code of each exposure count, NaN as unknown; shape as given."""
    known = np.isfinite(exposures)
    return np.where(known, np.searchsorted(EXPOSURE_EDGES, np.where(known, exposures, 0), side="right"), BANDS - 1)


def sums(codes: Sequence[NDArray[Any]], sizes: Sequence[int], values: Floats) -> Floats:
    """Sums of ``values`` by their codes, shape ``sizes``."""
    flat = np.ravel_multi_index(tuple(c.astype(np.int64) for c in codes), tuple(sizes))
    return np.bincount(flat, values, minlength=int(np.prod(sizes))).reshape(tuple(sizes)).astype(float)


def relative_score(rows: Scored) -> NDArray[Any]:
    """(rows,) bin of each row's log-odds, less their mean at its placement and position, hour, and creative on the day."""
    p = np.clip(rows.predicted, 1e-9, 1 - 1e-9)
    odds = np.log(p / (1 - p))
    place = rows.placement.astype(np.int64) * (int(rows.position.max(initial=0)) + 1) + rows.position.astype(np.int64)
    for code in (place, rows.hour.astype(np.int64), rows.creative.astype(np.int64)):
        total = np.bincount(code, rows.times)
        odds = odds - (np.bincount(code, rows.times * odds) / np.where(total > 0, total, 1.0))[code]
    return np.searchsorted(SCORE_EDGES, odds, side="right")


def calibration_tables(rows: Scored, creatives: int, audiences: int) -> dict[str, Floats]:
    """The six tables of clicks and predicted clicks of ``Day``."""
    bins, expected = relative_score(rows), rows.predicted * rows.times
    cells = {
        "exposure": ((rows.creative, rows.band), (creatives, BANDS)),
        "score": ((rows.creative, bins), (creatives, len(SCORES))),
        "audience": ((rows.creative, rows.audience), (creatives, audiences)),
    }
    found = {}
    for name, (codes, sizes) in cells.items():
        found[f"clicks_by_{name}"] = sums(codes, sizes, rows.clicked)
        found[f"predicted_by_{name}"] = sums(codes, sizes, expected)
    return found


def stacked(days: Sequence[Day]) -> Day:
    """Days in order, one more axis in front of every array."""
    population = {name: np.stack([d.population[name] for d in days]) for name in days[0].population}
    rest = {name: np.stack([getattr(d, name) for d in days]) for name in Day._fields if name != "population"}
    return Day(population=population, **rest)


def window(days: Day, first: int, last: int) -> Day:
    """Days ``first`` to ``last``, the last included, of stacked statistics."""
    part = slice(first, last + 1)
    population = {name: table[part] for name, table in days.population.items()}
    return Day(population=population, **{n: getattr(days, n)[part] for n in Day._fields if n != "population"})
