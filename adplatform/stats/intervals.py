"""Intervals for rates, differences of rates and means, each from its paper."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from adplatform.contracts.errors import InputError


class Bounds(NamedTuple):
    """Lower and upper end of an interval."""

    low: float
    high: float


class MeanInterval(NamedTuple):
    """A mean with its standard error and interval, in the units of the values."""

    value: float
    standard_error: float
    low: float
    high: float


def check_counts(where: str, successes: float, n: float) -> None:
    """Raise InputError unless 0 <= successes <= n and n >= 1."""
    if not (0 <= successes <= n and n >= 1):
        raise InputError(where, f"{successes} successes of {n}", "count each unit once: 0 <= successes <= n, n >= 1")


def check_level(level: float) -> float:
    """The level, or InputError unless it is strictly between 0 and 1."""
    if not 0 < level < 1:
        raise InputError("level", f"is {level}", "give a coverage between 0 and 1, such as 0.95")
    return level


def wilson(successes: float, n: float, level: float = 0.95) -> Bounds:
    """Score interval of a rate (Wilson 1927). Raises InputError on impossible counts."""
    check_counts("wilson", successes, n)
    z = float(special.ndtri(0.5 + check_level(level) / 2))
    rate, shrink = successes / n, 1 + z * z / n
    middle = (rate + z * z / (2 * n)) / shrink
    half = z / shrink * np.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else max(0.0, float(middle - half))
    high = 1.0 if successes == n else min(1.0, float(middle + half))
    return Bounds(low, high)


def clopper_pearson(successes: int, n: int, level: float = 0.95) -> Bounds:
    """Exact interval of a rate (Clopper and Pearson 1934). Raises InputError on impossible counts."""
    check_counts("clopper_pearson", successes, n)
    tail = (1 - check_level(level)) / 2
    low = 0.0 if successes == 0 else float(special.betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes == n else float(special.betainccinv(successes + 1, n - successes, tail))
    return Bounds(low, high)


def newcombe(
    control_successes: float, control_n: float, treatment_successes: float, treatment_n: float, level: float = 0.95
) -> Bounds:
    """Interval of treatment rate less control rate from two Wilson intervals (Newcombe 1998, method 10)."""
    control = wilson(control_successes, control_n, level)
    treatment = wilson(treatment_successes, treatment_n, level)
    c, t = control_successes / control_n, treatment_successes / treatment_n
    low = t - c - float(np.hypot(t - treatment.low, control.high - c))
    high = t - c + float(np.hypot(treatment.high - t, c - control.low))
    return Bounds(low, high)


def normal_mean(values: ArrayLike, level: float = 0.95) -> MeanInterval:
    """Mean of independent values, shape (n,), with Student's interval; infinite for a single value.

    Raises InputError when there is no value.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or x.size == 0:
        raise InputError("values", f"have shape {x.shape}", "give a list of at least one number")
    error = float(x.std(ddof=1)) / float(np.sqrt(x.size)) if x.size > 1 else float("inf")
    return _student(float(x.mean()), error, x.size - 1, level)


def cluster_mean(values: ArrayLike, clusters: NDArray[Any] | list[Any], level: float = 0.95) -> MeanInterval:
    """Mean over rows that share clusters (users, experiments): rows within one may depend on each other.

    Linearised variance of a ratio with CR1 correction (Liang and Zeger 1986): g/(g-1) * sum over clusters of the
    squared sum of residuals, over n squared. ``values`` and ``clusters`` have shape (n,). Raises InputError when
    lengths differ.
    """
    x = np.asarray(values, dtype=np.float64)
    labels = np.asarray(clusters)
    if x.shape != labels.shape or x.ndim != 1 or x.size == 0:
        raise InputError("clusters", f"have shape {labels.shape} for values {x.shape}", "give one label for each value")
    _, index = np.unique(labels, return_inverse=True)
    sums = np.bincount(index, weights=x - x.mean())
    groups = sums.size
    if groups < 2:
        return _student(float(x.mean()), float("inf"), 0, level)
    error = float(np.sqrt(groups / (groups - 1) * (sums**2).sum())) / x.size
    return _student(float(x.mean()), error, groups - 1, level)


def _student(mean: float, error: float, freedom: int, level: float) -> MeanInterval:
    check_level(level)
    half = float(special.stdtrit(freedom, 0.5 + level / 2)) * error if freedom > 0 else float("inf")
    return MeanInterval(mean, error, mean - half, mean + half)
