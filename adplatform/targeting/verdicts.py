"""Whether a challenger may take the champion's place. Floors and limits are fixed here, before any data is seen."""

from __future__ import annotations

from math import ceil
from typing import Final

import numpy as np
import pyarrow as pa
from scipy import special

from adplatform.contracts.errors import InputError
from adplatform.contracts.features import LABEL
from adplatform.contracts.promotion import Check, Verdict
from adplatform.contracts.targeting import PolicyEvaluation
from adplatform.stats import calibration, intervals
from adplatform.targeting.calibration import logit, sigmoid
from adplatform.targeting.evaluation import user_clusters
from adplatform.targeting.features import days_of, numbers
from adplatform.targeting.response import Response

MINIMUM_EFFECTIVE_SAMPLE: Final = 1000.0
MINIMUM_WEIGHTED_CLICKS: Final = 50.0
MEAN_WEIGHT_ERRORS: Final = 4.0
MINIMUM_CLICKS: Final = 200
OBSERVED_OVER_EXPECTED: Final = 0.10
"""Largest distance of observed over expected clicks from 1, passed when the 99 % bound towards 1 lies beyond it."""
CALIBRATION_SLOPE: Final = 0.25
"""Largest distance from 1 of the slope of the labels on the logit (Cox 1958), judged likewise."""
BOUND_LEVEL: Final = 0.98
"""Of a two-sided interval, so that each bound is one-sided at 99 %."""


def policy_verdict(evaluation: PolicyEvaluation) -> Verdict:
    """Checks of a bandit policy: enough overlap and clicks, weights of mean 1, DR lower bound of the gain above 0."""
    e = evaluation
    enough = (
        _floor("effective sample size", e.effective_sample_size, MINIMUM_EFFECTIVE_SAMPLE, e.decisions, "decisions"),
        _floor("weighted clicks", e.weighted_clicks, MINIMUM_WEIGHTED_CLICKS, e.decisions, "decisions"),
    )
    away = abs(e.mean_weight - 1.0)
    limit = MEAN_WEIGHT_ERRORS * e.mean_weight_standard_error + 1e-9
    weights = Check(
        rule=f"mean weight within {MEAN_WEIGHT_ERRORS:.0f} standard errors of 1",
        figure=away,
        limit=limit,
        passed=away <= limit,
        reason=f"mean weight {e.mean_weight:.3f} ({e.mean_weight_standard_error:.3f})"
        + ("" if away <= limit else ": the propensities or the candidates are wrong"),
    )
    low, decided = e.difference.interval.low, all(c.passed for c in enough)
    same = e.policy_version == e.champion_version
    gain = Check(
        rule="DR lower bound of the gain over the champion above 0",
        figure=low if decided else None,
        limit=0.0,
        passed=decided and low > 0 and not same,
        reason=_gain_reason(evaluation, decided, same),
    )
    return Verdict(
        agent="bandit_policy", challenger=e.policy_version, champion=e.champion_version, checks=(*enough, weights, gain)
    )


