"""Rows by their key: canonical order, content hash, and which rows are new, the same, or other."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adplatform.contracts.errors import InputError
from adplatform.contracts.tables import Table
from adplatform.store.convert import LANDED_AT
from adplatform.store.source import Source


class Batch(NamedTuple):
    """Valid rows of one source, each id once, in canonical order; ``rows`` their row numbers there (from 1)."""

    source: Source
    table: pa.Table
    rows: np.ndarray
    duplicates: int
    """Rows dropped because the same source had them before, byte for byte."""


def canonical_order(spec: Table, table: pa.Table) -> np.ndarray:
    """Indices that put rows in the order the store keeps: by time, then key (a snapshot: by key)."""
    names = [spec.day_of, spec.key] if spec.day_of else [spec.key]
    order: np.ndarray = pc.sort_indices(
        table.select(names), sort_keys=[(name, "ascending") for name in names]
    ).to_numpy()
    return order


def equal_rows(left: pa.Table, right: pa.Table, names: tuple[str, ...]) -> np.ndarray:
    """Row by row, whether all of ``names`` are equal; null equals null. Shape (rows,)."""
    same = np.ones(left.num_rows, dtype=bool)
    for name in names:
        one, other = left[name], right[name]
        both_null = pc.and_(pc.is_null(one), pc.is_null(other))
        same &= pc.or_kleene(both_null, pc.fill_null(pc.equal(one, other), False)).to_numpy()
    return same


def make_batch(spec: Table, source: Source, table: pa.Table) -> Batch:
    """Drop repeats within the source and sort. Raises InputError where one id has two contents."""
    order = canonical_order(spec, table)
    in_order = bool((order == np.arange(len(order))).all())
    taken = table.combine_chunks() if in_order else table.take(pa.array(order)).combine_chunks()
    rows = order.astype(np.int64) + 1
    keys = taken[spec.key]
    if _ascending(table[spec.key]) or pc.count_distinct(keys).as_py() == taken.num_rows:
        return Batch(source, taken, rows, 0)
    first = _first_of_each(keys, rows)
    repeated = np.flatnonzero(first != np.arange(len(rows)))
    same = equal_rows(taken.take(pa.array(repeated)), taken.take(pa.array(first[repeated])), spec.names)
    if not same.all():
        worst = repeated[~same][np.argmin(rows[repeated[~same]])]
        where = source.place(int(rows[worst]), spec.key)
        problem = f"id {keys[int(worst)].as_py()!r} is in row {rows[first[worst]]} with other values"
        raise InputError(where, problem, "give each row its own id, or remove one of the two")
    kept = np.setdiff1d(np.arange(len(rows)), repeated)
    return Batch(source, taken.take(pa.array(kept)).combine_chunks(), rows[kept], len(repeated))


def _ascending(keys: pa.ChunkedArray) -> bool:
    """Whether each key is greater than the one before: numbered ids are, and 5 M need no look-up (5 s) then."""
    whole = keys.combine_chunks()
    return bool(pc.all(pc.less(whole[:-1], whole[1:])).as_py())


def _first_of_each(keys: pa.ChunkedArray, rows: np.ndarray) -> np.ndarray:
    """For each position, the position of the same key that has the lowest row number."""
    codes = pc.dictionary_encode(keys.combine_chunks()).indices.to_numpy()
    order = np.lexsort((rows, codes))
    starts = np.r_[True, np.diff(codes[order]) != 0]
    first = np.empty(len(rows), dtype=np.int64)
    first[order] = order[np.maximum.accumulate(np.where(starts, np.arange(len(rows)), 0))]
    return first


class Matches(NamedTuple):
    """Ids that ``new`` and ``old`` share: positions in each, and whether the rows are the same, byte for byte."""

    new: np.ndarray
    old: np.ndarray
    same: np.ndarray


def match(spec: Table, new: pa.Table, old: pa.Table) -> Matches:
    """Where the rows of ``new`` and ``old`` share an id."""
    found = pc.index_in(old[spec.key], value_set=new[spec.key].combine_chunks())
    return matched(spec, new, old, found)


def matched(spec: Table, new: pa.Table, old: pa.Table, found: pa.ChunkedArray) -> Matches:
    """The same, where ``found`` has for each row of ``old`` its position in ``new``, or null."""
    old_at = np.flatnonzero(pc.is_valid(found).to_numpy())
    new_at = pc.drop_null(found).to_numpy().astype(np.int64)
    same = equal_rows(new.take(pa.array(new_at)), old.take(pa.array(old_at)), spec.names)
    return Matches(new_at, old_at, same)


def with_landed_at(table: pa.Table, at: Any) -> pa.Table:
    """The rows with the store's own last column: ``at`` is one moment, or an array of them."""
    kind = pa.timestamp("us", "UTC")
    values = at if isinstance(at, (pa.Array, pa.ChunkedArray)) else pa.repeat(pa.scalar(at, kind), table.num_rows)
    return table.append_column(pa.field(LANDED_AT, kind), values)


def content_hash(table: pa.Table) -> str:
    """SHA-256 of the rows, whatever chunks they lie in. ``landed_at`` is left out: when is not what."""
    digest = hashlib.sha256(str(table.num_rows).encode())
    for name in table.column_names:
        if name != LANDED_AT:
            digest.update(f"|{name}:{table.schema.field(name).type}|".encode())
            digest.update(_column_digest(table[name]))
    return digest.hexdigest()


def _column_digest(column: pa.ChunkedArray) -> bytes:
    validity, lengths, data = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    for chunk in column.chunks:
        validity.update(pc.cast(pc.is_valid(chunk), pa.uint8()).to_numpy().tobytes())
        if pa.types.is_string(chunk.type):
            filled = pc.fill_null(chunk, "")
            sizes = pc.binary_length(filled).to_numpy()
            lengths.update(sizes.tobytes())
            offsets, text = filled.buffers()[1:]
            bounds = np.frombuffer(offsets, dtype=np.int32)[filled.offset :][: len(filled) + 1]
            if text is not None:
                data.update(memoryview(text)[int(bounds[0]) : int(bounds[-1])])
        else:
            width = {1: pa.uint8(), 32: pa.int32()}.get(chunk.type.bit_width)
            plain = pc.cast(chunk, width) if width else chunk.view(pa.int64())
            data.update(pc.fill_null(plain, 0).to_numpy().tobytes())
    return validity.digest() + lengths.digest() + data.digest()
