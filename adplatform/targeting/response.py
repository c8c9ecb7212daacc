"""Response models: the probability of a click for a row of ``training_examples``."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import date
from pathlib import Path
from typing import Any, Final, Protocol, Self

import numpy as np
import pyarrow as pa

from adplatform.contracts.errors import InputError
from adplatform.contracts.features import CATEGORICAL, FEATURES, LABEL
from adplatform.targeting.baseline import BaseRateModel
from adplatform.targeting.calibration import Platt
from adplatform.targeting.features import FeatureEncoder, check_columns, days_of, last_day, numbers

PARAMETERS: Final[dict[str, Any]] = {
    "objective": "binary",
    "learning_rate": 0.06,
    "num_leaves": 15,
    "min_data_in_leaf": 100,
    "lambda_l2": 5.0,
    "cat_smooth": 20.0,
    "cat_l2": 10.0,
    "min_data_per_group": 50,
    "feature_fraction": 0.7,
    "max_bin": 255,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
HIDDEN_SHARE: Final = 0.3
ROUNDS: Final = 800
PATIENCE: Final = 40
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
    def save(self, directory: Path) -> None: ...  # noqa: D102


class ResponseModel:
    """LightGBM on the contract's features with native categories, then Platt's calibration on later days.

    In a share of the training rows the creative's id is hidden, so that the model learns what to say of a creative
    that it has never seen from tone, appeal and product category.
    """

    def __init__(self, encoder: FeatureEncoder, text: str, calibration: Platt, details: dict[str, Any]) -> None:
        from lightgbm import Booster

        self.encoder, self.calibration, self.details, self._text = encoder, calibration, details, text
        self._booster = Booster(model_str=text)
        parts = (
            text,
            json.dumps(encoder.categories, sort_keys=True),
            calibration.dumps(),
            self.details["trained_through"],
        )
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
        """Last day that grew trees; the days after it, through ``trained_through``, stopped and calibrated them."""
        return date.fromisoformat(self.details["fitted_through"])

    @classmethod
    def fit(
        cls,
        examples: pa.Table,
        *,
        seed: int,
        threads: int = 2,
        hidden: float = HIDDEN_SHARE,
        parameters: dict[str, Any] | None = None,
    ) -> Self:
        """Fit on the earlier days of ``examples``; the last fifth of days stops the trees and calibrates.

        Deterministic for data and seed, whatever ``threads`` is. Raises InputError on fewer than two days or
        fewer than 20 clicks.
        """
        import lightgbm as lgb

        check_columns(examples, (*FEATURES, LABEL, "event_day"))
        train, validation, through = _split(examples)
        encoder = FeatureEncoder.fit(examples)
        labels = numbers(examples[LABEL]).astype(np.float32)
        matrix = encoder.transform(examples)
        shown, held = matrix[train], matrix[validation]
        del matrix
        rng = np.random.default_rng(seed)
        shown[rng.random(len(shown)) < hidden, FEATURES.index("creative_id")] = np.nan
        settings = {**PARAMETERS, **(parameters or {}), "seed": seed % 2**31, "num_threads": threads}
        categories = [FEATURES.index(c) for c in CATEGORICAL]
        names = list(FEATURES)
        data = lgb.Dataset(shown, labels[train], feature_name=names, categorical_feature=categories, params=settings)
        later = lgb.Dataset(held, labels[validation], reference=data, params=settings)
        stop = lgb.early_stopping(PATIENCE, verbose=False)
        booster = lgb.train(settings, data, ROUNDS, valid_sets=[later], callbacks=[stop])
        text = _without_run_settings(booster.model_to_string(num_iteration=booster.best_iteration))
        raw = booster.predict(held, raw_score=True, num_iteration=booster.best_iteration, num_threads=threads)
        details = {
            "kind": "lightgbm",
            "trained_through": through.isoformat(),
            "fitted_through": str(days_of(examples)[train].max()),
            "rounds": int(booster.best_iteration),
            "rows": len(labels),
            "clicks": int(labels.sum()),
            "seed": seed,
            "hidden": hidden,
        }
        return cls(encoder, text, Platt.fit(np.asarray(raw), labels[validation]), details)

    def predict(self, table: pa.Table, threads: int = 2) -> np.ndarray:
        """Calibrated click probability of each row, shape (rows,)."""
        if table.num_rows == 0:
            return np.zeros(0)
        raw = self._booster.predict(self.encoder.transform(table), raw_score=True, num_threads=threads)
        return self.calibration.apply(np.asarray(raw))

    def importance(self) -> dict[str, float]:
        """Share of the total gain by feature."""
        gain = np.asarray(self._booster.feature_importance("gain"), float)
        return dict(zip(FEATURES, (gain / max(gain.sum(), 1e-12)).tolist(), strict=True))

    def save(self, directory: Path) -> None:
        """Write model.txt (LightGBM text), categories.json and model.json into ``directory``."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "model.txt").write_text(self._text)
        self.encoder.save(directory / "categories.json")
        payload = {**self.details, "calibration": json.loads(self.calibration.dumps()), "version": self.version}
        (directory / "model.json").write_text(json.dumps(payload, indent=1, sort_keys=True))

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what ``save`` wrote."""
        payload = json.loads((directory / "model.json").read_text())
        calibration = Platt.loads(json.dumps(payload.pop("calibration")))
        payload.pop("version")
        return cls(
            FeatureEncoder.load(directory / "categories.json"),
            (directory / "model.txt").read_text(),
            calibration,
            payload,
        )


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


def _without_run_settings(text: str) -> str:
    """The model's text without the number of threads, which changes no tree but would change the version."""
    return re.sub(r"\[num_threads: \d+\]", "[num_threads: 0]", text)
