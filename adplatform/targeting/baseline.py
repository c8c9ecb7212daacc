"""The first champion: click rates by placement and creative, without anything about the user."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adplatform.contracts.errors import InputError
from adplatform.contracts.features import LABEL
from adplatform.targeting.features import RequestFeatures, check_columns, last_day, numbers

PRIOR_IMPRESSIONS: Final = 500.0
"""Weight of the overall rate in each smoothed rate."""


class BaseRateModel:
    """Click probability = overall rate x index of (placement, position) x index of the creative.

    Indices are observed over expected clicks, smoothed to 1 as if by 500 impressions at the overall rate. An unseen
    creative or place has index 1.
    """

    def __init__(
        self, rate: float, places: dict[str, float], creatives: dict[str, float], trained_through: date
    ) -> None:
        self.rate, self.places, self.creatives = rate, places, creatives
        self._through = trained_through
        self._place, self._creative = _values(places), _values(creatives)
        self._place_at = {key: float(i) for i, key in enumerate(places)}
        self._creative_at = {key: float(i) for i, key in enumerate(creatives)}
        self._version = (
            "base-rate-" + hashlib.sha256(json.dumps(self._payload(), sort_keys=True).encode()).hexdigest()[:16]
        )

    @property
    def version(self) -> str:
        """Hash of the rates."""
        return self._version

    @property
    def trained_through(self) -> date:
        """Last day that was counted."""
        return self._through

    @property
    def fitted_through(self) -> date | None:
        """None: it knows no segment, so the counts of any day tell how far it errs in one."""
        return None

    @classmethod
    def fit(cls, examples: pa.Table, *, seed: int = 0, threads: int = 1) -> Self:
        """Count clicks; ``seed`` and ``threads`` are taken for the interface alone. Raises InputError without rows."""
        check_columns(examples, ("placement", "position", "creative_id", LABEL, "event_day"))
        if examples.num_rows == 0:
            raise InputError("training examples", "there is no impression", "land at least one day of impressions")
        clicks = numbers(examples[LABEL])
        rate = (clicks.sum() + 0.5) / (len(clicks) + 1.0)
        places = _indices(_places(examples), clicks, np.full(len(clicks), rate), rate)
        expected = rate * _index(_at(_places(examples), places), _values(places))
        creatives = _indices(examples["creative_id"], clicks, expected, rate)
        return cls(float(rate), places, creatives, last_day(examples))

    def predict(self, table: pa.Table) -> np.ndarray:
        """Click probability of each row, shape (rows,)."""
        place, creative = _at(_places(table), self.places), _at(table["creative_id"], self.creatives)
        return self.predict_matrix(np.column_stack([place, creative]))

    def encode(self, request: RequestFeatures) -> np.ndarray:
        """The matrix of a request's candidates, for ``predict_matrix``."""
        position = request.context["position"]
        place = f"{request.context['placement'] or ''}/{'' if position is None else int(position)}"
        at, find = self._place_at.get(place, np.nan), self._creative_at.get
        return np.array([(at, find(c.creative_id, np.nan)) for c in request.creatives])

    def predict_matrix(self, matrix: np.ndarray) -> np.ndarray:
        """Click probability of each row of (place, creative) indices, NaN where unknown; shape (rows,)."""
        p = self.rate * _index(matrix[:, 0], self._place) * _index(matrix[:, 1], self._creative)
        return np.asarray(np.clip(p, 1e-6, 1 - 1e-6))

    def unseen_variance(self, creative_ids: Sequence[str]) -> np.ndarray:
        """Variance of the log rate that a creative adds by never having been seen, shape (creatives,); 0 if it was."""
        spread = float(np.var(np.log(list(self.creatives.values())))) if self.creatives else 0.0
        return np.array([0.0 if c in self.creatives else spread for c in creative_ids])

    def _payload(self) -> dict[str, Any]:
        return {
            "kind": "base_rate",
            "rate": self.rate,
            "places": self.places,
            "creatives": self.creatives,
            "trained_through": self._through.isoformat(),
        }

    def save(self, directory: Path) -> None:
        """Write model.json into ``directory``."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "model.json").write_text(json.dumps(self._payload(), indent=1, sort_keys=True))

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what ``save`` wrote."""
        p = json.loads((directory / "model.json").read_text())
        return cls(p["rate"], p["places"], p["creatives"], date.fromisoformat(p["trained_through"]))


def _places(table: pa.Table) -> pa.ChunkedArray:
    placement = pc.fill_null(pc.cast(table["placement"], pa.string()), "")
    position = pc.fill_null(pc.cast(pc.cast(table["position"], pa.int64()), pa.string()), "")
    return pc.binary_join_element_wise(placement, position, "/")


def _indices(keys: pa.ChunkedArray, clicks: np.ndarray, expected: np.ndarray, rate: float) -> dict[str, float]:
    counts = pa.table({"key": keys, "clicks": clicks, "expected": expected}).group_by("key")
    sums = counts.aggregate([("clicks", "sum"), ("expected", "sum")]).sort_by("key").to_pydict()
    prior = PRIOR_IMPRESSIONS * rate
    return {
        k: (c + prior) / (e + prior)
        for k, c, e in zip(sums["key"], sums["clicks_sum"], sums["expected_sum"], strict=True)
        if k is not None
    }


def _at(keys: pa.ChunkedArray, indices: dict[str, float]) -> np.ndarray:
    return numbers(pc.index_in(keys, value_set=pa.array(list(indices), pa.string())))


def _values(indices: dict[str, float]) -> np.ndarray:
    """The indices, and 1 for what is unknown."""
    return np.array([*indices.values(), 1.0])


def _index(at: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.asarray(values[np.where(np.isnan(at), len(values) - 1, at).astype(int)])
