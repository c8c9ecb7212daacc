"""The landing zone: one validated, atomic way in for every row of behaviour data.

A file lands whole or not at all. Rows go to the UTC day they occurred on; an id is known once, whatever its day.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from adplatform.contracts.base import Message
from adplatform.contracts.errors import InputError
from adplatform.contracts.tables import TABLES, Table
from adplatform.settings import Settings
from adplatform.store import journal
from adplatform.store.atomic import disk_errors
from adplatform.store.convert import LANDED_AT
from adplatform.store.lock import store_lock
from adplatform.store.references import check_references, check_vanished
from adplatform.store.rows import Batch, canonical_order, make_batch, match, matched, with_landed_at
from adplatform.store.rules import Clock, validate
from adplatform.store.source import Source, checked_columns, read_source
from adplatform.store.zone import Zone, file_bytes

R = TypeVar("R")


class IngestReport(Message):
    """What came of one ingest. ``days`` are those whose rows changed."""

    table: str
    accepted: int
    """Rows that are new, or that changed under a replacement."""
    duplicates: int
    """Rows dropped because they are there already, byte for byte."""
    late: int
    """Accepted rows of a day before the newest day that was landed."""
    replaced: int
    """Landed rows that were changed or taken out."""
    days: tuple[date, ...] = ()


class _Change(Message):
    """Rows that one ingest adds, drops and takes out of the files."""

    accepted: int = 0
    duplicates: int = 0
    late: int = 0
    replaced: int = 0


class Landing:
    """The landing zone under ``settings.landing``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.zone = Zone(settings.landing)

    def ingest(
        self, table: str, path: Path | str, replace: date | None = None, now: datetime | None = None
    ) -> IngestReport:
        """Land a CSV or Parquet file. ``replace`` restates exactly that day of a daily table.

        Raises InputError (file, row, column, value, mend) when anything in it is wrong; nothing has changed then.
        SetupError when the disk is full or the lock is held too long.
        """
        spec = _spec(table, replace)
        return self._ingest(spec, read_source(spec, Path(path)), replace, now)

    def ingest_table(
        self,
        table: str,
        rows: pa.Table,
        source: str = "table",
        replace: date | None = None,
        now: datetime | None = None,
    ) -> IngestReport:
        """Land rows that are in memory, by the same rules; ``source`` names them in an error."""
        spec = _spec(table, replace)
        return self._ingest(spec, checked_columns(spec, Source(source, rows, lines=False)), replace, now)

    def days(self, table: str) -> tuple[date, ...]:
        """Days of a daily table that are landed, in order."""
        return self._steady(lambda: self.zone.days(_spec(table)))

    def read(self, table: str, day: date | None = None) -> pa.Table:
        """Rows of a day, or of the whole table, with ``landed_at``; no rows where nothing is landed."""
        spec = _spec(table)
        if day is not None or not spec.daily:
            return self._steady(lambda: self.zone.read(spec, day if spec.daily else None))
        return self._steady(
            lambda: pa.concat_tables(
                [self.zone.read(spec, None), *(self.zone.read(spec, d) for d in self.zone.days(spec))]
            )
        )

    def fingerprint(self, table: str, day: date | None = None) -> str | None:
        """Content hash of a day or of the whole table, None where nothing is landed. ``landed_at`` is left out."""
        spec = _spec(table)
        if day is None:
            return self._steady(lambda: self.zone.fingerprints(spec))
        return self._steady(lambda: self.zone.fingerprint(spec, day))

    def version(self) -> str:
        """Content hash of everything that is landed."""
        return self._steady(self.zone.version)

    def recover(self) -> None:
        """Complete or discard a commit that was cut off, as every ingest does first."""
        with store_lock(self.settings):
            pass

    def _steady(self, work: Callable[[], R]) -> R:
        """``work`` on files that do not change meanwhile: without the lock if that goes, else under it."""
        before = self._files()
        if before is not None:
            try:
                result = work()
            except FileNotFoundError:
                pass
            else:
                if self._files() == before:
                    return result
        with store_lock(self.settings):
            return work()

    def _files(self) -> dict[str, int] | None:
        """Inode of every landed file (a replaced file has another); None while a commit is under way."""
        if journal.pending(self.zone.root):
            return None
        return {str(p): p.stat().st_ino for p in self.zone.root.glob("*/*.parquet")}

    def _ingest(self, spec: Table, source: Source, replace: date | None, now: datetime | None) -> IngestReport:
        at = (now or datetime.now(UTC)).astimezone(UTC)
        table = validate(spec, source, Clock(at, self.settings.lateness_hours))
        batch = make_batch(spec, source, table)
        _check_day(spec, batch, replace)
        with disk_errors(f"landing {source.name}"), store_lock(self.settings):
            check_references(self.zone, spec, batch)
            if replace is None and spec.daily:
                change, tables = self._add(spec, batch, at)
            else:
                change, tables = self._replace(spec, batch, replace, at)
            if tables:
                files = {self.zone.name(spec, day): file_bytes(spec, rows) for day, rows in tables.items()}
                journal.commit(self.zone.root, files)
        days = tuple(sorted(day for day in tables if day is not None))
        return IngestReport(table=spec.name, days=days, **change.model_dump())

    def _add(self, spec: Table, batch: Batch, at: datetime) -> tuple[_Change, dict[date | None, pa.Table]]:
        """New rows beside the old ones, each in its own day."""
        known = self._known(spec, batch, None)
        fresh = np.flatnonzero(~known)
        days = _days(spec, batch.table)[fresh]
        landed = self.zone.days(spec)
        tables: dict[date | None, pa.Table] = {}
        for day in np.unique(days):
            added = with_landed_at(batch.table.take(pa.array(fresh[days == day])), at)
            there = self.zone.read(spec, day.item())
            both = pa.concat_tables([there, added]) if there.num_rows else added
            tables[day.item()] = both.take(pa.array(canonical_order(spec, both))) if there.num_rows else both
        late = int((days < np.datetime64(landed[-1])).sum()) if landed else 0
        return _Change(accepted=len(fresh), duplicates=batch.duplicates + int(known.sum()), late=late), tables

    def _replace(
        self, spec: Table, batch: Batch, day: date | None, at: datetime
    ) -> tuple[_Change, dict[date | None, pa.Table]]:
        """These rows in the place of a day's, or of the snapshot's. A row that stays the same keeps its ``landed_at``."""
        old = self.zone.read(spec, day)
        if spec.daily:
            self._known(spec, batch, day)
        check_vanished(self.zone, spec, batch, old, day)
        shared = match(spec, batch.table, old)
        stamps = np.full(batch.table.num_rows, np.datetime64(at.replace(tzinfo=None), "us"))
        stays = shared.new[shared.same]
        stamps[stays] = old[LANDED_AT].to_numpy()[shared.old[shared.same]].astype("datetime64[us]")
        change = _Change(
            accepted=batch.table.num_rows - len(stays),
            duplicates=batch.duplicates + len(stays),
            replaced=old.num_rows - len(stays),
        )
        if not change.accepted and not change.replaced:
            return change, {}
        kind = pa.timestamp("us", "UTC")
        return change, {day: with_landed_at(batch.table, pa.array(stamps).cast(pa.timestamp("us")).cast(kind))}

    def _known(self, spec: Table, batch: Batch, besides: date | None) -> np.ndarray:
        """Which rows are landed already, the same in every byte, outside the day ``besides``. Shape (rows,).

        Raises InputError where an id is landed with other values. Reads only keys, and only of files whose range of
        keys meets this batch's; whole rows only where an id is met.
        """
        known = np.zeros(batch.table.num_rows, dtype=bool)
        keys = batch.table[spec.key].combine_chunks()
        for day, found in self.zone.positions(spec, keys, besides):
            shared = matched(spec, batch.table, self.zone.read(spec, day), found)
            known[shared.new[shared.same]] = True
            _refuse_other(spec, batch, shared.new[~shared.same], day)
        return known


