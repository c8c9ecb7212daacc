"""Decisions of the claim's market as code columns, and a day of them as the sufficient statistics of drift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from adplatform.contracts.features import FEATURES, LABEL
from adplatform.monitoring.statistics import BANDS, POPULATION, Day, Scored, calibration_tables, sums
from adplatform.simulator.config import APPEALS, CATEGORIES, PLACEMENTS, TONES
from adplatform.simulator.streams import Array, stream
from adplatform.targeting.response import ResponseModel
from benchmarks.drift_world import CAMPAIGNS, FIRST_DAY, LEVELS, Year

BAND_EXPOSURES: Final = np.array([0.0, 2.0, 4.0, 8.0, 16.0, np.nan])
"""What the champion is told of exposures: one value for each band, so that its answers can be tabulated."""
OF_USER: Final = {"audience": "audience", "age_band": "age", "region": "region", "device": "device"}
"""Feature -> column of the population."""


class Decisions(NamedTuple):
    """Decisions in columns, as codes."""

    user: Array
    campaign: Array
    creative: Array
    placement: Array
    position: Array
    hour: Array


class Kept(NamedTuple):
    """What came of a day's decisions; equal ones may be one with ``times`` > 1."""

    rows: Decisions
    band: Array
    """Exposure band."""
    propensity: Array
    times: Array
    clicked: Array
    bought: Array
    pool: Array | None = None
    """Where the decisions lie in the pool of ``DrawnDays``."""


def levels_of(year: Year, rows: Decisions) -> dict[str, tuple[Sequence[str], Array]]:
    """Categorical features of the decisions: their levels and codes, -1 without consent."""
    users, world = year.population, year.world
    known = users.consent[rows.user]
    found: dict[str, tuple[Sequence[str], Array]] = {
        name: (LEVELS[name][:-1], np.where(known, getattr(users, column)[rows.user], -1))
        for name, column in OF_USER.items()
    }
    found["placement"] = (PLACEMENTS, rows.placement)
    found["product_category"] = (CATEGORIES, world.category[rows.campaign])
    found["tone"], found["appeal"] = (TONES, world.tone[rows.creative]), (APPEALS, world.appeal[rows.creative])
    found["creative_id"] = ([f"cr{j + 1:03d}" for j in range(len(world.tone))], rows.creative)
    return found


def matrix(year: Year, rows: Decisions, band: Array, champion: ResponseModel) -> Array:
    """What ``champion.encoder`` makes of the decisions.

    The user's history is unknown and the weekday withheld: the weekly cycle stays in the model's errors.
    """
    out = np.full((len(rows.user), len(FEATURES)), np.nan, dtype=np.float32)
    for name, (levels, code) in levels_of(year, rows).items():
        index = {v: float(i) for i, v in enumerate(champion.encoder.categories[name])}
        out[:, FEATURES.index(name)] = np.array([*(index.get(level, np.nan) for level in levels), np.nan])[code]
    out[:, FEATURES.index("hour")], out[:, FEATURES.index("position")] = rows.hour, rows.position + 1
    out[:, FEATURES.index("creative_exposures_7d")] = BAND_EXPOSURES[band]
    return out


def examples(year: Year, days: Sequence[tuple[int, Kept]], most: int = 12_000) -> pa.Table:
    """Rows of training_examples of those days, about ``most`` a day at the most."""
    parts = []
    for day, kept in days:
        generator = stream(year.seed, "examples", day)
        each = np.repeat(np.arange(len(kept.times)), kept.times)
        nth = np.arange(len(each)) - np.repeat(np.cumsum(kept.times) - kept.times, kept.times)
        clicked = (nth < kept.clicked[each]).astype(np.int64)
        chosen = np.flatnonzero(generator.random(len(each)) < most / max(len(each), 1))
        rows, band = Decisions(*(c[each[chosen]] for c in kept.rows)), kept.band[each[chosen]]
        columns: dict[str, Any] = {
            name: pa.array(np.array([*levels, None], dtype=object)[code], pa.string())
            for name, (levels, code) in levels_of(year, rows).items()
        }
        columns["hour"] = pa.array(rows.hour, pa.float64())
        columns["position"] = pa.array(rows.position + 1, pa.float64())
        columns["creative_exposures_7d"] = pa.array(BAND_EXPOSURES[band], pa.float64(), from_pandas=True)
        nothing = pa.nulls(len(chosen), pa.float64())
        table = pa.table({name: columns.get(name, nothing) for name in FEATURES})
        table = table.append_column(LABEL, pa.array(clicked[chosen]))
        date = np.full(len(chosen), np.datetime64(FIRST_DAY) + day)
        parts.append(table.append_column("event_day", pa.array(date, pa.date32())))
    return pa.concat_tables(parts)


def statistics(year: Year, day: int, kept: Kept, predicted: Array) -> Day:
    """The day's sufficient statistics under those predictions."""
    rows, users = kept.rows, year.population
    known, count = users.consent[rows.user], kept.times.astype(float)
    codes = {"placement": rows.placement, "position": rows.position, "hour": rows.hour // 4}
    for name, column in OF_USER.items():
        codes[name] = np.where(known, getattr(users, column)[rows.user], len(LEVELS[name]) - 1)
    whole = count * year.whole_day[day, rows.campaign]
    population = {n: sums((rows.campaign, codes[n]), (CAMPAIGNS, len(LEVELS[n])), whole) for n in POPULATION}
    clicked, creatives = kept.clicked.astype(float), len(year.world.tone)
    scored = Scored(
        rows.creative, codes["audience"], kept.band, rows.placement, rows.position, rows.hour, predicted, clicked, count
    )
    cells, shape = (rows.creative, kept.band, rows.placement), (creatives, BANDS, len(PLACEMENTS))
    return Day(
        population=population,
        **calibration_tables(scored, creatives, len(LEVELS["audience"])),
        weight=sums(cells, shape, count / kept.propensity),
        weighted_clicks=sums(cells, shape, clicked / kept.propensity),
        squared_clicks=sums(cells, shape, clicked / kept.propensity**2),
        clicks=sums((rows.campaign,), (CAMPAIGNS,), clicked),
        conversions=sums((rows.campaign,), (CAMPAIGNS,), kept.bought.astype(float)),
        reported=np.array(1.0),
    )