def response_verdict(held_out: pa.Table, challenger: Response, champion: Response) -> Verdict:
    """Checks of a response model on days that neither stopped nor calibrated it.

    Log loss against the champion's on the same rows (interval clustered by user), observed over expected clicks, and
    the slope of the labels on the logit. Raises InputError when a held-out day was trained on.
    """
    if held_out.num_rows == 0:
        raise InputError("held-out examples", "there are none", "hold out at least one day")
    first = days_of(held_out).min().astype(object)
    if challenger.trained_through >= first:
        raise InputError(
            "response model",
            f"was trained through {challenger.trained_through}, held-out days begin on {first}",
            "train it on earlier days than the held-out ones",
        )
    labels, clusters = numbers(held_out[LABEL]), user_clusters(held_out)
    ours, theirs = challenger.predict(held_out), champion.predict(held_out)
    clicks = int(labels.sum())
    enough = _floor("held-out clicks", clicks, MINIMUM_CLICKS, held_out.num_rows, "impressions")
    gain = intervals.cluster_mean(row_loss(theirs, labels) - row_loss(ours, labels), clusters)
    same = challenger.version == champion.version
    better = Check(
        rule="log loss below the champion's, lower bound of the paired difference above 0",
        figure=gain.low if enough.passed else None,
        limit=0.0,
        passed=enough.passed and gain.low > 0 and not same,
        reason=f"log loss {calibration.log_loss(ours, labels):.5f}, champion {calibration.log_loss(theirs, labels):.5f}, "
        f"gain {gain.value:.6f} [{gain.low:.6f}, {gain.high:.6f}]" + (" (the same model)" if same else ""),
    )
    rest = intervals.cluster_mean(labels - ours, clusters, BOUND_LEVEL)
    ratio = (calibration.observed_over_expected(ours, labels), *(1 + b / ours.mean() for b in (rest.low, rest.high)))
    slope, error = calibration_slope(ours, labels)
    reach = error * float(special.ndtri(0.5 + BOUND_LEVEL / 2))
    checks = (
        enough,
        better,
        _near("observed over expected clicks", ratio, OBSERVED_OVER_EXPECTED, enough.passed),
        _near("calibration slope", (slope, slope - reach, slope + reach), CALIBRATION_SLOPE, enough.passed),
    )
    return Verdict(agent="response_model", challenger=challenger.version, champion=champion.version, checks=checks)


def row_loss(p: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Negative log-likelihood of each row in nats, shape (rows,)."""
    q = np.clip(p, 1e-12, 1 - 1e-12)
    return np.asarray(-(labels * np.log(q) + (1 - labels) * np.log1p(-q)))


def calibration_slope(p: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Slope of a logistic regression of the labels on the predictions' logits, and its standard error.

    1 when spread is right, below 1 when too wide. (0, 0) where every prediction is the same.
    """
    score = logit(p)
    if np.ptp(score) < 1e-9:
        return 0.0, 0.0
    design, beta = np.column_stack([score, np.ones(len(score))]), np.array([1.0, 0.0])
    for _ in range(30):
        fitted = sigmoid(design @ beta)
        hessian = (design * (fitted * (1 - fitted))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.clip(np.linalg.solve(hessian, design.T @ (labels - fitted)), -1.0, 1.0)
        beta = beta + step
        if np.abs(step).max() < 1e-9:
            break
    return float(beta[0]), float(np.sqrt(np.linalg.inv(hessian)[0, 0]))


def _floor(what: str, figure: float, floor: float, n: int, unit: str) -> Check:
    passed = figure >= floor
    needed = f"about {ceil(n * floor / figure):,} {unit}" if figure > 0 else f"more {unit}"
    reason = f"{what} {figure:,.0f}" if passed else f"cannot tell: {what} {figure:,.0f} of {floor:,.0f}, needs {needed}"
    return Check(rule=f"{what} at least {floor:,.0f}", figure=float(figure), limit=floor, passed=passed, reason=reason)


def _near(what: str, found: tuple[float, float, float], distance: float, decided: bool) -> Check:
    """Whether a figure near 1 (with its lower and upper bound) is not shown to be further than ``distance`` from it.

    A few hundred clicks move observed over expected by 3 % a standard error: a limit on the point alone turned away 6
    of 20 simulated challengers that were better.
    """
    figure, low, high = found
    passed = decided and low <= 1 + distance and high >= 1 - distance
    return Check(
        rule=f"{what} not outside {1 - distance:.2f} to {1 + distance:.2f}",
        figure=figure if decided else None,
        limit=distance,
        passed=passed,
        reason=f"{what} {figure:.3f} [{low:.3f}, {high:.3f}]" if decided else f"cannot tell {what}: too few clicks",
    )


def _gain_reason(e: PolicyEvaluation, decided: bool, same: bool) -> str:
    if same:
        return "the challenger is the champion"
    if not decided:
        return "cannot tell: the log does not overlap enough with the policy"
    d = e.difference
    text = f"DR gain {d.value:+.5f} [{d.interval.low:+.5f}, {d.interval.high:+.5f}] clicks a decision over the champion"
    if d.interval.low > 0 or d.value <= 0:
        return text
    needed = ceil(e.decisions * (1.96 * d.standard_error / d.value) ** 2)
    return f"{text}; to tell a gain of this size needs about {needed:,} decisions"
