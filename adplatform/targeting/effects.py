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
VARIANCE: Final = (1e-4, 4.0)
"""Least and largest variance of a cross's effects."""


class CrossEffects:
    """``score`` = intercept + sum over ``CROSSES`` of the effect of the row's categories; an unknown category adds 0.

    A missing value is a category of its own, except a creative that was never seen, which is unknown.
    """

    def __init__(self, sizes: list[int], intercept: float, effects: list[np.ndarray]) -> None:
        self.sizes, self.intercept, self.effects = sizes, intercept, effects

    @classmethod
    def fit(cls, matrix: np.ndarray, labels: np.ndarray) -> Self:
        """Fit on an encoded matrix (rows, len(FEATURES)) and labels (rows,), 0 or 1. Deterministic."""
        sizes = [int(np.nanmax(column, initial=-1)) + 2 for column in _whole(matrix).T]
        rate = (labels.sum() + 0.5) / (len(labels) + 1)
        model = cls(sizes, float(np.log(rate / (1 - rate))), [])
        codes = [model._codes(_whole(matrix), cross) for cross in CROSSES]
        model.effects = [np.zeros(model._count(cross)) for cross in CROSSES]
        seen = [np.bincount(c, minlength=len(b)) > 0 for c, b in zip(codes, model.effects, strict=True)]
        precision = [1 / 0.1] * len(CROSSES)
        score = np.full(len(labels), model.intercept)
        for sweep in range(SWEEPS):
            p = sigmoid(score)
            weight, residual = p * (1 - p), labels - p
            step = residual.sum() / weight.sum()
            model.intercept += float(step)
            residual -= weight * step
            score += step
            for k, (code, effect) in enumerate(zip(codes, model.effects, strict=True)):
                information = np.bincount(code, weight, len(effect)) + precision[k]
                change = (np.bincount(code, residual, len(effect)) - precision[k] * effect) / information
                effect += change
                moved = change[code]
                score += moved
                residual -= weight * moved
                if sweep >= 2:
                    variance = float((effect**2 + 1 / information)[seen[k]].mean())
                    precision[k] = 1 / min(max(variance, VARIANCE[0]), VARIANCE[1])
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
        return json.dumps({"sizes": self.sizes, "intercept": self.intercept, "effects": effects})

    @classmethod
    def loads(cls, text: str) -> Self:
        """From JSON."""
        p = json.loads(text)
        return cls(p["sizes"], p["intercept"], [np.array(p["effects"]["*".join(c)]) for c in CROSSES])

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


def _whole(matrix: np.ndarray) -> np.ndarray:
    return np.clip(matrix, None, [np.inf] * len(CATEGORICAL) + [LARGEST_NUMBER] * (len(FEATURES) - len(CATEGORICAL)))
