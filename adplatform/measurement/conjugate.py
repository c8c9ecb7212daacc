"""Lift that must answer at once: independent beta posteriors of two arms, compared by exact integration."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from adplatform.contracts.base import Interval
from adplatform.contracts.errors import InputError
from adplatform.contracts.measurement import ExperimentCounts, LiftEstimate

JEFFREYS: Final = (0.5, 0.5)
NODES: Final = 48
"""Gauss-Legendre nodes; against 768 of them the bounds move by at most 2e-4 of the width from 3 to 50,000 successes."""
STEPS: Final = 60

Floats = NDArray[np.float64]
_U, _W = np.polynomial.legendre.leggauss(NODES)
_SHARES: Final[Floats] = (_U + 1) / 2
_WEIGHTS: Final[Floats] = _W / 2


class Beta(NamedTuple):
    """A beta distribution over a rate."""

    a: float
    b: float

    @property
    def mean(self) -> float:
        """Expected rate."""
        return self.a / (self.a + self.b)

    @property
    def variance(self) -> float:
        """Variance of the rate."""
        return self.mean * (1 - self.mean) / (self.a + self.b + 1)


def posterior(successes: float, users: float, prior: tuple[float, float] = JEFFREYS) -> Beta:
    """Beta posterior of a rate after ``successes`` of ``users``. Raises InputError on impossible counts."""
    if not 0 <= successes <= users:
        raise InputError("successes", f"{successes} of {users}", "count each user once")
    return Beta(prior[0] + successes, prior[1] + users - successes)


def probability_greater(treatment: Beta, control: Beta) -> float:
    """P(treatment rate > control rate)."""
    nodes = _nodes(control)
    return float(np.clip(_WEIGHTS @ special.betaincc(treatment.a, treatment.b, nodes), 0.0, 1.0))


def difference_interval(treatment: Beta, control: Beta, level: float = 0.95) -> Interval:
    """Equal-tailed interval of treatment rate - control rate.

    P(T - C <= d) is the integral of F_T(p + d) over control's posterior, taken at its Gauss-Legendre quantiles.
    """
    nodes = _nodes(control)

    def cdf(d: float) -> float:
        return float(_WEIGHTS @ special.betainc(treatment.a, treatment.b, np.clip(nodes + d, 0.0, 1.0)))

    middle, spread = treatment.mean - control.mean, float(np.sqrt(treatment.variance + control.variance))
    tail = (1 - level) / 2
    low = _quantile(cdf, tail, middle, spread, -1.0, 1.0)
    high = _quantile(cdf, 1 - tail, middle, spread, -1.0, 1.0)
    return Interval(low=low, high=high, level=level)


def relative(treatment: Beta, control: Beta, level: float = 0.95) -> tuple[float, Interval]:
    """Median and equal-tailed interval of treatment rate / control rate - 1, solved on the log of the ratio."""
    nodes = _nodes(control)

    def cdf(log_ratio: float) -> float:
        return float(_WEIGHTS @ special.betainc(treatment.a, treatment.b, np.clip(nodes * np.exp(log_ratio), 0.0, 1.0)))

    middle = float(np.log(treatment.mean / control.mean))
    spread = float(np.sqrt(special.polygamma(1, treatment.a) + special.polygamma(1, control.a)))
    tail = (1 - level) / 2
    low, median, high = (float(np.expm1(_quantile(cdf, q, middle, spread, -50.0, 50.0))) for q in (tail, 0.5, 1 - tail))
    return median, Interval(low=low, high=high, level=level)


def lift(counts: ExperimentCounts, level: float = 0.95, prior: tuple[float, float] = JEFFREYS) -> LiftEstimate:
    """Lift of one experiment by itself, in about a millisecond. ``relative`` is None without a control success."""
    control = posterior(counts.control.successes, counts.control.users, prior)
    treatment = posterior(counts.treatment.successes, counts.treatment.users, prior)
    ratio, ratio_interval = relative(treatment, control, level) if counts.control.successes else (None, None)
    return LiftEstimate(
        experiment_id=counts.experiment_id,
        absolute=treatment.mean - control.mean,
        absolute_interval=difference_interval(treatment, control, level),
        relative=ratio,
        relative_interval=ratio_interval,
        probability_positive=probability_greater(treatment, control),
        method="conjugate",
    )


@lru_cache(maxsize=64)
def _nodes(control: Beta) -> Floats:
    return np.asarray(special.betaincinv(control.a, control.b, _SHARES))


def _quantile(
    cdf: Callable[[float], float], target: float, middle: float, spread: float, least: float, most: float
) -> float:
    """Where the rising ``cdf`` reaches ``target``: regula falsi (Illinois) from a normal guess, kept in a bracket."""
    guess = middle + spread * float(special.ndtri(target))
    low, high = max(least, guess - spread / 5), min(most, guess + spread / 5)
    f_low, f_high = cdf(low) - target, cdf(high) - target
    while f_low > 0 and low > least:
        low = max(least, low - spread)
        f_low = cdf(low) - target
    while f_high < 0 and high < most:
        high = min(most, high + spread)
        f_high = cdf(high) - target
    side = 0
    for _ in range(STEPS):
        x = (low + high) / 2 if f_high == f_low else (low * f_high - high * f_low) / (f_high - f_low)
        f = cdf(x) - target
        if abs(f) < 1e-6 or high - low < 1e-12:
            return x
        if f < 0:
            low, f_low, f_high, side = x, f, f_high / 2 if side < 0 else f_high, -1
        else:
            high, f_high, f_low, side = x, f, f_low / 2 if side > 0 else f_low, 1
    return (low + high) / 2
