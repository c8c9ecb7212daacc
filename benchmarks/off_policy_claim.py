"""Claim ``off-policy``: the doubly robust interval holds the true value of a policy.

The world is a contextual bandit with finitely many contexts, so that a policy's value is an exact sum: no Monte
Carlo in the truth. Sample size and overlap vary from log to log; the reward model is fitted on other folds of the same
log and is wrong on purpose (it ignores the context), as models in the field are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adplatform.contracts.claims import Claim
from adplatform.stats import off_policy
from adplatform.stats.claims import monte_carlo_band
from adplatform.targeting.open_bandit import EFFECTIVE_SAMPLE_FLOOR, WEIGHTED_CLICKS_FLOOR

Floats = NDArray[np.float64]

SIZES: Final = (4_000, 15_000, 60_000)
OVERLAPS: Final = {"high": 0.5, "medium": 1.5, "low": 4.0}
"""Inverse temperature of the policy to be valued; the logging policy has 0.3 and explores 10 %."""
CONTEXTS, ACTIONS, FOLDS = 40, 10, 2
BAND: Final = (0.93, 0.97)


class World(NamedTuple):
    """Probability of each context, and each action's click rate and policies' probabilities in it."""

    context: Floats
    rate: Floats
    logging: Floats
    target: Floats

    @property
    def value(self) -> float:
        """True expected clicks per decision of the target policy."""
        return float(self.context @ (self.target * self.rate).sum(axis=1))


class Log(NamedTuple):
    """Decisions as drawn: context, action, click, each shape (n,)."""

    context: NDArray[np.int64]
    action: NDArray[np.int64]
    reward: Floats


def _softmax(score: Floats) -> Floats:
    e = np.exp(score - score.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def world(rng: np.random.Generator, sharpness: float) -> World:
    """Click rates around 4 %, a logging policy that knows them badly, a target that knows them a little better."""
    context = rng.dirichlet(np.full(CONTEXTS, 2.0))
    logit = -3.3 + 0.5 * rng.standard_normal((CONTEXTS, ACTIONS)) + 0.3 * rng.standard_normal(ACTIONS)
    believed = logit + 0.6 * rng.standard_normal(logit.shape)
    logging = 0.9 * _softmax(0.3 * believed) + 0.1 / ACTIONS
    target = _softmax(sharpness * (logit + 0.4 * rng.standard_normal(logit.shape)))
    return World(context, 1 / (1 + np.exp(-logit)), logging, target)


def draw(rng: np.random.Generator, w: World, n: int) -> Log:
    """``n`` decisions of the logging policy."""
    context = rng.choice(CONTEXTS, size=n, p=w.context)
    action = (rng.random((n, 1)) > w.logging.cumsum(axis=1)[context]).sum(axis=1).clip(max=ACTIONS - 1)
    return Log(context, action, (rng.random(n) < w.rate[context, action]).astype(np.float64))


def value(w: World, log: Log, logging: Floats) -> tuple[off_policy.OffPolicyEstimate, off_policy.Diagnostics]:
    """Cross-fitted DR of the target policy from the log, and the log's overlap.

    ``logging`` has the propensities that the log claims, shape (contexts, actions).
    """
    n = log.reward.size
    fold = np.arange(n) % FOLDS
    rates = np.empty((FOLDS, ACTIONS))
    for f in range(FOLDS):
        a, r = log.action[fold != f], log.reward[fold != f]
        rates[f] = (np.bincount(a, weights=r, minlength=ACTIONS) + 1) / (np.bincount(a, minlength=ACTIONS) + 25)
    weight = (w.target / logging)[log.context, log.action]
    q_policy = (rates @ w.target.T)[fold, log.context]
    estimate = off_policy.dr(log.reward, weight, rates[fold, log.action], q_policy)
    return estimate, off_policy.diagnostics(log.reward, weight)


def run(n: int = 1000, seed: int = 104, progress: Callable[[float], None] | None = None) -> Claim:
    """``n`` logs over three sizes and three overlaps, each with a fresh world and its own seed.

    A log under the floors of the product (effective sample size, weighted clicks) would get no figure there: it is
    counted as refused and left out, and the next one takes its place, so that ``n`` intervals are judged. The control
    values the same logs as if the logging policy had been uniform: its intervals must miss.
    """
    cells = list(itertools.product(OVERLAPS, SIZES))
    seen = {cell: [0, 0, 0] for cell in cells}  # intervals, holding, refused
    widths: dict[tuple[str, int], list[float]] = {cell: [] for cell in cells}
    misses = [0, 0]
    control = 0
    drawn = judged = 0
    while judged < n:
        cell = cells[drawn % len(cells)]
        rng = np.random.default_rng(np.random.SeedSequence([seed, drawn]))
        drawn += 1
        w = world(rng, OVERLAPS[cell[0]])
        log = draw(rng, w, cell[1])
        estimate, found = value(w, log, w.logging)
        if found.effective_sample_size < EFFECTIVE_SAMPLE_FLOOR or found.weighted_clicks < WEIGHTED_CLICKS_FLOOR:
            seen[cell][2] += 1
            continue
        judged += 1
        seen[cell][0] += 1
        seen[cell][1] += estimate.low <= w.value <= estimate.high
        wrong, _ = value(w, log, np.full_like(w.logging, 1 / ACTIONS))
        control += wrong.low <= w.value <= wrong.high
        misses[0] += w.value < estimate.low
        misses[1] += w.value > estimate.high
        widths[cell].append((estimate.high - estimate.low) / w.value)
        if progress:
            progress(judged / n)
    held = sum(s[1] for s in seen.values())
    coverage = held / judged
    return Claim(
        name="off-policy",
        claim="the 95 % doubly robust interval holds the true value in 93 to 97 % of simulated logs",
        figure=coverage,
        holds=BAND[0] <= coverage <= BAND[1] and control / judged < BAND[0],
        n=judged,
        detail={
            "seed": seed,
            "refused": drawn - judged,
            "value_below_interval": misses[0],
            "value_above_interval": misses[1],
            "control_uniform_propensity_coverage": control / judged,
            "cells": [_cell(c, seen[c], widths[c], len(cells)) for c in cells],
        },
    )


def _cell(cell: tuple[str, int], counts: list[int], widths: list[float], cells: int) -> dict[str, object]:
    judged, held, refused = counts
    found: dict[str, object] = {"overlap": cell[0], "rounds": cell[1], "n": judged, "refused": refused}
    if judged:
        band = monte_carlo_band(0.95, judged, cells)
        found |= {"coverage": held / judged, "inside_band": band.low <= held / judged <= band.high,
                  "mean_relative_width": float(np.mean(widths))}  # fmt: skip
    return found
