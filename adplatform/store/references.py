"""References between landing tables: what a row names must be landed, and what is named may not vanish."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from adplatform.contracts.errors import InputError
from adplatform.contracts.tables import TABLES, Column, Table
from adplatform.store.rows import Batch
from adplatform.store.zone import Zone


def check_references(zone: Zone, spec: Table, batch: Batch) -> None:
    """Raises InputError for the first row that names an id which is not landed."""
    problems = []
    for column in spec.columns:
        if column.references is None:
            continue
        unknown = _not_landed(zone, column, batch.table[column.name])
        if len(unknown):
            bad = pc.is_in(batch.table[column.name], value_set=unknown).to_numpy()
            row = int(batch.rows[bad].min())
            value = batch.table[column.name].filter(pa.array(bad & (batch.rows == row)))[0].as_py()
            problems.append((row, column, value))
    if problems:
        row, column, value = min(problems, key=lambda p: p[0])
        table, _, name = str(column.references).partition(".")
        raise InputError(
            batch.source.place(row, column.name),
            f"{value!r} is no {name} of {table}",
            f"ingest {table} first, or mend the id",
        )


def _not_landed(zone: Zone, column: Column, values: pa.ChunkedArray) -> pa.Array:
    """The distinct values that the column's reference does not have."""
    table, _, name = str(column.references).partition(".")
    other = TABLES[table]
    open_values = pc.drop_null(pc.unique(values))
    for part in reversed(zone.parts(other)):  # the newest day first: a click names an impression of its day
        if not len(open_values):
            break
        landed = zone.read(other, part, [name])[name]
        known = pc.is_in(open_values, value_set=landed.combine_chunks())
        open_values = open_values.filter(pc.invert(known))
    return open_values


def _users_of(spec: Table) -> Iterator[tuple[str, Table, Column]]:
    """Who names this table: its own column, the other table and the other's column."""
    for other in TABLES.values():
        for column in other.columns:
            table, _, name = (column.references or "").partition(".")
            if table == spec.name:
                yield name, other, column


def check_vanished(zone: Zone, spec: Table, batch: Batch, old: pa.Table, replace: date | None) -> None:
    """Raises InputError when ``batch``, put in place of ``old``, leaves out an id that another table names."""
    for name, other, column in _users_of(spec):
        before = pc.drop_null(pc.unique(old[name]))
        gone = before.filter(pc.invert(pc.is_in(before, value_set=batch.table[name].combine_chunks())))
        if not len(gone):
            continue
        for part in zone.parts(other):
            named = zone.read(other, part, [column.name])[column.name]
            used = pc.drop_null(named.filter(pc.is_in(named, value_set=gone)))
            if len(used):
                _refuse(spec, batch, name, used[0].as_py(), other, part, replace)


def _refuse(
    spec: Table, batch: Batch, name: str, value: str, other: Table, part: date | None, replace: date | None
) -> None:
    place = f"{other.name} of {part}" if part else other.name
    instead = f"ingest {other.name} {f'with --replace {part} ' if part else ''}without it first"
    keep = f"keep its row, or {instead}"
    if spec.name == "users":
        keep = "keep its row (with consent false where the person objects)"
    where = f"{batch.source.name}, column {name}"
    left = f"of {replace} " if replace else ""
    raise InputError(where, f"{value!r} {left}is left out but in use by {place}", keep)
