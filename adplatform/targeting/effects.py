"""Who likes what, as shrunk effects: log-odds that add up over attributes and over pairs of user and creative attributes.

Trees alone need far more rows to find that each group of users has its own taste for each tone. Here every cross has
its own variance, estimated from the data, and its effects are shrunk by it (a generalised linear mixed model by
penalised quasi-likelihood, Breslow and Clayton 1993; variances by expectation-maximisation).
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Final, Self

import numpy as np

from adplatform.contracts.features import CATEGORICAL, FEATURES
from adplatform.targeting.calibration import sigmoid

USER: Final = (("audience",), ("age_band",), ("audience", "age_band"))
CREATIVE: Final = (("product_category",), ("tone",), ("appeal",), ("creative_id",))
CROSSES: Final[tuple[tuple[str, ...], ...]] = (
    *((name,) for name in (*CATEGORICAL, "hour", "weekday", "position", "creative_exposures_7d")),
    ("audience", "age_band"), ("tone", "appeal"), ("device", "placement"), ("placement", "position"),
    ("region", "product_category"), ("device", "product_category"),
    *((*u, *c) for u, c in itertools.product(USER, CREATIVE)),
)  # fmt: skip
LARGEST_NUMBER: Final = 30
"""Numbers are whole and count as categories up to this; more counts as this many."""
SWEEPS: Final = 14
EXACT_SWEEPS: Final = 3
"""Sweeps in which each cross sees probabilities as the last one left them; after them one linearisation a sweep will do.
With none of these, and no limit to a step, five million rows made the effects diverge."""
LARGEST_STEP: Final = 1.0
CHUNK_ROWS: Final = 16_384
_CROSS_AT: Final = [tuple(FEATURES.index(name) for name in cross) for cross in CROSSES]
_UNKNOWN: Final = 1e15
"""Index of an unknown category: beyond every place, whatever it is multiplied by."""
_TOP: Final = np.array([np.inf] * len(CATEGORICAL) + [LARGEST_NUMBER] * (len(FEATURES) - len(CATEGORICAL)))
VARIANCE: Final = (1e-4, 4.0)
"""Least and largest variance of a cross's effects."""


