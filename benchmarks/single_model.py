"""The rival of the thesis: one LightGBM that predicts the reward of an impression, ranks by it and splits the budget by it.

It is one model for both objectives: every impression is a row for its click and, where matured, a row for the value of
its conversion, told apart by a feature. So what clicks teach of taste serves value too, which alone has too few
conversions to learn from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adplatform.contracts.brief import Objective
from adplatform.contracts.features import CATEGORICAL, FEATURES
from adplatform.contracts.targeting import CreativeAttributes, Segment
from adplatform.targeting.effects import CrossEffects
from adplatform.targeting.features import FeatureEncoder, days_of, numbers, with_candidates
from adplatform.targeting.response import PARAMETERS, PATIENCE, ROUNDS, VALIDATION_SHARE

RULES: Final = ("equal", "proportional", "fatigue", "fatigue and supply")
"""Splits over the k lines: equal, by predicted reward for each unit of currency, and water-filling over two curves."""
SILENT_SHARE: Final = 0.2
"""Share of the value rows of impressions without a click that are kept, each with weight 1 / share: they are all zero."""
STEPS: Final = 200


class Rows(NamedTuple):
    """Stacked training rows: features with the objective last, target, weight, and whether the day is a later one."""

    features: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    later: np.ndarray


class SingleModel:
    """Poisson LightGBM on the contract's features and the objective, on top of the product's shrunk cross effects.

    The effects are part of its terms: trees alone are a weaker rival. ``scale``: currency of one unit of the target.
    """

    def __init__(
        self, encoder: FeatureEncoder, effects: CrossEffects, booster: Any, scale: float, rounds: int, trial: int
    ) -> None:
        self.encoder, self.effects, self.booster = encoder, effects, booster
        self.scale, self.rounds, self.trial = scale, rounds, trial

    @classmethod
    def fit(cls, examples: pa.Table, trials: Sequence[dict[str, Any]], *, seed: int, threads: int = 2) -> Self:
        """The trial with the least deviance on the later days, fitted again on all days with its number of trees."""
        import lightgbm as lgb

        encoder = FeatureEncoder.fit(examples)
        matrix, clicks = encoder.transform(examples), numbers(examples["clicked"])
        rows, scale = stacked(examples, matrix, seed)
        early = ~rows.later[: len(clicks)]
        offset = _log_rate(CrossEffects.fit(matrix[early], clicks[early]), rows.features)
        found: list[tuple[float, int, int]] = []
        for number, changes in enumerate(trials):
            settings = _settings(changes, seed, threads)
            data = _dataset(rows, offset, ~rows.later, settings)
            later = _dataset(rows, offset, rows.later, settings, data)
            stop = lgb.early_stopping(PATIENCE, verbose=False)
            booster = lgb.train(settings, data, ROUNDS, valid_sets=[later], callbacks=[stop])
            found.append((float(booster.best_score["valid_0"]["poisson"]), number, max(1, int(booster.best_iteration))))
        _, number, rounds = min(found)
        effects = CrossEffects.fit(matrix, clicks)
        settings = _settings(trials[number], seed, threads)
        data = _dataset(rows, _log_rate(effects, rows.features), np.ones(len(rows.target), bool), settings)
        return cls(encoder, effects, lgb.train(settings, data, rounds), scale, rounds, number)

    def predict(self, table: pa.Table, objective: Objective) -> np.ndarray:
        """Expected reward of each row's impression, clicks or currency, shape (rows,)."""
        value = objective is Objective.CONVERSIONS
        features = np.column_stack([self.encoder.transform(table), np.full(table.num_rows, float(value), np.float32)])
        offset = _log_rate(self.effects, features)
        raw = np.asarray(self.booster.predict(_without_creative(features), raw_score=True))
        return np.asarray(np.exp(offset + raw) * (self.scale if value else 1.0))

    def cells(
        self,
        contexts: pa.Table,
        creatives: Sequence[CreativeAttributes],
        segments: Sequence[Segment],
        objective: Objective,
    ) -> np.ndarray:
        """Mean predicted reward of an impression of each creative in each segment, shape (creatives, segments)."""
        at = numbers(pc.index_in(contexts["segment_id"], value_set=pa.array([s.segment_id for s in segments])))
        rows = np.flatnonzero(~np.isnan(at))
        candidates = with_candidates(contexts.take(pa.array(rows)), creatives)
        q = self.predict(candidates, objective).reshape(len(rows), -1)
        index = at[rows].astype(int)
        counts = np.bincount(index, minlength=len(segments))
        return np.stack([np.bincount(index, q[:, c], minlength=len(segments)) for c in range(q.shape[1])]) / counts


class Supply(NamedTuple):
    """Of each segment: price of an impression, users, impressions a day on all its users together; all (segments,)."""

    price: np.ndarray
    users: np.ndarray
    daily: np.ndarray

    @classmethod
    def of(cls, examples: pa.Table, segments: Sequence[Segment]) -> Self:
        """Means over the rows of ``examples`` with a segment."""
        at = numbers(pc.index_in(examples["segment_id"], value_set=pa.array([s.segment_id for s in segments])))
        keep = ~np.isnan(at)
        index = at[keep].astype(int)
        shown = np.bincount(index, minlength=len(segments)).astype(float)
        price = np.bincount(index, numbers(examples["price"])[keep], minlength=len(segments)) / np.maximum(shown, 1.0)
        days = len(np.unique(days_of(examples)))
        return cls(price, np.array([s.users for s in segments], float), shown / days)


