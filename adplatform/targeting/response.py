"""Response models: the probability of a click for a row of ``training_examples``."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final, Protocol, Self

import numpy as np
import pyarrow as pa

from adplatform.contracts.errors import InputError
from adplatform.contracts.features import CATEGORICAL, FEATURES, LABEL
from adplatform.targeting.baseline import BaseRateModel
from adplatform.targeting.calibration import Platt
from adplatform.targeting.effects import CrossEffects
from adplatform.targeting.features import (
    FeatureEncoder,
    RequestFeatures,
    check_columns,
    days_of,
    last_day,
    numbers,
)
from adplatform.targeting.trees import Trees

PARAMETERS: Final[dict[str, Any]] = {
    "objective": "binary",
    "learning_rate": 0.08,
    "num_leaves": 15,
    "min_data_in_leaf": 100,
    "lambda_l2": 5.0,
    "cat_smooth": 20.0,
    "cat_l2": 10.0,
    "min_data_per_group": 50,
    "feature_fraction": 0.7,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
CREATIVE: Final = FEATURES.index("creative_id")
ROUNDS: Final = 600
PATIENCE: Final = 30
SHARED_ROWS: Final = 300_000
VALIDATION_SHARE: Final = 0.2
MINIMUM_CLICKS: Final = 20


class Response(Protocol):
    """What policies and rankings need of a response model."""

    @property
    def version(self) -> str: ...  # noqa: D102
    @property
    def trained_through(self) -> date: ...  # noqa: D102
    @property
    def fitted_through(self) -> date | None: ...  # noqa: D102
    def predict(self, table: pa.Table) -> np.ndarray: ...  # noqa: D102
    def encode(self, request: RequestFeatures) -> np.ndarray: ...  # noqa: D102
    def predict_matrix(self, matrix: np.ndarray) -> np.ndarray: ...  # noqa: D102
    def unseen_variance(self, creative_ids: Sequence[str]) -> np.ndarray: ...  # noqa: D102
    def save(self, directory: Path) -> None: ...  # noqa: D102


class ResponseModel:
    """Shrunk cross effects, LightGBM with native categories on what they leave, then Platt's calibration on later days.

    Share of the held-out log-loss gap between a constant and the oracle that was closed, on three tiny markets that no
    claim uses: 0.69, 0.71 and 0.75 (effects alone 0.69 to 0.75, trees alone 0.56 to 0.60, base rates 0.49 to 0.54).
    The trees do not see the creative's id: what is particular to one is a shrunk effect, and a creative that was never
    seen is judged by its tone, appeal and category (0.60 to 0.66 on creatives kept from training, base rates 0.36 to
    0.46). Isotonic regression lost to Platt's on all three; affinities of ``collaborative`` added nothing that an
    interval could tell from 0, so they are no feature here.
    """

    def __init__(
        self, encoder: FeatureEncoder, effects: CrossEffects, text: str, calibration: Platt, details: dict[str, Any]
    ) -> None:
        self.encoder, self.effects, self.calibration, self.details = encoder, effects, calibration, details
        self._trees = Trees(text)
        parts = (
            text, effects.dumps(), json.dumps(encoder.categories, sort_keys=True), calibration.dumps(),
            details["trained_through"],
        )  # fmt: skip
        self._version = "response-" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    @property
    def version(self) -> str:
        """Hash of everything that decides a prediction."""
        return self._version

    @property
    def trained_through(self) -> date:
        """Last day that was used, for calibration included."""
        return date.fromisoformat(self.details["trained_through"])

    @property
    def fitted_through(self) -> date | None:
        """Last day that was fitted; the days after it, through ``trained_through``, stopped the trees and calibrated."""
        return date.fromisoformat(self.details["fitted_through"])

    @classmethod
    def fit(cls, examples: pa.Table, *, seed: int, threads: int = 2, parameters: dict[str, Any] | None = None) -> Self:
        """Fit on the earlier days of ``examples``; the last fifth of days stops the trees and calibrates.

        ``parameters`` replace LightGBM's. Deterministic for data and seed, whatever ``threads`` is. Raises InputError
        on fewer than two days or fewer than 20 clicks.
        """
        check_columns(examples, (*FEATURES, LABEL, "event_day"))
        train, later, through = _split(examples)
        encoder, labels = FeatureEncoder.fit(examples), numbers(examples[LABEL])
        matrix = encoder.transform(examples)
        effects = CrossEffects.fit(matrix[train], labels[train])
        offset = effects.score(matrix)
        matrix[:, CREATIVE] = np.nan
        settings = {
            **PARAMETERS,
            **(parameters or {}),
            "seed": seed % 2**31,
            "num_threads": _threads(len(labels), threads),
        }
        text, rounds, raw = _trees(matrix, labels, offset, train, later, settings)
        details = {
            "kind": "lightgbm",
            "trained_through": through.isoformat(),
            "fitted_through": str(days_of(examples)[train].max()),
            "rounds": rounds,
            "rows": len(labels),
            "clicks": int(labels.sum()),
            "seed": seed,
        }
        return cls(encoder, effects, text, Platt.fit(raw + offset[later], labels[later]), details)

    def predict(self, table: pa.Table, threads: int = 2) -> np.ndarray:
        """Calibrated click probability of each row, shape (rows,)."""
        return self.predict_matrix(self.encoder.transform(table), threads)

    def encode(self, request: RequestFeatures) -> np.ndarray:
        """The matrix of a request's candidates, for ``predict_matrix``."""
        return self.encoder.encode(request)

    def predict_matrix(self, matrix: np.ndarray, threads: int = 2) -> np.ndarray:
        """Calibrated click probability of each row of an encoded matrix (rows, len(FEATURES)), shape (rows,)."""
        if len(matrix) == 0:
            return np.zeros(0)
        offset = self.effects.score(matrix)
        blind = matrix.copy()
        blind[:, CREATIVE] = np.nan
        return self.calibration.apply(offset + self._trees.raw(blind, _threads(len(matrix), threads)))

    def unseen_variance(self, creative_ids: Sequence[str]) -> np.ndarray:
        """Variance of the log rate that a creative adds by never having been seen, shape (creatives,); 0 if it was."""
        seen = set(self.encoder.categories["creative_id"])
        return np.array([0.0 if c in seen else self.effects.creative_variance for c in creative_ids])

    def save(self, directory: Path) -> None:
        """Write model.txt (LightGBM text), effects.json, categories.json and model.json into ``directory``."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "model.txt").write_text(self._trees.text)
        self.effects.save(directory / "effects.json")
        self.encoder.save(directory / "categories.json")
        payload = {**self.details, "calibration": json.loads(self.calibration.dumps()), "version": self.version}
        (directory / "model.json").write_text(json.dumps(payload, indent=1, sort_keys=True))

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what ``save`` wrote."""
        payload = json.loads((directory / "model.json").read_text())
        calibration = Platt.loads(json.dumps(payload.pop("calibration")))
        payload.pop("version")
        effects = CrossEffects.loads((directory / "effects.json").read_text())
        encoder, text = FeatureEncoder.load(directory / "categories.json"), (directory / "model.txt").read_text()
        return cls(encoder, effects, text, calibration, payload)


