"""The daily statistics of drift, read from the marts and from the champion's predictions of the day's rows.

Population and reward come from the marts as sums. Calibration needs a prediction of every row: they are made once for
each day and champion, and their sums kept, so that a report at any size scores one new day.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adplatform.contracts.base import Message
from adplatform.contracts.errors import InputError
from adplatform.contracts.features import FEATURES
from adplatform.monitoring.statistics import BANDS, POPULATION, Day, Library, Scored, bands, calibration_tables, sums
from adplatform.state import State
from adplatform.targeting.features import numbers
from adplatform.targeting.response import Response

SCORES: Final = "drift_scores"


class ScoredDay(Message):
    """Calibration tables of one day under one champion; ``rows`` and ``clicks`` tell whether the day is still that day."""

    rows: int
    clicks: int
    creatives: tuple[str, ...]
    audiences: tuple[str, ...]
    tables: dict[str, list[list[float]]]


class Names(NamedTuple):
    """What the codes stand for."""

    days: list[date]
    campaigns: list[str]
    creatives: list[str]
    audiences: list[str]
    placements: list[str]
    library: Library


def names_of(state: State, today: date, most: int, since: date | None = None) -> Names:
    """The last ``most`` whole days before ``today``, none before ``since``. Raises InputError without one."""
    rows = state.warehouse.read(
        "select distinct event_day from reward_statistics_daily where event_day < ? and event_day >= ? order by 1",
        [today, since or date.min],
    )
    days = rows["event_day"].to_pylist()[-most:]
    if not days:
        raise InputError("reward_statistics_daily", f"no whole day before {today}", "land a day of impressions first")
    library = state.warehouse.read(
        "select creative_id, campaign_id, tone, appeal from dim_creatives order by 1"
    ).to_pylist()
    campaigns, audiences, placements = (
        state.warehouse.read(query).column(0).to_pylist()
        for query in (
            "select campaign_id from dim_creatives union select campaign_id from drift_statistics_daily order by 1",
            "select distinct audience from dim_users where audience is not null order by 1",
            "select distinct placement from reward_statistics_daily order by 1",
        )
    )
    campaign = np.array([campaigns.index(row["campaign_id"]) for row in library], dtype=int)
    tone, appeal = (np.unique([str(r[c]) for r in library], return_inverse=True)[1] for c in ("tone", "appeal"))
    codes = Library(campaign, tone, appeal)
    return Names(
        days, campaigns, [r["creative_id"] for r in library], [*audiences, "unknown"], placements, Library(*codes)
    )


def daily_statistics(
    state: State, names: Names, champion: str, model: Response
) -> tuple[Day, dict[str, Sequence[str]]]:
    """Stacked statistics of ``names.days`` under the champion, and the names of the traffic features' levels."""
    window_of = [names.days[0], names.days[-1]]
    traffic = state.warehouse.read("select * from drift_statistics_daily where event_day between ? and ?", window_of)
    reward = state.warehouse.read("select * from reward_statistics_daily where event_day between ? and ?", window_of)
    levels: dict[str, Sequence[str]] = {}
    population = {}
    for feature in POPULATION:
        rows = traffic.filter(pc.equal(traffic["feature"], feature))
        levels[feature] = sorted(set(rows["level"].to_pylist()))
        codes = [
            _codes(rows["event_day"], names.days),
            _codes(rows["campaign_id"], names.campaigns),
            _codes(rows["level"], levels[feature]),
        ]
        sizes = [len(names.days), len(names.campaigns), max(1, len(levels[feature]))]
        population[feature] = sums(codes, sizes, numbers(rows["impressions"]))
    at = [_codes(reward["event_day"], names.days), _codes(reward["creative_id"], names.creatives)]
    cell = [*at, numbers(reward["exposure_band"]).astype(int), _codes(reward["placement"], names.placements)]
    shape = [len(names.days), len(names.creatives), BANDS, len(names.placements)]
    of_campaign = [at[0], names.library.campaign[at[1]]]
    by_campaign = [len(names.days), len(names.campaigns)]
    weighed = {n: sums(cell, shape, numbers(reward[n])) for n in ("weight", "weighted_clicks", "squared_clicks")}
    rows_of = sums(at[:1], shape[:1], numbers(reward["impressions"]))
    clicks_of = sums(at[:1], shape[:1], numbers(reward["clicks"]))
    scored = [
        _scored_day(state, names, champion, model, day, int(rows_of[i]), int(clicks_of[i]))
        for i, day in enumerate(names.days)
    ]
    return Day(
        population=population, **weighed,
        **{name: np.stack([tables[name] for tables in scored]) for name in scored[0]},
        clicks=sums(of_campaign, by_campaign, numbers(reward["matured_clicks"])),
        conversions=sums(of_campaign, by_campaign, numbers(reward["conversions"])),
        reported=_reported(state, names.days),
    ), levels  # fmt: skip


