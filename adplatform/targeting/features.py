"""Features of the request, once for both planes: encoding for the models, and candidate rows for the policies."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adplatform.contracts.errors import InputError
from adplatform.contracts.features import CATEGORICAL, CONTEXT_FEATURES, FEATURES, NUMERIC
from adplatform.contracts.targeting import CreativeAttributes

CREATIVE_COLUMNS = ("creative_id", "product_category", "tone", "appeal", "creative_exposures_7d")
"""Columns of a row that belong to the creative, not to the context."""
_CONTEXT_AT: Final = [(name, FEATURES.index(name), name in CATEGORICAL) for name in CONTEXT_FEATURES]
_ATTRIBUTES: Final = ("product_category", "tone", "appeal", "creative_id")
_ATTRIBUTES_AT: Final = slice(FEATURES.index(_ATTRIBUTES[0]), FEATURES.index(_ATTRIBUTES[-1]) + 1)
_EXPOSURES_AT: Final = FEATURES.index("creative_exposures_7d")


@dataclass(frozen=True, slots=True)
class RequestFeatures:
    """The features of one request: ``context`` (CONTEXT_FEATURES, ``None`` where unknown), the candidates, and
    ``exposures``: ``creative_exposures_7d`` of each candidate, ``None`` without a known user.

    What a decision log keeps of a decision makes one again, and with it the same matrix and the same probabilities.
    Raises InputError without a candidate.
    """

    context: Mapping[str, str | float | None]
    creatives: Sequence[CreativeAttributes]
    exposures: Sequence[float | None]

    def __post_init__(self) -> None:
        if not self.creatives or len(self.creatives) != len(self.exposures):
            found = f"{len(self.creatives)} candidates and {len(self.exposures)} exposures"
            raise InputError("creatives", found, "give at least one creative, and one exposure for each")

    def table(self) -> pa.Table:
        """The same as rows of ``training_examples``, one for each candidate, with the columns FEATURES."""
        contexts = pa.table(
            {
                name: pa.array([self.context[name]], pa.string() if text else pa.float64())
                for name, _, text in _CONTEXT_AT
            }
        )
        rows = with_candidates(contexts, self.creatives)
        at = rows.column_names.index("creative_exposures_7d")
        column = pa.array(self.exposures, pa.float64())
        return rows.set_column(at, "creative_exposures_7d", column).select(FEATURES)


class FeatureEncoder:
    """Turns ``training_examples`` columns into the matrix that the models take.

    Categories become their index in a sorted list learnt in ``fit``; an unseen or missing category, and a missing
    number, become NaN. Columns are in the order of ``contracts.features.FEATURES``.
    """

    def __init__(self, categories: dict[str, list[str]]) -> None:
        self.categories = categories
        self._values = {name: pa.array(values, pa.string()) for name, values in categories.items()}
        self._codes = {name: {v: float(i) for i, v in enumerate(values)} for name, values in categories.items()}

    @classmethod
    def fit(cls, examples: pa.Table) -> FeatureEncoder:
        """Learn the categories of ``examples``; raises InputError where a feature column is missing."""
        check_columns(examples, FEATURES)
        return cls(
            {
                name: sorted(v for v in pc.unique(_strings(examples[name])).to_pylist() if v is not None)
                for name in CATEGORICAL
            }
        )

    def transform(self, table: pa.Table) -> np.ndarray:
        """Matrix of shape (rows, len(FEATURES)), float32."""
        check_columns(table, FEATURES)
        out = np.empty((table.num_rows, len(FEATURES)), dtype=np.float32)
        for i, name in enumerate(CATEGORICAL):
            codes = pc.index_in(_strings(table[name]), value_set=self._values[name])
            out[:, i] = numbers(codes)
        for i, name in enumerate(NUMERIC, start=len(CATEGORICAL)):
            out[:, i] = numbers(table[name])
        return out

    def encode(self, request: RequestFeatures) -> np.ndarray:
        """``transform(request.table())`` bit for bit, without Arrow: 0.07 ms for 100 candidates instead of 1 ms."""
        context, nan = request.context, math.nan
        row = [nan] * len(FEATURES)
        for name, at, text in _CONTEXT_AT:
            value = context[name]
            if value is not None:
                row[at] = self._codes[name].get(str(value), nan) if text else float(value)
        category, tone, appeal, creative = (self._codes[name].get for name in _ATTRIBUTES)
        out = np.empty((len(request.creatives), len(FEATURES)), dtype=np.float32)
        out[:] = row
        out[:, _ATTRIBUTES_AT] = [
            (category(c.product_category, nan), tone(c.tone, nan), appeal(c.appeal, nan), creative(c.creative_id, nan))  # type: ignore[arg-type]
            for c in request.creatives
        ]
        out[:, _EXPOSURES_AT] = [nan if e is None else e for e in request.exposures]
        return out

    def save(self, path: Path) -> None:
        """Write the categories as JSON."""
        path.write_text(json.dumps(self.categories, indent=1, sort_keys=True))

    @classmethod
    def load(cls, path: Path) -> FeatureEncoder:
        """Read what ``save`` wrote."""
        return cls(json.loads(path.read_text()))


def check_columns(table: pa.Table, names: Sequence[str]) -> None:
    """Raise InputError naming the first column that ``table`` lacks."""
    for name in names:
        if name not in table.column_names:
            raise InputError("training examples", f"column {name} is missing", "rebuild the mart training_examples")


def numbers(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """A numeric column as float64, null as NaN."""
    cast = pc.cast(column, pa.float64())
    return np.asarray(cast.to_numpy(zero_copy_only=False) if isinstance(cast, pa.Array) else cast.to_numpy())


def days_of(table: pa.Table) -> np.ndarray:
    """The column event_day as datetime64[D], shape (rows,)."""
    check_columns(table, ("event_day",))
    return np.asarray(pc.cast(table["event_day"], pa.date32()).to_numpy().astype("datetime64[D]"))


def chronological_split(examples: pa.Table, held_out_days: int) -> tuple[pa.Table, pa.Table]:
    """Earlier days, and the last ``held_out_days`` days that have rows. Raises InputError when none would be left."""
    days = days_of(examples)
    distinct = np.unique(days)
    if len(distinct) <= held_out_days:
        raise InputError(
            "training examples",
            f"{len(distinct)} days of data, {held_out_days} to hold out",
            f"land at least {held_out_days + 1} days of impressions",
        )
    later = days >= distinct[-held_out_days]
    return examples.filter(pa.array(~later)), examples.filter(pa.array(later))


def last_day(examples: pa.Table) -> date:
    """The latest event_day."""
    day: date = days_of(examples).max().astype(object)
    return day


def with_candidates(
    contexts: pa.Table, creatives: Sequence[CreativeAttributes], exposures: pa.Table | None = None
) -> pa.Table:
    """Each context with each creative: ``n * k`` rows, context ``i`` in rows ``i * k`` to ``i * k + k - 1``.

    ``exposures`` is the mart user_creative_exposures (user_id, creative_id, feature_day, creative_exposures_7d).
    A consenting user who is not in it, or ``None`` for it, means never seen: 0. Without consent: null.
    """
    n, k = contexts.num_rows, len(creatives)
    if k == 0:
        raise InputError("creatives", "there is no candidate", "give at least one creative")
    rows = contexts.drop_columns([c for c in CREATIVE_COLUMNS if c in contexts.column_names])
    rows = rows.take(pa.array(np.repeat(np.arange(n), k)))
    which = np.tile(np.arange(k), n)
    for name in ("creative_id", "product_category", "tone", "appeal"):
        values = pa.array([None if v is None else str(v) for v in (getattr(c, name) for c in creatives)], pa.string())
        rows = rows.append_column(name, values.take(pa.array(which)))
    return rows.append_column("creative_exposures_7d", _exposures(contexts, creatives, exposures))


def _exposures(contexts: pa.Table, creatives: Sequence[CreativeAttributes], exposures: pa.Table | None) -> pa.Array:
    n, k = contexts.num_rows, len(creatives)
    known = (
        np.ones(n, bool)
        if "user_id" not in contexts.column_names
        else pc.is_valid(contexts["user_id"]).to_numpy(zero_copy_only=False)
    )
    counts = np.zeros((n, k))
    if exposures is not None and exposures.num_rows and known.any():
        check_columns(contexts, ("user_id", "event_day"))
        seen = exposures.filter(pc.is_in(exposures["feature_day"], value_set=pc.unique(contexts["event_day"])))
        users = pc.unique(seen["user_id"])
        users = users.combine_chunks() if isinstance(users, pa.ChunkedArray) else users
        ids = pa.array([c.creative_id for c in creatives], pa.string())
        column = numbers(pc.index_in(seen["creative_id"], value_set=ids))
        held = ~np.isnan(column)
        user = numbers(pc.index_in(seen["user_id"], value_set=users))[held]
        key = _key(user, _ordinals(seen["feature_day"])[held])
        order = np.argsort(key * k + column[held], kind="stable")
        table_key, value = (key * k + column[held])[order], numbers(seen["creative_exposures_7d"])[held][order]
        mine = _key(numbers(pc.index_in(contexts["user_id"], value_set=users)), _ordinals(contexts["event_day"]))
        wanted = (np.nan_to_num(mine, nan=-1.0)[:, None] * k + np.arange(k)).ravel()
        at = np.minimum(np.searchsorted(table_key, wanted), max(len(table_key) - 1, 0))
        if len(table_key):
            counts = np.where(table_key[at] == wanted, value[at], 0.0).reshape(n, k)
    flat = counts.ravel()
    return pa.array(flat, pa.float64(), mask=~np.repeat(known, k))


def _key(user: np.ndarray, ordinal: np.ndarray) -> np.ndarray:
    return np.asarray(user * 100_000.0 + ordinal)


def _ordinals(days: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(pc.cast(pc.cast(days, pa.date32()), pa.int32()).to_numpy()).astype(float)


def _strings(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type) or not pa.types.is_string(column.type):
        return pc.cast(column, pa.string())
    return column


def previous(day: date) -> date:
    """The day before."""
    return day - timedelta(days=1)
