"""Collaborative filtering: what users who click alike tell about each other (implicit ALS)."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np
import pyarrow as pa

from adplatform.contracts.errors import InputError
from adplatform.contracts.features import LABEL
from adplatform.stats.intervals import normal_mean
from adplatform.targeting.features import check_columns, numbers

CLICK_WEIGHT: Final = 20.0
IGNORED_WEIGHT: Final = 0.5
"""Confidence in 'does not like' for each impression that was not clicked, on ALS's scale."""


class RankingScore(NamedTuple):
    """Held-out ranking of clicked over ignored impressions, within users, against popularity.

    ``auc`` and ``popularity_auc`` are means over ``users`` who did both; ``low`` and ``high`` bound their difference.
    """

    auc: float
    popularity_auc: float
    difference: float
    low: float
    high: float
    users: int


class InteractionFactors:
    """Users and creatives in one space of ``factors`` dimensions; their product is an affinity (Hu et al. 2008)."""

    def __init__(
        self, users: list[str], creatives: list[str], user_factors: np.ndarray, creative_factors: np.ndarray
    ) -> None:
        self.users, self.creatives = users, creatives
        self.user_factors, self.creative_factors = user_factors, creative_factors
        self._user = {u: i for i, u in enumerate(users)}
        self._creative = {c: i for i, c in enumerate(creatives)}

    @classmethod
    def fit(
        cls,
        user_ids: np.ndarray,
        creative_ids: np.ndarray,
        weights: np.ndarray,
        *,
        seed: int,
        factors: int = 16,
        regularization: float = 5.0,
        iterations: int = 15,
        threads: int = 1,
    ) -> Self:
        """Fit on interactions, all of shape (n,); weights of one pair add up.

        A positive weight is the confidence in a liking, a negative one in a dislike, 0 says nothing. Deterministic
        for a seed. Raises InputError when nobody likes anything.
        """
        from implicit.als import AlternatingLeastSquares
        from scipy.sparse import coo_matrix
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        users, rows = np.unique(np.asarray(user_ids).astype(str), return_inverse=True)
        creatives, columns = np.unique(np.asarray(creative_ids).astype(str), return_inverse=True)
        counts = coo_matrix(
            (np.asarray(weights, np.float32), (rows, columns)), shape=(len(users), len(creatives))
        ).tocsr()
        if counts.nnz == 0 or counts.data.max() <= 0:
            raise InputError("interactions", "nobody clicked anything", "land days with clicks of consenting users")
        with threadpool_limits(1, "blas"):
            model = AlternatingLeastSquares(
                factors=factors,
                regularization=regularization,
                iterations=iterations,
                random_state=seed % 2**31,
                num_threads=threads,
                use_gpu=False,
                alpha=1.0,
            )
            model.fit(counts, show_progress=False)
        return cls(users.tolist(), creatives.tolist(), np.asarray(model.user_factors), np.asarray(model.item_factors))

    @classmethod
    def from_examples(cls, examples: pa.Table, *, seed: int, **options: Any) -> Self:
        """Fit on consenting users' impressions: a click weighs 20, an impression without one -0.5."""
        check_columns(examples, ("user_id", "creative_id", LABEL))
        users, creatives, clicked = _known(examples)
        return cls.fit(users, creatives, np.where(clicked > 0, CLICK_WEIGHT, -IGNORED_WEIGHT), seed=seed, **options)

    def scores(self, user_ids: np.ndarray, creative_ids: np.ndarray) -> np.ndarray:
        """Affinity of each pair, shape (n,); NaN where the user or the creative was never seen."""
        u = np.array([self._user.get(str(x), -1) for x in user_ids], int)
        c = np.array([self._creative.get(str(x), -1) for x in creative_ids], int)
        out = np.einsum("ij,ij->i", self.user_factors[u], self.creative_factors[c]).astype(float)
        out[(u < 0) | (c < 0)] = np.nan
        return np.asarray(out)

    def rank_users(self, creative_id: str, limit: int = 100) -> list[tuple[str, float]]:
        """Users with the highest affinity to a creative, best first. Raises InputError for a creative never seen."""
        affinity = self.user_factors @ self.creative_factors[self._index(creative_id)]
        order = np.argsort(-affinity, kind="stable")[:limit]
        return [(self.users[i], float(affinity[i])) for i in order]

    def similar(self, creative_id: str, limit: int = 10) -> list[tuple[str, float]]:
        """Creatives that the same users like, by cosine, without itself. Raises InputError for one never seen."""
        at = self._index(creative_id)
        norms = np.maximum(np.linalg.norm(self.creative_factors, axis=1), 1e-12)
        cosine = self.creative_factors @ self.creative_factors[at] / (norms * norms[at])
        order = [i for i in np.argsort(-cosine, kind="stable") if i != at][:limit]
        return [(self.creatives[i], float(cosine[i])) for i in order]

    def save(self, directory: Path) -> None:
        """Write factors.npz (float32) and ids.json into ``directory``."""
        directory.mkdir(parents=True, exist_ok=True)
        np.savez(directory / "factors.npz", users=self.user_factors, creatives=self.creative_factors)
        (directory / "ids.json").write_text(json.dumps({"users": self.users, "creatives": self.creatives}))

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what ``save`` wrote."""
        ids = json.loads((directory / "ids.json").read_text())
        with np.load(directory / "factors.npz", allow_pickle=False) as arrays:
            return cls(ids["users"], ids["creatives"], arrays["users"], arrays["creatives"])

    def _index(self, creative_id: str) -> int:
        if creative_id not in self._creative:
            raise InputError("creative_id", f"{creative_id} has no factors", "use a creative that users have seen")
        return self._creative[creative_id]


def ranking_score(factors: InteractionFactors, train: pa.Table, held_out: pa.Table) -> RankingScore:
    """Within each held-out user, how often a clicked creative scores above an ignored one (AUC; ties count half).

    Popularity is the smoothed click rate of the creative in ``train``. A pair that was never seen scores 0 affinity.
    Raises InputError when no held-out user has both a click and an ignored impression.
    """
    _, shown, clicked = _known(train)
    names, at = np.unique(shown, return_inverse=True)
    rate = clicked.mean() if len(clicked) else 0.0
    popular = dict(zip(names, (np.bincount(at, clicked) + 100 * rate) / (np.bincount(at) + 100), strict=True))
    users, creatives, label = _known(held_out)
    affinity = np.nan_to_num(factors.scores(users, creatives))
    popularity = np.array([popular.get(c, rate) for c in creatives])
    _, group = np.unique(users, return_inverse=True)
    ours, theirs = _user_auc(affinity, label, group), _user_auc(popularity, label, group)
    keep = np.isfinite(ours)
    if keep.sum() < 2:
        raise InputError("held-out examples", "fewer than two users have clicks and ignored ads", "hold out more days")
    gap = normal_mean(ours[keep] - theirs[keep])
    return RankingScore(
        float(ours[keep].mean()), float(theirs[keep].mean()), gap.value, gap.low, gap.high, int(keep.sum())
    )


def _user_auc(score: np.ndarray, label: np.ndarray, group: np.ndarray) -> np.ndarray:
    """AUC within each group by average ranks (Mann and Whitney 1947); NaN where a group has one class alone."""
    out = np.full(int(group.max(initial=-1)) + 1, np.nan)
    order = np.lexsort((score, group))
    edges = np.flatnonzero(np.diff(group[order], prepend=-1, append=-1))
    for start, end in itertools.pairwise(edges):
        rows = order[start:end]
        clicks = label[rows] > 0
        positive, negative = int(clicks.sum()), int((~clicks).sum())
        if positive and negative:
            _, inverse, counts = np.unique(score[rows], return_inverse=True, return_counts=True)
            rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
            out[group[rows[0]]] = (rank[clicks].sum() - positive * (positive + 1) / 2) / (positive * negative)
    return out


def _known(examples: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    known = examples.select(["user_id", "creative_id", LABEL]).drop_null()
    return (
        np.asarray(known["user_id"].to_numpy()).astype(str),
        np.asarray(known["creative_id"].to_numpy()).astype(str),
        numbers(known[LABEL]),
    )