def stacked(examples: pa.Table, matrix: np.ndarray, seed: int) -> tuple[Rows, float]:
    """Click rows, then value rows, and the currency that one unit of the target stands for in a value row.

    ``matrix``: the encoded examples. Value rows are scaled to the clicks' mean and weighed by their dispersion,
    sum y / sum y^2 (1 for clicks): the quasi-Poisson weight (Wedderburn 1974).
    """
    rng = np.random.default_rng(seed)
    days = days_of(examples)
    distinct = np.unique(days)
    later = days >= distinct[-max(1, round(VALIDATION_SHARE * len(distinct)))]
    clicks, value = numbers(examples["clicked"]), numbers(examples["conversion_value"])
    labelled = ~np.isnan(value)
    kept = labelled & ((clicks > 0) | (rng.random(len(clicks)) < SILENT_SHARE))
    scale = float(value[labelled].sum() / max(clicks[labelled].sum(), 1.0)) or 1.0
    target = value[kept] / scale
    dispersion = float((target**2).sum() / max(target.sum(), 1e-12)) or 1.0
    weight = np.where(clicks[kept] > 0, 1.0, 1.0 / SILENT_SHARE) / dispersion
    features = np.concatenate([
        np.column_stack([matrix, np.zeros(len(matrix), np.float32)]),
        np.column_stack([matrix[kept], np.ones(int(kept.sum()), np.float32)]),
    ])  # fmt: skip
    late = np.concatenate([later, later[kept]])
    return Rows(features, np.concatenate([clicks, target]), np.concatenate([np.ones(len(clicks)), weight]), late), scale


def split(
    rule: str, reward: np.ndarray, supply: Supply, fatigue: float, *, budget: float, days: int, k: int
) -> list[tuple[int, int, float]]:
    """At most k (creative, segment, amount) that add up to ``budget``, for ``reward`` an impression, (creatives, segments)."""
    per_unit = reward / supply.price
    shape = per_unit.shape
    if rule in ("equal", "proportional"):
        chosen = np.argsort(-per_unit, axis=None, kind="stable")[:k]
        share = np.ones(len(chosen)) if rule == "equal" else per_unit.ravel()[chosen]
        amounts = budget * share / share.sum()
    else:
        spend = budget * np.linspace(0.0, 1.0, STEPS + 1)
        gain = per_unit[:, :, None] * _bent(spend, supply, fatigue, days, rule == "fatigue and supply")[None]
        chosen, amounts = water_filling(spend, gain.reshape(-1, len(spend)), k)
    return [(*map(int, np.unravel_index(i, shape)), float(a)) for i, a in zip(chosen, amounts, strict=True) if a > 0]  # type: ignore[misc]


def water_filling(spend: np.ndarray, gain: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k lines worth most at the price of money at which they spend all of ``spend[-1]``, and their amounts.

    ``spend`` has equal steps from 0, ``gain`` is concave along its second axis, shape (lines, steps + 1).
    """
    low, high = 0.0, float(np.diff(gain, axis=1).max() / spend[1]) * 1.01
    for _ in range(50):
        price = (low + high) / 2
        net = gain - price * spend
        best = np.argsort(-net.max(axis=1), kind="stable")[:k]
        low, high = (price, high) if spend[net.argmax(axis=1)][best].sum() > spend[-1] else (low, price)
    chosen = np.argsort(-(gain - high * spend).max(axis=1), kind="stable")[:k]
    slope = np.diff(gain[chosen], axis=1)
    taken = np.argsort(-slope, axis=None, kind="stable")[: len(spend) - 1] // slope.shape[1]
    return chosen, np.bincount(taken, minlength=len(chosen)) * spend[1]


def _bent(spend: np.ndarray, supply: Supply, fatigue: float, days: int, bounded: bool) -> np.ndarray:
    """(segments, spends) the straight-line spend that brings as much as each spend does, as users tire and supply ends."""
    bought = spend[None, :] / supply.price[:, None]
    if bounded:
        offered = (supply.daily * days)[:, None]
        bought = offered * -np.expm1(-bought / offered)
    exposures = bought / supply.users[:, None] * min(7, days) / days
    return np.asarray(bought * (1.0 + exposures) ** -fatigue * supply.price[:, None])


def _settings(changes: dict[str, Any], seed: int, threads: int) -> dict[str, Any]:
    more = {"objective": "poisson", "metric": "poisson", "seed": seed % 2**31, "num_threads": threads}
    return {**PARAMETERS, **changes, **more}


def _log_rate(effects: CrossEffects, features: np.ndarray) -> np.ndarray:
    """Log of the effects' click probability of each row, shape (rows,)."""
    return np.asarray(-np.logaddexp(0.0, -effects.score(features[:, : len(FEATURES)])))


def _without_creative(features: np.ndarray) -> np.ndarray:
    """Features for the trees, which do not see the creative's id, as the product's do not: it is a shrunk effect."""
    out = features.copy()
    out[:, FEATURES.index("creative_id")] = np.nan
    return out


def _dataset(rows: Rows, offset: np.ndarray, mask: np.ndarray, settings: dict[str, Any], reference: Any = None) -> Any:
    import lightgbm as lgb

    return lgb.Dataset(
        _without_creative(rows.features[mask]), rows.target[mask], weight=rows.weight[mask], init_score=offset[mask],
        reference=reference, params=settings, feature_name=[*FEATURES, "objective"],
        categorical_feature=[FEATURES.index(c) for c in CATEGORICAL],
    )  # fmt: skip
