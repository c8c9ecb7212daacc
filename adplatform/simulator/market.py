"""The market: entities at once, events day by day in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from adplatform.simulator import events
from adplatform.simulator.config import Faults, MarketConfig
from adplatform.simulator.experiments import (
    Arms,
    Experiment,
    arms_of,
    assignments_table,
    draw_experiments,
    experiments_table,
)
from adplatform.simulator.exposures import Exposures
from adplatform.simulator.faults import Delivery, flipped, lateness
from adplatform.simulator.generator import HourGenerator, Impressions
from adplatform.simulator.outcomes import (
    Purchases,
    click_delays,
    click_purchases,
    joined,
    no_purchases,
    organic_purchases,
)
from adplatform.simulator.population import DAY_US, Population, draw_population, midnight_us
from adplatform.simulator.streams import Array, stream
from adplatform.simulator.traffic import Traffic, draw_traffic
from adplatform.simulator.world import World, campaigns_table, creatives_table, draw_world

if TYPE_CHECKING:
    from adplatform.simulator.oracle import Oracle

DAILY = ("impressions", "clicks", "conversions")


@dataclass(frozen=True)
class Day:
    """One day's events in the landing schema, in order of time. With faults: what arrived on that day."""

    date: date
    impressions: pa.Table
    clicks: pa.Table
    conversions: pa.Table


@dataclass(frozen=True)
class Trace:
    """One day as it was, for the oracle: hourly impressions (the true labels) and the day's exposure pairs."""

    hours: list[Impressions]
    pairs: Array
    seen: Array
    purchases: Purchases


