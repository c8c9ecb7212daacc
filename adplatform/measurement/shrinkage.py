"""Rates and values of small cells, drawn towards their group by as much as the data say."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from adplatform.contracts.errors import InputError

Floats = NDArray[np.float64]
STRENGTHS: Final = (2.0, 1e6)
"""Prior strength (in trials) is sought between these; the upper one means the cells do not differ."""


def prior_strength(successes: ArrayLike, trials: ArrayLike, means: ArrayLike) -> float:
    """Trials that the prior is worth, by maximum marginal likelihood of the beta-binomial.

    ``successes``, ``trials`` and prior ``means`` have shape (cells,). Cells without trials say nothing; without any
    information the largest strength comes out. Raises InputError on impossible counts.
    """
    x, n, m = (np.asarray(v, dtype=np.float64) for v in (successes, trials, means))
    if not (x.shape == n.shape == m.shape and ((x >= 0) & (x <= n)).all() and ((m > 0) & (m < 1)).all()):
        raise InputError("cells", "counts or prior means are impossible", "give 0 <= successes <= trials, 0 < mean < 1")

    def loss(log_strength: float) -> float:
        a, b = np.exp(log_strength) * m, np.exp(log_strength) * (1 - m)
        return -float((special.betaln(a + x, b + n - x) - special.betaln(a, b)).sum())

    low, high = np.log(STRENGTHS)
    if n.sum() == 0:
        return STRENGTHS[1]
    found = optimize.minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-3})
    return float(np.exp(found.x)) if found.fun <= loss(high) else STRENGTHS[1]


class Value(NamedTuple):
    """A mean and its standard error, in the same unit (currency, or a share)."""

    mean: float
    standard_error: float


class GroupMeans(NamedTuple):
    """Mean value of each group shrunk to the overall mean; ``other`` is for a group never seen."""

    groups: dict[str, Value]
    other: Value


def shrink_means(groups: list[str], counts: ArrayLike, totals: ArrayLike) -> GroupMeans | None:
    """Normal-normal shrinkage of mean values from cells of ``counts`` things worth ``totals`` in all.

    Within-variance of one thing comes from cells of the same group, between-variance by moments (DerSimonian and
    Laird 1986). A variance that a lone cell cannot show is taken as the mean squared. None without any thing.
    """
    n, total, labels = np.asarray(counts, dtype=np.float64), np.asarray(totals, dtype=np.float64), np.asarray(groups)
    keep = n > 0
    if not keep.any():
        return None
    n, total = n[keep], total[keep]
    names, index = np.unique(labels[keep], return_inverse=True)
    group_n, group_total = (np.bincount(index, v).astype(np.float64) for v in (n, total))
    means, overall = group_total / group_n, float(total.sum() / n.sum())
    freedom = len(n) - len(names)
    residual = float((n * (total / n - means[index]) ** 2).sum())
    within = residual / freedom if freedom > 0 and residual > 0 else overall**2
    between = _between(means, group_n, within, overall)
    precision = group_n / within + (1 / between if between > 0 else np.inf)
    if between > 0:
        shrunk, errors = (means * group_n / within + overall / between) / precision, 1 / np.sqrt(precision)
    else:
        shrunk, errors = np.full(len(names), overall), np.full(len(names), np.sqrt(within / n.sum()))
    values = {str(g): Value(float(m), float(e)) for g, m, e in zip(names, shrunk, errors, strict=True)}
    return GroupMeans(values, Value(overall, float(np.sqrt(between + within / n.sum()))))


def _between(means: Floats, n: Floats, within: float, overall: float) -> float:
    """Variance between groups, 0 or more."""
    w = n / within
    slack = w.sum() - (w**2).sum() / w.sum()
    return max(0.0, float(((w * (means - overall) ** 2).sum() - (len(means) - 1)) / slack)) if slack > 0 else 0.0


def fatigue_exponent(exposures: ArrayLike, impressions: ArrayLike, clicks: ArrayLike) -> float:
    """The f of a click rate that falls as (1 + exposures)^-f, 0 or more, by Poisson likelihood.

    Arguments have shape (bins,): earlier exposures of the same user to the same creative, impressions and clicks
    there. The level is profiled out. 0 where there is no click or only one bin. Raises InputError on shapes.
    """
    e, n, c = (np.asarray(v, dtype=np.float64) for v in (exposures, impressions, clicks))
    if not (e.shape == n.shape == c.shape) or (e < 0).any():
        raise InputError("exposures", "differ in shape or are negative", "give exposures, impressions, clicks by bin")
    keep = n > 0
    e, n, c = e[keep], n[keep], c[keep]
    if c.sum() == 0 or len(np.unique(e)) < 2:
        return 0.0
    logs = np.log1p(e)

    def loss(f: float) -> float:
        return float(f * (c * logs).sum() + c.sum() * np.log((n * np.exp(-f * logs)).sum()))

    return max(0.0, float(optimize.minimize_scalar(loss, bounds=(-2.0, 3.0), method="bounded").x))
