"""How a claim is judged: a figure holds or not against the error of the runs it came from (docs/contracts.md)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from adplatform.contracts.errors import InputError
from adplatform.stats.intervals import Bounds, check_counts, check_level, cluster_mean, normal_mean


class PairedDifference(NamedTuple):
    """Mean of ``a - b`` with its interval."""

    mean: float
    low: float
    high: float


def monte_carlo_band(nominal: float, n: int, cells: int = 1, level: float = 0.99) -> Bounds:
    """Rates that ``n`` runs may show when the true rate is ``nominal``.

    Exact binomial quantiles; the error left over is divided by ``cells`` (Bonferroni), so that a table of that many
    rates is inside as a whole with probability ``level``. Raises InputError if nominal is no probability or n < 1.
    """
    if not (0 <= nominal <= 1 and n >= 1 and cells >= 1):
        raise InputError(
            "band", f"nominal {nominal}, n {n}, cells {cells}", "give a rate in [0, 1], n and cells from 1"
        )
    from scipy import stats  # a second of every command and server that needs none of it

    tail = (1 - check_level(level)) / cells / 2
    return Bounds(float(stats.binom.ppf(tail, n, nominal)) / n, float(stats.binom.isf(tail, n, nominal)) / n)


def rate_lower_bound(events: int, n: int, level: float = 0.99) -> float:
    """Exact one-sided lower bound of a rate (Clopper and Pearson). Raises InputError on impossible counts.

    "At most 5 %" holds when this is not above 0.05.
    """
    check_counts("rate_lower_bound", events, n)
    return 0.0 if events == 0 else float(special.betaincinv(events, n - events + 1, 1 - check_level(level)))


def rate_upper_bound(events: int, n: int, level: float = 0.99) -> float:
    """Exact one-sided upper bound of a rate (Clopper and Pearson). Raises InputError on impossible counts."""
    check_counts("rate_upper_bound", events, n)
    return 1.0 if events == n else float(special.betaincinv(events + 1, n - events, check_level(level)))


def paired_difference(
    a: ArrayLike, b: ArrayLike, level: float = 0.95, clusters: NDArray[Any] | None = None
) -> PairedDifference:
    """Mean of ``a - b`` over pairs (seeds, folds), shape (n,), with Student's interval, clustered where asked.

    Raises InputError when the lengths differ.
    """
    left, right = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if left.shape != right.shape:
        raise InputError(
            "pairs", f"have shapes {left.shape} and {right.shape}", "give one value of each for every pair"
        )
    mean = normal_mean(left - right, level) if clusters is None else cluster_mean(left - right, clusters, level)
    return PairedDifference(mean.value, mean.low, mean.high)
