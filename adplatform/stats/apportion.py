"""Whole cents out of real weights: the one rule by which money is divided without a cent lost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Cents = npt.NDArray[np.int64]
SMALLEST = 1e-200
"""Weights below this part of the largest count as it, so that a limit over a weight stays finite."""


def apportion(
    total: int,
    weights: Sequence[float] | npt.NDArray[np.float64],
    low: Sequence[int] | Cents | None = None,
    high: Sequence[int] | Cents | None = None,
    names: Sequence[str] | None = None,
) -> Cents:
    """Divide ``total`` whole units in proportion to ``weights``, each within ``[low, high]``.

    Solves ``sum clip(t * weight, low, high) = total`` for ``t`` exactly (piecewise linear in ``t``), then gives the
    units lost to rounding down to the largest remainders (Hamilton's method); ties go to the first name.

    Shapes: everything ``(n,)``; returns int64 ``(n,)``. The sum is ``min(total, sum of high)``; an option of weight 0
    gets ``low``. Raises ValueError when a bound or weight is negative or not finite, low exceeds high, or the lows exceed total.
    """
    w = np.asarray(weights, dtype=np.float64)
    lo = np.zeros(len(w), dtype=np.int64) if low is None else np.asarray(low, dtype=np.int64)
    hi = np.full(len(w), total, dtype=np.int64) if high is None else np.asarray(high, dtype=np.int64)
    hi = np.minimum(hi, max(total, 0))
    if not np.isfinite(w).all() or (w < 0).any() or (lo < 0).any() or (hi < lo).any() or lo.sum() > total:
        raise ValueError("weights must be finite and at least 0, and the lows within the highs and the total")
    hi = np.where(w > 0, hi, lo)
    total = min(total, int(hi.sum()))
    scale = w.max(initial=0.0)
    if scale == 0.0:
        return lo
    w = np.where(w > 0, np.maximum(w / scale, SMALLEST), 0.0)
    real = np.clip(_multiplier(total, w, lo, hi) * w, lo, hi)
    return _round(total, real, lo, hi, names)


def _multiplier(total: int, w: npt.NDArray[np.float64], lo: Cents, hi: Cents) -> float:
    """``t`` at which ``sum clip(t * w, lo, hi)`` is ``total``: bracket it between breakpoints, then interpolate."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        points = np.unique(np.concatenate([lo[w > 0] / w[w > 0], hi[w > 0] / w[w > 0]]))
    points = points[np.isfinite(points)]

    def filled(t: float) -> float:
        return float(np.clip(t * w, lo, hi).sum())

    left, right = 0, len(points) - 1
    while right - left > 1:
        middle = (left + right) // 2
        left, right = (middle, right) if filled(points[middle]) <= total else (left, middle)
    # Solved on the options that move between the two: breakpoints may lie many orders of magnitude apart.
    middle_point = points[left] / 2.0 + points[right] / 2.0
    wanted = middle_point * w
    moves = (wanted > lo) & (wanted < hi)
    if not moves.any():
        return float(points[left])
    fixed = float(np.where(moves, 0.0, np.clip(wanted, lo, hi)).sum())
    return float(min(max((total - fixed) / float(w[moves].sum()), points[left]), points[right]))


def _round(total: int, real: npt.NDArray[np.float64], lo: Cents, hi: Cents, names: Sequence[str] | None) -> Cents:
    """Largest remainders; a few passes, because limits may refuse a unit and floats may be a unit out."""
    units = np.clip(np.floor(real + 1e-9).astype(np.int64), lo, hi)
    keys = list(names) if names is not None else [""] * len(real)
    remainder = np.round(real - units, 6)
    order = sorted(range(len(real)), key=lambda i: (-remainder[i], keys[i], i))
    left = total - int(units.sum())
    while left != 0:
        step = 1 if left > 0 else -1
        for i in order if left > 0 else order[::-1]:
            if left != 0 and lo[i] <= units[i] + step <= hi[i]:
                units[i] += step
                left -= step
    return units