def _spec(table: str, replace: date | None = None) -> Table:
    if table not in TABLES:
        raise InputError(f"table {table}", "there is no such landing table", f"give one of {', '.join(TABLES)}")
    spec = TABLES[table]
    if replace is not None and not spec.daily:
        raise InputError(
            f"table {table}", "it has no days to replace", "leave out --replace: a snapshot is replaced whole"
        )
    return spec


def _days(spec: Table, table: pa.Table) -> np.ndarray:
    days: np.ndarray = table[str(spec.day_of)].cast(pa.date32()).to_numpy().astype("datetime64[D]")
    return days


def _check_day(spec: Table, batch: Batch, replace: date | None) -> None:
    """Raises InputError for the first row of another day than the one to replace."""
    if replace is None:
        return
    other = _days(spec, batch.table) != np.datetime64(replace)
    if other.any():
        row = int(batch.rows[other].min())
        at = int(np.flatnonzero(batch.rows == row)[0])
        value = batch.table[str(spec.day_of)][at].as_py().isoformat()
        where = batch.source.place(row, spec.day_of)
        raise InputError(
            where, f"{value!r} is not on {replace}", f"give only rows of {replace}; others go without --replace"
        )


def _refuse_other(spec: Table, batch: Batch, positions: np.ndarray, day: date) -> None:
    if not len(positions):
        return
    worst = int(positions[np.argmin(batch.rows[positions])])
    key = batch.table[spec.key][worst].as_py()
    where = batch.source.place(int(batch.rows[worst]), spec.key)
    mend = f"give the row its own id; to restate the day, give all its rows with --replace {day}"
    raise InputError(where, f"id {key!r} is landed on {day} with other values", mend)