class Market:
    """A seeded ad market. Equal configs (and faults) give equal bytes. Raises InputError for a fault outside the market's days."""

    def __init__(self, config: MarketConfig) -> None:
        self.config = config

    @cached_property
    def population(self) -> Population:
        """The users with their tastes: truth, not data."""
        return draw_population(self.config)

    @cached_property
    def world(self) -> World:
        """The true effects: truth, not data."""
        return draw_world(self.config, self.population)

    @cached_property
    def traffic(self) -> Traffic:
        """Requests, bids and budgets of each day."""
        return draw_traffic(self.config, self.population, self.world)

    @cached_property
    def designs(self) -> list[Experiment]:
        """The experiments with their enrolled users."""
        return draw_experiments(self.config, self.world)

    @cached_property
    def arms(self) -> Arms:
        """The experiments by campaign and user."""
        return arms_of(self.config, len(self.world.category), self.designs)

    def users(self) -> pa.Table:
        """Landing table ``users``."""
        return self.population.table()

    def campaigns(self) -> pa.Table:
        """Landing table ``campaigns``."""
        return campaigns_table(self.config, self.world, self.traffic.budget)

    def creatives_library(self) -> pa.Table:
        """Landing table ``creatives_library``."""
        return creatives_table(self.world)

    def experiments(self) -> pa.Table:
        """Landing table ``experiments``."""
        return experiments_table(self.config, self.designs)

    def assignments(self) -> pa.Table:
        """Landing table ``assignments``."""
        return assignments_table(self.config, self.designs)

    def hour_generator(self, faults: Faults) -> HourGenerator:
        """The generator of hours under those faults."""
        return HourGenerator(self.config, self.population, self.world, self.traffic, self.arms, self.designs, faults)

    def days(self, faults: Faults | None = None) -> Iterator[Day]:
        """The days in order. What has not occurred, or not arrived, by the last day's end is not there."""
        for day, tables, _ in self._run(faults or Faults()):
            yield Day(self.config.first_day + timedelta(days=day), *tables)

    def traces(self, faults: Faults | None = None) -> Iterator[Trace]:
        """The days as they were, before labels were flipped and rows came late."""
        for _, _, trace in self._run(faults or Faults(), tables=False):
            yield trace

    def oracle(self, faults: Faults | None = None) -> Oracle:
        """What is true of this market; under ``faults`` that change the market itself (drift), of that one."""
        from adplatform.simulator.oracle import Oracle

        return Oracle(self, faults or Faults())

    def write(
        self,
        directory: Path | str,
        faults: Faults | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> dict[str, list[Path]]:
        """Write ``<directory>/<table>.parquet`` and ``<directory>/<table>/<day>.parquet``; a file appears when it is whole.

        ``progress`` is called with (what, done, total) after each day. Returns the paths by table.
        """
        root = Path(directory)
        root.mkdir(parents=True, exist_ok=True)
        paths: dict[str, list[Path]] = {}
        for name in ("users", "campaigns", "creatives_library", "experiments", "assignments"):
            paths[name] = [_write(getattr(self, name)(), root / f"{name}.parquet")]
        for done, day in enumerate(self.days(faults), start=1):
            for name in DAILY:
                path = root / name / f"{day.date.isoformat()}.parquet"
                paths.setdefault(name, []).append(_write(getattr(day, name), path))
            if progress is not None:
                progress(day.date.isoformat(), done, self.config.days)
        return paths

    def _run(self, faults: Faults, tables: bool = True) -> Iterator[tuple[int, list[pa.Table], Trace]]:
        config = self.config
        delivery = Delivery(config, faults)
        generator = self.hour_generator(faults)
        exposures = Exposures(config.users, len(self.world.tone))
        clicks, bought = events.no_clicks(), no_purchases()
        for day in range(config.days):
            end = midnight_us(config) + (day + 1) * DAY_US
            hours: list[Impressions] = []
            shown: list[pa.Table] = []
            for hour in range(24):
                hours.append(generator.hour(day, hour, exposures))
                if tables:
                    shown.append(events.impressions(config, day, sum(len(h.user) for h in hours[:-1]), hours[-1]))
            pairs, seen = exposures.close_day(_column(hours, "user"), _column(hours, "creative"))
            late = lateness(config, faults, "impressions", day, sum(len(h.user) for h in hours))
            new_clicks, caused = self._follow(day, hours, faults, late)
            clicks = clicks + new_clicks
            organic = organic_purchases(config, self.population, self.world, day, end - DAY_US)
            bought = joined([bought, caused, organic])
            trace = Trace(hours, pairs, seen, bought.where(bought.at_us < end))
            arrived = (clicks.at_us < end) & (clicks.ready <= day)
            ready = []
            if tables:
                late_buys = lateness(config, faults, "conversions", day, len(trace.purchases.user))
                ready = [
                    delivery.arrive(day, "impressions", pa.concat_tables(shown), late),
                    delivery.arrive(
                        day, "clicks", events.clicks(config, clicks.where(arrived)), np.zeros(int(arrived.sum()))
                    ),
                    delivery.arrive(day, "conversions", events.conversions(config, day, trace.purchases), late_buys),
                ]
            yield day, ready, trace
            clicks, bought = clicks.where(~arrived), bought.where(bought.at_us >= end)

    def _follow(
        self, day: int, hours: list[Impressions], faults: Faults, late: Array
    ) -> tuple[events.Clicks, Purchases]:
        """The day's clicks as they are reported, and the purchases that the true ones cause."""
        generator = stream(self.config.seed, "outcomes", day)
        true = _column(hours, "clicked")
        at_us = _column(hours, "at_us") + click_delays(generator, len(true))
        own = np.flatnonzero(true)
        user, campaign = _column(hours, "user")[own], _column(hours, "campaign")[own]
        caused = click_purchases(generator, self.population, self.world, user, campaign, at_us[own])
        told = np.flatnonzero(flipped(self.config, faults, day, true))
        order = told[np.argsort(at_us[told], kind="stable")]
        return events.Clicks(np.full(len(order), day), order, at_us[order], day + late[order].astype(np.int64)), caused


def _column(hours: list[Impressions], name: str) -> Array:
    return np.concatenate([getattr(h, name) for h in hours])


def _write(table: pa.Table, path: Path) -> Path:
    """Write Parquet beside its place and rename it there. Ids are all different: no dictionary for them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unique = {"impression_id", "click_id", "conversion_id", "assignment_id"}
    half = path.with_name(path.name + ".part")
    try:
        pq.write_table(
            table, half, compression="zstd", use_dictionary=[n for n in table.column_names if n not in unique]
        )
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
    return path
