"""The rules of a landing table, as masks over whole columns; what breaks one is named by row, column and value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final, NamedTuple
from zoneinfo import available_timezones

import pyarrow as pa
import pyarrow.compute as pc

from adplatform.contracts.base import IDENTIFIER_PATTERN
from adplatform.contracts.errors import InputError
from adplatform.contracts.tables import Column, Kind, Table
from adplatform.store.convert import EXAMPLES, WrongTypeError, convert, schema_of
from adplatform.store.source import Source

SEGMENT_PARTS: Final = ("audience", "age_band")
"""Columns that make up a segment id, and so must read like an id themselves."""
ORDERED: Final = ("starts_on", "ends_on")
TOGETHER: Final = ("experiment_id", "arm")
ID_LENGTH: Final = 128
_ID = re.compile(IDENTIFIER_PATTERN)


class Problem(NamedTuple):
    """The first cell of a column that breaks a rule; ``row`` counts from 0."""

    row: int
    column: str
    value: Any
    problem: str
    mend: str


class Clock(NamedTuple):
    """What time it is, and how far ahead of it a timestamp may lie."""

    now: datetime
    lateness_hours: float

    @property
    def limit(self) -> datetime:
        """The last moment that is accepted."""
        return self.now + timedelta(hours=self.lateness_hours)


def validate(spec: Table, source: Source, clock: Clock) -> pa.Table:
    """The source's rows, typed as the contract has them. Raises InputError for the first row that breaks a rule."""
    columns: dict[str, pa.ChunkedArray] = {}
    problems: list[Problem] = []
    for column in spec.columns:
        raw = source.table[column.name]
        try:
            columns[column.name] = convert(column, raw)
        except WrongTypeError as error:
            value = raw[error.row].as_py()
            problem, mend = f"{shown(value)} is not of type {column.kind}", f"give {EXAMPLES[column.kind]}"
            problems.append(Problem(error.row, column.name, value, problem, mend))
            continue
        problems += _column_problems(column, columns[column.name], spec.key, clock)
    if len(columns) == len(spec.columns):
        problems += _row_problems(columns)
    if problems:
        first = min(problems, key=lambda p: p.row)
        raise InputError(source.place(first.row + 1, first.column), first.problem, first.mend)
    return pa.table([columns[c.name] for c in spec.columns], schema=schema_of(spec))


def shown(value: Any) -> str:
    """A value as an error line shows it: one line, cut short."""
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _column_problems(column: Column, values: pa.ChunkedArray, key: str, clock: Clock) -> Iterator[Problem]:
    if not column.nullable and values.null_count:
        row = _first(pc.is_null(values))
        yield Problem(row, column.name, None, "a value is missing", f"give {EXAMPLES[column.kind]}")
    if column.kind is Kind.NUMBER:
        yield from _broken(column, values, pc.is_finite(values), "is not a finite number", "give a finite number")
    if column.low is not None:
        said = f"is below the least allowed, {column.low:g}"
        yield from _broken(column, values, pc.greater_equal(values, column.low), said, f"give {column.low:g} or more")
    if column.high is not None:
        said = f"is above the most allowed, {column.high:g}"
        yield from _broken(column, values, pc.less_equal(values, column.high), said, f"give {column.high:g} or less")
    if column.kind is Kind.TIMESTAMP:
        limit = pa.scalar(clock.limit, values.type)
        said = f"is more than {clock.lateness_hours:g} h ahead of now ({clock.now:%Y-%m-%dT%H:%M:%SZ})"
        mend = "give it in UTC, and check the clock that wrote it"
        yield from _broken(column, values, pc.less_equal(values, limit), said, mend)
    if column.choices:
        allowed = " or ".join(column.choices)
        good = pc.or_(pc.is_in(values, pa.array(column.choices)), pc.is_null(values))
        yield from _broken(column, values, good, f"is not {allowed}", f"give {allowed}")
    yield from _text_problems(column, values, key)


def _text_problems(column: Column, values: pa.ChunkedArray, key: str) -> Iterator[Problem]:
    if column.kind is not Kind.STRING:
        return
    # A column with a reference needs no look at its letters: it must equal an id that was looked at.
    named = column.name.endswith("_id") and column.references is None
    if named or column.name in SEGMENT_PARTS:
        good = _each(values, _is_id) if column.name != key else _is_id(values)
        mend = "use letters, digits and . _ | : + -, a letter or digit first, 128 at most"
        yield from _broken(column, values, good, "cannot be an id", mend)
    if column.name == "timezone":
        good = _each(values, lambda v: pc.is_in(v, pa.array(_zones())))
        yield from _broken(column, values, good, "is no IANA time zone", "give a name such as Europe/Berlin")
    if column.name == "currency":
        good = _each(values, lambda v: pc.match_substring_regex(v, r"^[A-Z]{3}$"))
        yield from _broken(column, values, good, "is no ISO 4217 code", "give three capitals such as EUR")


def _row_problems(columns: dict[str, pa.ChunkedArray]) -> Iterator[Problem]:
    """Rules over two columns: dates in order, experiment and arm together."""
    if set(ORDERED) <= set(columns):
        first, last = (columns[name] for name in ORDERED)
        bad = pc.less(last, first)
        if pc.any(bad).as_py():
            row = _first(bad)
            said = f"{shown(last[row].as_py())} is before starts_on {shown(first[row].as_py())}"
            yield Problem(row, ORDERED[1], last[row].as_py(), said, "swap the dates")
    if set(TOGETHER) <= set(columns):
        experiment, arm = (columns[name] for name in TOGETHER)
        bad = pc.not_equal(pc.is_null(experiment), pc.is_null(arm))
        if pc.any(bad).as_py():
            row = _first(bad)
            said = f"{shown(arm[row].as_py())} goes with experiment {shown(experiment[row].as_py())}"
            yield Problem(row, TOGETHER[1], arm[row].as_py(), said, "give both experiment_id and arm, or neither")


def _broken(column: Column, values: pa.ChunkedArray, good: pa.ChunkedArray, said: str, mend: str) -> Iterator[Problem]:
    """The first value that is not good. A null neither holds nor breaks a rule."""
    if pc.all(good).as_py() is False:
        row = _first(pc.invert(good))
        value = values[row].as_py()
        yield Problem(row, column.name, value, f"{shown(value)} {said}", mend)


def _first(mask: pa.ChunkedArray) -> int:
    return int(pc.index(mask, pa.scalar(True)).as_py())


def _is_id(values: Any) -> Any:
    return pc.and_(
        pc.match_substring_regex(values, IDENTIFIER_PATTERN), pc.less_equal(pc.binary_length(values), ID_LENGTH)
    )


def _each(values: pa.ChunkedArray, rule: Any) -> pa.ChunkedArray:
    """``rule`` on each distinct value, spread to the rows: labels are few."""
    encoded = pc.dictionary_encode(values.combine_chunks())
    if len(encoded.dictionary) == 0:
        return pa.chunked_array([pa.nulls(len(values), pa.bool_())])
    return pa.chunked_array([rule(encoded.dictionary).take(encoded.indices)])


@cache
def _zones() -> tuple[str, ...]:
    return tuple(sorted(available_timezones()))
