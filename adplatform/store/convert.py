"""Columns as they came to columns as the contract types them, and the first cell that will not go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from adplatform.contracts.tables import Column, Kind, Table

TYPES: Final = {
    Kind.STRING: pa.string(),
    Kind.INTEGER: pa.int64(),
    Kind.NUMBER: pa.float64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.TIMESTAMP: pa.timestamp("us", "UTC"),
    Kind.DATE: pa.date32(),
}
EXAMPLES: Final = {
    Kind.STRING: "text",
    Kind.INTEGER: "a whole number such as 3",
    Kind.NUMBER: "a number such as 0.25",
    Kind.BOOLEAN: "true or false",
    Kind.TIMESTAMP: "a UTC timestamp such as 2026-01-31T18:30:00Z, to the microsecond at most",
    Kind.DATE: "a date such as 2026-01-31",
}
LANDED_AT: Final = "landed_at"
_ZONE: Final = r"[T ]\d{2}:\d{2}.*(Z|[+-]\d{2}(:?\d{2})?)$"


def schema_of(spec: Table, landed: bool = False) -> pa.Schema:
    """The table's Arrow schema; with ``landed``, the store's own last column ``landed_at`` too."""
    fields = [pa.field(c.name, TYPES[c.kind]) for c in spec.columns]
    return pa.schema([*fields, pa.field(LANDED_AT, TYPES[Kind.TIMESTAMP])] if landed else fields)


class WrongTypeError(Exception):
    """The value at ``row`` (from 0) is not of the column's type."""

    def __init__(self, row: int) -> None:
        self.row = row
        super().__init__(f"row {row}")


def convert(column: Column, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """``values`` in the contract's type, nothing lost on the way. An empty string counts as missing.

    Raises WrongTypeError with the first row that is not of that type.
    """
    if isinstance(values.type, pa.DictionaryType):
        values = pc.cast(values, values.type.value_type)
    cast = _caster(column.kind, values.type)
    try:
        return cast(values)
    except (pa.ArrowException, OverflowError):
        raise WrongTypeError(_first_failing(values, cast)) from None


def _caster(kind: Kind, source: pa.DataType) -> Callable[[pa.ChunkedArray], pa.ChunkedArray]:
    """How a column of type ``source`` becomes ``kind``; the result raises ArrowException on a value that will not go."""
    target = TYPES[kind]
    if source == target and kind is not Kind.STRING:
        return lambda values: values
    if pa.types.is_null(source):
        return lambda values: pc.cast(values, target)
    if _is_text(source):
        return lambda values: _from_text(kind, pc.cast(values, pa.string()))
    plain = pa.types.is_integer(source) or pa.types.is_floating(source) or pa.types.is_decimal(source)
    if kind in (Kind.INTEGER, Kind.NUMBER) and plain:
        return lambda values: pc.cast(values, target)
    if pa.types.is_integer(source) and kind in (Kind.STRING, Kind.BOOLEAN):
        return lambda values: pc.cast(pc.cast(values, pa.string()), target)
    if pa.types.is_timestamp(source) and kind is Kind.TIMESTAMP:
        return lambda values: pc.cast(values, target)
    if kind is Kind.DATE and (pa.types.is_date(source) or pa.types.is_timestamp(source)):
        return _date
    return lambda values: _nulls_only(values, target)


def _is_text(source: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(source)
        or pa.types.is_large_string(source)
        or pa.types.is_string_view(source)
        or pa.types.is_binary(source)
        or pa.types.is_large_binary(source)
    )


def _from_text(kind: Kind, values: pa.ChunkedArray) -> pa.ChunkedArray:
    empty = pc.equal(values, "")
    if pc.any(empty).as_py():
        values = pc.if_else(empty, pa.scalar(None, pa.string()), values)
    if kind is Kind.STRING:
        return values
    if kind is Kind.TIMESTAMP:  # without a zone it is UTC, as the contract says
        zoned = pc.match_substring_regex(values, _ZONE)
        if not pc.all(zoned).as_py():
            values = pc.if_else(zoned, values, pc.binary_join_element_wise(values, "Z", ""))
    return pc.cast(values, TYPES[kind])


def _date(values: pa.ChunkedArray) -> pa.ChunkedArray:
    days = pc.cast(values, pa.date32())
    if not pc.all(pc.equal(pc.cast(days, values.type), values)).as_py():
        raise pa.ArrowInvalid("a time of day would be lost")
    return days


def _nulls_only(values: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    if values.null_count < len(values):
        raise pa.ArrowInvalid(f"{values.type} does not convert to {target}")
    return pa.chunked_array([pa.nulls(len(values), target)])


def _first_failing(values: pa.ChunkedArray, cast: Callable[[pa.ChunkedArray], pa.ChunkedArray]) -> int:
    """Index of the first value that ``cast`` refuses, by halving: a failing column costs about two passes."""
    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            cast(values.slice(low, middle - low))
            low = middle
        except (pa.ArrowException, OverflowError):
            high = middle
    return low