def load_response(directory: Path) -> ResponseModel | BaseRateModel:
    """The response model in ``directory``, of whichever kind it is."""
    kind = json.loads((directory / "model.json").read_text())["kind"]
    return BaseRateModel.load(directory) if kind == "base_rate" else ResponseModel.load(directory)


def _split(examples: pa.Table) -> tuple[np.ndarray, np.ndarray, date]:
    """Row masks of the training days and of the later days that stop and calibrate."""
    days = days_of(examples) if examples.num_rows else np.zeros(0, "datetime64[D]")
    distinct = np.unique(days)
    clicks = float(np.nansum(numbers(examples[LABEL])))
    if len(distinct) < 2 or clicks < MINIMUM_CLICKS:
        raise InputError(
            "training examples",
            f"{len(distinct)} days and {clicks:.0f} clicks",
            f"land at least 2 days and {MINIMUM_CLICKS} clicks to train a response model",
        )
    later = days >= distinct[-max(1, round(VALIDATION_SHARE * len(distinct)))]
    return ~later, later, last_day(examples)


def _threads(rows: int, threads: int) -> int:
    """One thread for few rows: on a busy machine two spin while they wait for each other (64 s instead of 14)."""
    return threads if rows >= SHARED_ROWS else 1


def _without_run_settings(text: str) -> str:
    """The model's text without the number of threads, which changes no tree but would change the version."""
    return re.sub(r"\[num_threads: \d+\]", "[num_threads: 0]", text)


def _trees(
    matrix: np.ndarray,
    labels: np.ndarray,
    offset: np.ndarray,
    train: np.ndarray,
    later: np.ndarray,
    settings: dict[str, Any],
) -> tuple[str, int, np.ndarray]:
    """Trees on top of ``offset``: their text, their number, and their raw scores of the later rows."""
    import lightgbm as lgb

    options: dict[str, Any] = {"params": settings, "feature_name": list(FEATURES)}
    options["categorical_feature"] = [FEATURES.index(c) for c in CATEGORICAL]
    data = lgb.Dataset(matrix[train], labels[train], init_score=offset[train], **options)
    check = lgb.Dataset(matrix[later], labels[later], init_score=offset[later], reference=data, **options)
    stop = lgb.early_stopping(PATIENCE, verbose=False)
    booster = lgb.train(settings, data, ROUNDS, valid_sets=[check], callbacks=[stop])
    best = max(1, int(booster.best_iteration))
    raw = booster.predict(matrix[later], raw_score=True, num_iteration=best, num_threads=settings["num_threads"])
    return _without_run_settings(booster.model_to_string(num_iteration=best)), best, np.asarray(raw)
