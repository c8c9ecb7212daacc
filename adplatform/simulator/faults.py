"""The switches that act on the files, not on the market: late rows, duplicates, units, columns, labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adplatform.contracts.errors import InputError
from adplatform.simulator.config import Faults, MarketConfig
from adplatform.simulator.streams import Array, stream


@dataclass
class Delivery:
    """Applies late arrival, duplicates, a changed unit and a missing column to a day's tables, day after day."""

    config: MarketConfig
    faults: Faults
    _waiting: dict[tuple[str, int], list[pa.Table]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        days = {"unit_change_day": self.faults.unit_change_day}
        if self.faults.missing_column is not None:
            days["missing_column"] = self.faults.missing_column[2]
        if self.faults.flipped_labels is not None:
            days["flipped_labels"] = self.faults.flipped_labels[0]
        for name, day in days.items():
            if day is not None and not self.config.first_day <= day <= self.config.last_day:
                raise InputError(
                    f"Faults.{name}",
                    f"{day} is not a day of the market",
                    f"take {self.config.first_day} to {self.config.last_day}",
                )

    def arrive(self, day: int, table: str, rows: pa.Table, lateness: Array) -> pa.Table:
        """What arrives on ``day`` of a daily table; ``lateness`` (rows,) says by how many days each row is late."""
        today = self.config.first_day + timedelta(days=day)
        for late in (1, 2):
            if (lateness == late).any():
                self._waiting.setdefault((table, day + late), []).append(rows.filter(pa.array(lateness == late)))
        if lateness.any():
            rows = rows.filter(pa.array(lateness == 0))
        waited = self._waiting.pop((table, day), [])
        if waited:
            rows = pa.concat_tables([rows, *waited])
        rows = self._in_other_unit(today, table, rows)
        rows = self._doubled(day, table, rows)
        missing = self.faults.missing_column
        if missing is not None and (missing[0], missing[2]) == (table, today):
            if missing[1] not in rows.column_names:
                raise InputError(
                    "Faults.missing_column",
                    f"{table} has no column {missing[1]!r}",
                    f"take one of {', '.join(rows.column_names)}",
                )
            rows = rows.drop_columns([missing[1]])
        return rows

    def _in_other_unit(self, today: date, table: str, rows: pa.Table) -> pa.Table:
        since = self.faults.unit_change_day
        if table != "impressions" or since is None or today < since:
            return rows
        place = rows.schema.get_field_index("price")
        return rows.set_column(place, rows.schema.field(place), pc.round(pc.multiply(rows["price"], 100.0), 6))

    def _doubled(self, day: int, table: str, rows: pa.Table) -> pa.Table:
        if self.faults.duplicate_share == 0.0 or rows.num_rows == 0:
            return rows
        generator = stream(self.config.seed, f"duplicates {table}", day)
        again = np.flatnonzero(generator.random(rows.num_rows) < self.faults.duplicate_share)
        order = np.sort(np.concatenate([np.arange(rows.num_rows), again]))
        return rows.take(pa.array(order))


def lateness(config: MarketConfig, faults: Faults, purpose: str, day: int, count: int) -> Array:
    """(count,) days by which each row is late: 0, 1 or 2."""
    if faults.late_share == 0.0:
        return np.zeros(count, dtype=np.int8)
    generator = stream(config.seed, f"late {purpose}", day)
    late = generator.random(count) < faults.late_share
    return np.where(late, generator.integers(1, 3, count), 0).astype(np.int8)


def flipped(config: MarketConfig, faults: Faults, day: int, clicked: Array) -> Array:
    """The click labels as they are reported on that day."""
    if faults.flipped_labels is None or config.first_day + timedelta(days=day) != faults.flipped_labels[0]:
        return clicked
    generator = stream(config.seed, "flipped labels", day)
    return np.asarray(clicked ^ (generator.random(len(clicked)) < faults.flipped_labels[1]))