class CrossEffects:
    """``score`` = intercept + sum over ``CROSSES`` of the effect of the row's categories; an unknown category adds 0.

    A missing value is a category of its own, except a creative that was never seen, which is unknown.
    """

    def __init__(self, sizes: list[int], intercept: float, effects: list[np.ndarray], variances: list[float]) -> None:
        self.sizes, self.intercept, self.effects, self.variances = sizes, intercept, effects, variances
        counts = [int(np.prod([sizes[at] for at in cross])) for cross in _CROSS_AT]
        self._start = np.concatenate([[0], np.cumsum(counts)])
        self._strides = np.zeros((len(CROSSES), len(FEATURES)))
        for row, cross in zip(self._strides, _CROSS_AT, strict=True):
            stride = 1
            for at in reversed(cross):
                row[at], stride = stride, stride * sizes[at]
        self._size = np.array(sizes, float)
        self._missing = self._size - 1
        self._missing[FEATURES.index("creative_id")] = _UNKNOWN
        self._flat = np.append(np.concatenate([*effects, np.zeros(0)]), 0.0)

    @property
    def creative_variance(self) -> float:
        """Variance (log-odds) of what is particular to a creative: what is not known of one never seen."""
        return sum(v for cross, v in zip(CROSSES, self.variances, strict=True) if "creative_id" in cross)

    @classmethod
    def fit(cls, matrix: np.ndarray, labels: np.ndarray) -> Self:
        """Fit on an encoded matrix (rows, len(FEATURES)) and labels (rows,), 0 or 1. Deterministic."""
        sizes = [int(np.nanmax(column, initial=-1)) + 2 for column in _whole(matrix).T]
        rate = (labels.sum() + 0.5) / (len(labels) + 1)
        model = cls(sizes, float(np.log(rate / (1 - rate))), [], [])
        codes = np.empty((len(CROSSES), len(matrix)), np.int32)
        for rows in _chunks(len(matrix)):
            codes[:, rows] = model._own_codes(matrix[rows])
        model.effects = [np.zeros(n) for n in np.diff(model._start)]
        seen = [np.bincount(c, minlength=len(b) + 1)[:-1] > 0 for c, b in zip(codes, model.effects, strict=True)]
        precision = [1 / 0.1] * len(CROSSES)
        score = np.full(len(labels), model.intercept)
        for sweep in range(SWEEPS):
            weight, residual = _gradient(score, labels)
            step = float(np.clip(residual.sum() / weight.sum(), -LARGEST_STEP, LARGEST_STEP))
            model.intercept += step
            score += step
            residual -= weight * step
            for k, (code, effect) in enumerate(zip(codes, model.effects, strict=True)):
                if sweep < EXACT_SWEEPS:
                    weight, residual = _gradient(score, labels)
                size = len(effect) + 1
                information = np.bincount(code, weight, size)[:-1] + precision[k]
                change = (np.bincount(code, residual, size)[:-1] - precision[k] * effect) / information
                change = np.clip(change, -LARGEST_STEP, LARGEST_STEP)
                effect += change
                moved = np.append(change, 0.0)[code]
                score += moved
                residual -= weight * moved
                if sweep >= EXACT_SWEEPS:
                    variance = float((effect**2 + 1 / information)[seen[k]].mean())
                    precision[k] = 1 / min(max(variance, VARIANCE[0]), VARIANCE[1])
        return cls(sizes, model.intercept, model.effects, [1 / p for p in precision])

    def score(self, matrix: np.ndarray) -> np.ndarray:
        """Log-odds of each row, shape (rows,)."""
        out = np.empty(len(matrix))
        for rows in _chunks(len(matrix)):
            effects = self._flat.take(self._codes(matrix[rows]))
            effects[0] += self.intercept
            # One after the other, not in pairs: a row's bits hang on no other row.
            out[rows] = np.add.accumulate(effects, axis=0, out=effects)[-1]
        return out

    def dumps(self) -> str:
        """As JSON; floats exactly."""
        effects = {"*".join(c): e.tolist() for c, e in zip(CROSSES, self.effects, strict=True)}
        return json.dumps(
            {"sizes": self.sizes, "intercept": self.intercept, "effects": effects, "variances": self.variances}
        )

    @classmethod
    def loads(cls, text: str) -> Self:
        """From JSON."""
        p = json.loads(text)
        return cls(p["sizes"], p["intercept"], [np.array(p["effects"]["*".join(c)]) for c in CROSSES], p["variances"])

    def save(self, path: Path) -> None:
        """Write effects.json."""
        path.write_text(self.dumps())

    def _codes(self, matrix: np.ndarray) -> np.ndarray:
        """Where in ``_flat`` each cross finds its effect of each row, shape (crosses, rows); the last place if unknown.

        Mixed-radix numbers by one matrix product, exact in double precision. The last category is 'missing'.
        """
        index = _whole(matrix)
        missing = np.isnan(index)
        np.floor(index, out=index)
        np.copyto(index, self._missing, where=missing)
        np.copyto(index, _UNKNOWN, where=index >= self._size)
        codes = self._strides @ index.T
        codes += self._start[:-1, None]
        return np.asarray(np.minimum(codes, self._start[-1], out=codes), dtype=np.int64)

    def _own_codes(self, matrix: np.ndarray) -> np.ndarray:
        """The same, counted from the beginning of each cross; the number of its combinations if unknown."""
        codes = self._codes(matrix)
        unknown, counts = codes == self._start[-1], np.diff(self._start)[:, None]
        return np.asarray(np.where(unknown, counts, codes - self._start[:-1, None]))


def _chunks(rows: int) -> list[slice]:
    return [slice(start, start + CHUNK_ROWS) for start in range(0, rows, CHUNK_ROWS)]


def _gradient(score: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weight p (1 - p) and residual y - p of each row."""
    p = sigmoid(score)
    return p * (1 - p), labels - p


def _whole(matrix: np.ndarray) -> np.ndarray:
    """Whole numbers from 0 to ``LARGEST_NUMBER``, categories as they are, NaN kept."""
    return np.asarray(np.minimum(np.maximum(matrix, 0.0), _TOP))
