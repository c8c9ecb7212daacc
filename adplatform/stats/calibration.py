"""Whether predicted probabilities come true."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from adplatform.contracts.errors import InputError
from adplatform.stats.intervals import check_level

Floats = NDArray[np.float64]


class Reliability(NamedTuple):
    """One entry for each bin, shape (bins,), from the lowest predictions to the highest.

    ``predicted`` and ``observed`` are means; ``low`` and ``high`` bound the observed rate if ``predicted`` were
    true; ``n`` counts rows; ``inside`` says whether ``observed`` lies between.
    """

    predicted: Floats
    observed: Floats
    low: Floats
    high: Floats
    n: NDArray[np.int64]
    inside: NDArray[np.bool_]


def _pair(p: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    predicted, label = np.asarray(p, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if predicted.ndim != 1 or predicted.shape != label.shape or predicted.size == 0:
        raise InputError("calibration", f"shapes {predicted.shape} and {label.shape}", "give one label per prediction")
    if not ((predicted >= 0) & (predicted <= 1)).all():
        raise InputError("p", "has a value outside [0, 1]", "give probabilities")
    return predicted, label


def reliability(p: ArrayLike, y: ArrayLike, bins: int = 20, level: float = 0.95) -> Reliability:
    """Equal-mass bins of the predictions ``p`` with the observed rate of ``y`` (0 or 1), both of shape (n,).

    Each bin has the exact binomial interval of its observed rate given its mean prediction. Raises InputError when
    there are fewer rows than bins, lengths differ, or a prediction is no probability.
    """
    from scipy import stats  # a second of every command and server that needs none of it

    predicted, label = _pair(p, y)
    if bins < 1 or predicted.size < bins:
        raise InputError("bins", f"{bins} bins for {predicted.size} rows", "ask for fewer bins than there are rows")
    order = np.argsort(predicted, kind="stable")
    edges = np.linspace(0, predicted.size, bins + 1).round().astype(np.int64)
    n = np.diff(edges)
    mean_p = np.clip(np.add.reduceat(predicted[order], edges[:-1]) / n, 0.0, 1.0)
    mean_y = np.add.reduceat(label[order], edges[:-1]) / n
    tail = (1 - check_level(level)) / 2
    low, high = stats.binom.ppf(tail, n, mean_p) / n, stats.binom.isf(tail, n, mean_p) / n
    inside = (mean_y >= low - 1e-12) & (mean_y <= high + 1e-12)
    return Reliability(mean_p, mean_y, low, high, n, inside)


def expected_calibration_error(p: ArrayLike, y: ArrayLike, bins: int = 20) -> float:
    """Mean distance of observed and predicted over equal-mass bins, weighted by rows (Naeini et al. 2015).

    Not 0 for a perfect model: noise of the bins adds to it. Read it beside ``reliability``.
    """
    r = reliability(p, y, bins)
    return float((np.abs(r.observed - r.predicted) * r.n).sum() / r.n.sum())


def observed_over_expected(p: ArrayLike, y: ArrayLike) -> float:
    """Sum of labels over sum of predictions; 1 when right on average. Raises InputError if every prediction is 0."""
    predicted, label = _pair(p, y)
    if predicted.sum() == 0:
        raise InputError("p", "is 0 everywhere", "give predictions of which one at least is positive")
    return float(label.sum() / predicted.sum())


def log_loss(p: ArrayLike, y: ArrayLike) -> float:
    """Mean negative log-likelihood in nats. ``y`` may be a probability (the expected loss under it).

    Predictions are kept 1e-12 away from 0 and 1, so that one sure mistake costs 27.6 and not infinity.
    """
    predicted, label = _pair(p, y)
    q = np.clip(predicted, 1e-12, 1 - 1e-12)
    return float(-(label * np.log(q) + (1 - label) * np.log1p(-q)).mean())


def gap_closed(model_loss: float, constant_loss: float, oracle_loss: float) -> float:
    """Share of the way from a constant to the oracle that the model goes; 1 is the oracle, below 0 worse than constant.

    Raises InputError when the oracle is no better than the constant: there is no gap to close.
    """
    gap = constant_loss - oracle_loss
    if not gap > 0:
        raise InputError(
            "oracle_loss", f"{oracle_loss} is not under {constant_loss}", "check the labels and the oracle"
        )
    return (constant_loss - model_loss) / gap