def _scored_day(
    state: State, names: Names, champion: str, model: Response, day: date, rows: int, clicks: int
) -> dict[str, np.ndarray]:
    """Calibration tables of the day by today's codes; from the documents when the day has not changed."""
    key = f"{champion}_{day.isoformat()}"
    kept = state.documents.find(SCORES, key, ScoredDay)
    if kept is None or (kept.rows, kept.clicks) != (rows, clicks):
        table = state.warehouse.read(
            f"select {', '.join(FEATURES)}, clicked from training_examples where event_day = ?", [day]
        )
        kept = _score(names, model, table)
        state.documents.put(SCORES, key, kept)
    creative = np.array([names.creatives.index(c) for c in kept.creatives], dtype=int)
    audience = np.array([names.audiences.index(a) for a in kept.audiences], dtype=int)
    found = {}
    for name, values in kept.tables.items():
        by_audience = name.endswith("audience")
        out = np.zeros((len(names.creatives), len(names.audiences) if by_audience else len(values[0])))
        out[np.ix_(creative, audience if by_audience else np.arange(out.shape[1]))] = values
        found[name] = out
    return found


def _score(names: Names, model: Response, table: pa.Table) -> ScoredDay:
    clicked = numbers(table["clicked"])
    creatives = sorted(set(table["creative_id"].to_pylist()))
    places = sorted({p or "" for p in table["placement"].to_pylist()})
    position, hour = (np.nan_to_num(numbers(table[n])).astype(int) for n in ("position", "hour"))
    audience = _codes(pc.fill_null(table["audience"], "unknown"), names.audiences)
    scored = Scored(
        _codes(table["creative_id"], creatives), audience, bands(numbers(table["creative_exposures_7d"])),
        _codes(pc.fill_null(table["placement"], ""), places), position, hour, model.predict(table), clicked,
        np.ones(len(clicked)),
    )  # fmt: skip
    tables = calibration_tables(scored, len(creatives), len(names.audiences))
    return ScoredDay(
        rows=len(clicked), clicks=int(clicked.sum()), creatives=tuple(creatives), audiences=tuple(names.audiences),
        tables={name: values.tolist() for name, values in tables.items()},
    )  # fmt: skip


def _reported(state: State, days: Sequence[date]) -> np.ndarray:
    """(days,) share of each day's clicks that can have come in: by the delays of clicks on matured days."""
    rows = state.warehouse.read(
        """select datediff('day', event_day, cast((occurred_at + click_delay_seconds * interval 1 second) at time zone 'UTC' as date)) as late,
                  count(*) as clicks
           from fct_impressions where clicked = 1 and is_matured group by 1"""
    )
    late, clicks = numbers(rows["late"]), numbers(rows["clicks"])
    through = state.warehouse.data_through() or days[-1]
    share = []
    for day in days:
        known = float(clicks[late <= (through - day).days].sum() / clicks.sum()) if clicks.sum() else 1.0
        share.append(known if known > 0 else 1.0)
    return np.array(share)


def _codes(column: Any, levels: Sequence[Any]) -> np.ndarray:
    """Position of each value in ``levels``; a value that is not there has the last one's."""
    found = pc.index_in(column, value_set=pa.array(list(levels), column.type))
    return np.asarray(np.nan_to_num(numbers(found), nan=len(levels) - 1)).astype(np.int64)
