"""Arrow columns in the landing schema, from integer codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adplatform.contracts.tables import TABLES, Kind
from adplatform.simulator.streams import Array

_TYPES = {
    Kind.STRING: pa.string(),
    Kind.INTEGER: pa.int64(),
    Kind.NUMBER: pa.float64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.TIMESTAMP: pa.timestamp("us", tz="UTC"),
    Kind.DATE: pa.date32(),
}


def schema(table: str) -> pa.Schema:
    """The landing schema of a table, columns in the contract's order."""
    return pa.schema([pa.field(c.name, _TYPES[c.kind]) for c in TABLES[table].columns])


def build(table: str, columns: Mapping[str, Any]) -> pa.Table:
    """A table in the landing schema; timestamps are given as int64 microseconds since 1970."""
    wanted = schema(table)
    arrays = []
    for field in wanted:
        column = columns[field.name]
        array = column if isinstance(column, pa.Array) else pa.array(column)
        arrays.append(array if array.type == field.type else array.cast(field.type))
    return pa.Table.from_arrays(arrays, schema=wanted)


def ids(prefix: str, numbers: Array, width: int) -> pa.Array:
    """Strings of ``prefix`` and ``width`` digits, e.g. u000123. Written as bytes: 20 times the speed of formatting."""
    count, lead = len(numbers), len(prefix)
    letters = np.empty((count, lead + width), dtype=np.uint8)
    letters[:, :lead] = np.frombuffer(prefix.encode("ascii"), dtype=np.uint8)
    kind: Any = np.uint32 if width < 10 else np.uint64
    rest = numbers.astype(kind)
    for place in range(lead + width - 1, lead - 1, -1):
        tens = rest // kind(10)
        letters[:, place] = (rest - tens * kind(10) + kind(48)).astype(np.uint8)
        rest = tens
    offsets = (np.arange(count + 1, dtype=np.int64) * (lead + width)).astype(np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(letters))


def words(vocabulary: Sequence[str], codes: Array) -> pa.Array:
    """The word of each code; null where the code is negative."""
    wide = codes.astype(np.int32)
    indices = pa.array(wide, mask=wide < 0) if (wide < 0).any() else pa.array(wide)
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(vocabulary), pa.string())).cast(pa.string())


def numbers_of(column: Any, lead: int) -> Array:
    """The inverse of ``ids``: the number after ``lead`` letters of each string of one width."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if len(array) == 0:
        return np.empty(0, dtype=np.int64)
    return np.asarray(pc.cast(pc.utf8_slice_codeunits(array, lead), pa.int64()).to_numpy(zero_copy_only=False))


def codes_of(column: Any, vocabulary: Sequence[str]) -> Array:
    """The inverse of ``words``: the index of each string in ``vocabulary``, -1 where it is null or unknown."""
    found = pc.index_in(column, value_set=pa.array(list(vocabulary), pa.string()))
    return np.asarray(pc.fill_null(found, -1).to_numpy()).astype(np.int64)


def microseconds(column: Any) -> Array:
    """Timestamps as int64 microseconds since 1970."""
    return np.asarray(column.cast(pa.int64()).to_numpy())
