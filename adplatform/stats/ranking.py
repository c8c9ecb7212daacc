"""How good an order is, when what is ordered has a true value."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from adplatform.contracts.errors import InputError

Floats = NDArray[np.float64]


def ndcg(relevance: ArrayLike, scores: ArrayLike, k: int | None = None) -> float:
    """Normalised discounted cumulative gain with linear gains (Jarvelin and Kekalainen 2002), in [0, 1].

    ``relevance`` (true values, not negative) and ``scores`` have shape (n,); higher scores come first. Items with
    equal scores share their places' mean discount (McSherry and Najork 2008), so that ties earn nothing by luck.
    1.0 when every relevance is 0. Raises InputError on negative relevance or lengths that differ.
    """
    gain, score = _gains(relevance), np.asarray(scores, dtype=np.float64)
    if score.shape != gain.shape or not np.isfinite(score).all():
        raise InputError("scores", f"have shape {score.shape} for {gain.shape}", "give one finite score for each item")
    discount = _discount(gain.size, k)
    ideal = float(np.sort(gain)[::-1] @ discount)
    if ideal == 0:
        return 1.0
    _, group = np.unique(-score, return_inverse=True)
    mean_gain = np.bincount(group, weights=gain) / np.bincount(group)
    return min(1.0, float(mean_gain[np.sort(group)] @ discount) / ideal)


def random_ndcg(relevance: ArrayLike, k: int | None = None) -> float:
    """Expected NDCG of a random order, exactly. Shapes and errors as in ``ndcg``."""
    gain = _gains(relevance)
    return ndcg(gain, np.zeros(gain.size), k)


def normalised_gain(ours: float, random: float, oracle: float) -> float:
    """``(ours - random) / (oracle - random)``: 0 as good as chance, 1 as good as the truth.

    Raises InputError when the oracle is no better than chance.
    """
    if not oracle > random:
        raise InputError("oracle", f"{oracle} is not above random {random}", "take items whose true values differ")
    return (ours - random) / (oracle - random)


def _gains(relevance: ArrayLike) -> Floats:
    gain = np.asarray(relevance, dtype=np.float64)
    if gain.ndim != 1 or gain.size == 0 or not np.isfinite(gain).all() or (gain < 0).any():
        raise InputError("relevance", "is empty, negative or not finite", "give each item's true value, from 0")
    return gain


def _discount(n: int, k: int | None) -> Floats:
    discount = 1.0 / np.log2(np.arange(2, n + 2))
    if k is not None:
        discount[k:] = 0.0
    return discount
