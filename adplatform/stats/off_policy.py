"""What a policy would have earned, from the log of another policy.

Every estimator has the same three steps: value of each round, mean, interval. ``weight`` is the probability
of the logged action under the policy to be valued, over its probability under the policy that logged it.
Source: Dudik, Langford and Li 2011 (IPS, DM, DR); Swaminathan and Joachims 2015 (SNIPS).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from adplatform.contracts.errors import InputError
from adplatform.stats.intervals import cluster_mean, normal_mean

Floats = NDArray[np.float64]


class OffPolicyEstimate(NamedTuple):
    """A policy's value per decision.

    ``rounds`` has shape (n,) and mean ``value``: the round's contribution, centred so that its spread gives
    ``standard_error``. ``low`` and ``high`` bound the value at the level asked for.
    """

    name: str
    value: float
    standard_error: float
    low: float
    high: float
    rounds: Floats


class Diagnostics(NamedTuple):
    """Whether a log can value a policy.

    ``effective_sample_size`` is (sum w)^2 / sum w^2 (Kish 1965). ``weighted_clicks`` is the same of the rewarded
    rounds alone: the number of equally weighted clicks that would carry as much. ``mean_weight`` must be 1 within
    a few of its standard errors, or the propensities are wrong.
    """

    effective_sample_size: float
    weighted_clicks: float
    mean_weight: float
    mean_weight_standard_error: float


def _column(name: str, values: ArrayLike, n: int | None = None) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise InputError(name, f"has shape {array.shape}", "give one value for each logged round, at least one")
    if n is not None and array.size != n:
        raise InputError(name, f"has {array.size} values for {n} rounds", "give one value for each logged round")
    if not np.isfinite(array).all():
        raise InputError(name, "has a value that is not finite", "drop or mend that round")
    return array


def _weight(values: ArrayLike, n: int | None = None) -> Floats:
    weight = _column("weight", values, n)
    if (weight < 0).any():
        raise InputError("weight", "has a negative value", "give ratios of probabilities")
    return weight


def _estimate(name: str, rounds: Floats, level: float, clusters: NDArray[Any] | None) -> OffPolicyEstimate:
    mean = normal_mean(rounds, level) if clusters is None else cluster_mean(rounds, clusters, level)
    return OffPolicyEstimate(name, mean.value, mean.standard_error, mean.low, mean.high, rounds)


def ips(
    reward: ArrayLike, weight: ArrayLike, *, level: float = 0.95, clusters: NDArray[Any] | None = None
) -> OffPolicyEstimate:
    """Inverse propensity score: mean of ``weight * reward``. Unbiased where the logging policy has support.

    ``reward``, ``weight`` and ``clusters`` (rounds that share one depend on each other, a user's) have shape (n,).
    Raises InputError on lengths that differ, a value that is not finite, or a negative weight.
    """
    r = _column("reward", reward)
    return _estimate("IPS", r * _weight(weight, r.size), level, clusters)


def snips(
    reward: ArrayLike, weight: ArrayLike, *, level: float = 0.95, clusters: NDArray[Any] | None = None
) -> OffPolicyEstimate:
    """Self-normalised IPS: sum of ``weight * reward`` over sum of ``weight``; interval by the delta method.

    Shapes and errors as in ``ips``; InputError too where every weight is 0.
    """
    r = _column("reward", reward)
    w = _weight(weight, r.size)
    if w.sum() == 0:
        raise InputError("weight", "is 0 in every round", "the log has no action this policy would take; value another")
    value = float((w * r).mean() / w.mean())
    return _estimate("SNIPS", value + w * (r - value) / w.mean(), level, clusters)


def dm(q_policy: ArrayLike, *, level: float = 0.95, clusters: NDArray[Any] | None = None) -> OffPolicyEstimate:
    """Direct method: mean of ``q_policy``, shape (n,), the expected reward a model gives the policy in each round.

    The interval covers the sampling of rounds only; the model's own error is not in it.
    """
    return _estimate("DM", _column("q_policy", q_policy), level, clusters)


def dr(
    reward: ArrayLike,
    weight: ArrayLike,
    q_logged: ArrayLike,
    q_policy: ArrayLike,
    *,
    level: float = 0.95,
    clusters: NDArray[Any] | None = None,
) -> OffPolicyEstimate:
    """Doubly robust: ``q_policy + weight * (reward - q_logged)``, unbiased if weights or model are right.

    ``q_logged``, shape (n,), is the model's expected reward of the action that was logged. Fit that model on
    other rounds than these (or cross-fit), or the interval is too narrow. Errors as in ``ips``.
    """
    r = _column("reward", reward)
    w = _weight(weight, r.size)
    rounds = _column("q_policy", q_policy, r.size) + w * (r - _column("q_logged", q_logged, r.size))
    return _estimate("DR", rounds, level, clusters)


def difference(
    a: OffPolicyEstimate, b: OffPolicyEstimate, *, level: float = 0.95, clusters: NDArray[Any] | None = None
) -> OffPolicyEstimate:
    """``a`` less ``b``, paired round by round: both must come from the same log in the same order.

    Raises InputError if they have different numbers of rounds.
    """
    rounds = a.rounds - _column("b", b.rounds, a.rounds.size)
    name = a.name if a.name == b.name else f"{a.name}-{b.name}"
    return _estimate(name, rounds, level, clusters)


def diagnostics(reward: ArrayLike, weight: ArrayLike, clusters: NDArray[Any] | None = None) -> Diagnostics:
    """Overlap of a log with a policy; shapes and errors as in ``ips``."""
    r = _column("reward", reward)
    w = _weight(weight, r.size)
    mean = normal_mean(w) if clusters is None else cluster_mean(w, clusters)
    return Diagnostics(_kish(w), _kish(w * r), mean.value, mean.standard_error)


def _kish(w: Floats) -> float:
    square = float((w * w).sum())
    return float(w.sum()) ** 2 / square if square > 0 else 0.0
