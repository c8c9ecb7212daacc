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
VARIANCE: Final = (1e-4, 4.0)
"""Least and largest variance of a cross's effects."""


class CrossEffects:
    """``score`` = intercept + sum over ``CROSSES`` of the effect of the row's categories; an unknown category adds 0.

    A missing value is a category of its own, except a creative that was never seen, which is unknown.
    """

    def __init__(self, sizes: list[int], intercept: float, effects: list[np.ndarray], variances: list[float]) -> None:
        self.sizes, self.intercept, self.effects, self.variances = sizes, intercept, effects, variances

    @property
    def creative_variance(self) -> float:
        """Variance (log-odds) of what is particular to a creative: what is not known of one never seen."""
        return sum(v for cross, v in zip(CROSSES, self.variances, strict=True) if "creative_id" in cross)

    @classmethod
    def fit(cls, matrix: np.ndarray, labels: np.ndarray) -> Self:
        """Fit on an encoded matrix (rows, len(FEATURES)) and labels (rows,), 0 or 1. Deterministic."""
        whole = _whole(matrix)
        sizes = [int(np.nanmax(column, initial=-1)) + 2 for column in whole.T]
        rate = (labels.sum() + 0.5) / (len(labels) + 1)
        model = cls(sizes, float(np.log(rate / (1 - rate))), [], [])
        codes = [model._codes(whole, cross).astype(np.int32) for cross in CROSSES]
        model.effects = [np.zeros(model._count(cross)) for cross in CROSSES]
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
        model.variances = [1 / p for p in precision]
        return model

    def score(self, matrix: np.ndarray) -> np.ndarray:
        """Log-odds of each row, shape (rows,)."""
        whole = _whole(matrix)
        out = np.full(len(matrix), self.intercept)
        for cross, effect in zip(CROSSES, self.effects, strict=True):
            out += np.append(effect, 0.0)[self._codes(whole, cross)]
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

    def _count(self, cross: tuple[str, ...]) -> int:
        return int(np.prod([self.sizes[FEATURES.index(name)] for name in cross]))

    def _codes(self, whole: np.ndarray, cross: tuple[str, ...]) -> np.ndarray:
        """Index of each row's combination; the number of combinations where it is unknown. The last category is 'missing'."""
        code = np.zeros(len(whole), np.int64)
        unknown = np.zeros(len(whole), bool)
        for name in cross:
            at = FEATURES.index(name)
            column, size = whole[:, at], self.sizes[at]
            missing = np.isnan(column)
            index = np.where(missing, size - 1, column).astype(np.int64)
            unknown |= (index >= size) | (missing if name == "creative_id" else False)
            code = code * size + index
        return np.asarray(np.where(unknown, self._count(cross), code))


def _gradient(score: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weight p (1 - p) and residual y - p of each row."""
    p = sigmoid(score)
    return p * (1 - p), labels - p


def _whole(matrix: np.ndarray) -> np.ndarray:
    """Whole numbers from 0 to ``LARGEST_NUMBER``, categories as they are, NaN kept."""
    top = [np.inf] * len(CATEGORICAL) + [LARGEST_NUMBER] * (len(FEATURES) - len(CATEGORICAL))
    return np.asarray(np.clip(matrix, 0.0, top))
