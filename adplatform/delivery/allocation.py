"""Money over options by posterior value: concave water-filling, exact to the cent.

Maximise ``sum_i r_i s_i (1 - exp(-b_i / s_i))`` subject to ``sum b_i = B`` and ``low_i <= b_i <= high_i``. The
Karush-Kuhn-Tucker conditions give ``b_i = clip(s_i (log r_i - log lambda), low_i, high_i)`` (Boyd and Vandenberghe,
Convex Optimization, section 5.5.3, example 5.2), which is piecewise linear in ``log lambda``: sort the breakpoints,
interpolate, done. Cents are then the exact optimum of the whole-cent problem: the greedy choice of the cents with the
largest gains, which is optimal for separable concave sums (Gross 1956; Fox 1966) and nested in the budget.
"""

from __future__ import annotations

import heapq
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from adplatform.contracts.delivery import Allocation, AllocationOption, AllocationRequest, AllocationShare
from adplatform.contracts.errors import InputError

CENT = Decimal("0.01")
LINEAR = 1e13
"""Saturations above this many units of currency count as this: below it a cent's gain is still told apart in float64."""
SHARP = 1e-5
"""Saturations below this count as it: a second cent then gains e^-1000 of the first."""
Reals = npt.NDArray[np.float64]
Cents = npt.NDArray[np.int64]


class Limits(NamedTuple):
    """Whole cents that each option must and may get, shapes ``(n,)``."""

    low: Cents
    high: Cents
    total: int


def to_cents(amount: Decimal) -> int:
    """An amount in whole cents; what is finer than a cent is cut off."""
    return int(amount * 100)


def limits(request: AllocationRequest) -> Limits:
    """Limits of every option in cents. InputError when they contradict each other or exceed the budget."""
    total = to_cents(request.budget)
    seen: set[str] = set()
    for option in request.options:
        if option.option_id in seen:
            raise InputError(f"option {option.option_id}", "named twice", "give each option its own id")
        seen.add(option.option_id)
    only = len(request.options) == 1
    cap = total if only else int(Decimal(str(request.largest_share)) * total)
    low = np.array([to_cents(o.minimum) for o in request.options], dtype=np.int64)
    asked = [total if o.maximum is None else min(to_cents(o.maximum), total) for o in request.options]
    high = np.minimum(np.array(asked, dtype=np.int64), cap)
    for option, least, most, own in zip(request.options, low, high, asked, strict=True):
        if least > own and option.maximum is not None and option.minimum > option.maximum:
            problem, mend = f"minimum {option.minimum} exceeds its maximum {option.maximum}", "lower the minimum"
            raise InputError(f"option {option.option_id}", problem, mend)
        if least > most and least <= total:
            problem = f"minimum {option.minimum} exceeds the largest share {request.largest_share} of {request.budget}"
            raise InputError(f"option {option.option_id}", problem, "lower the minimum or raise largest_share")
    if int(low.sum()) > total:
        problem = f"minimums add up to {Decimal(int(low.sum())) / 100}, more than the budget {request.budget}"
        raise InputError("minimum", problem, "lower the minimums or raise the budget")
    return Limits(low, high, total)


def reward(option: AllocationOption, budget: float, rate: float | None = None) -> float:
    """Expected reward of spending ``budget``, in the reward's unit (clicks or currency)."""
    r = option.reward_rate if rate is None else rate
    return float(r * option.saturation * -np.expm1(-budget / option.saturation))


def rates(request: AllocationRequest) -> Reals:
    """Rate by which each option is judged: the mean at risk 0, the lower end of its interval at risk 1. Shape ``(n,)``."""
    mean = np.array([o.reward_rate for o in request.options])
    low = np.minimum(np.maximum([o.reward_interval.low for o in request.options], 0.0), mean)
    return np.asarray((1.0 - request.risk) * mean + request.risk * low, dtype=np.float64)


def water_level(log_rate: Reals, slope: Reals, low: Reals, high: Reals, total: float) -> float:
    """``log lambda`` at which ``sum clip(slope (log_rate - log lambda), low, high) = total``; shapes ``(n,)``.

    Exact: the sum is piecewise linear and falling, so the level is interpolated between the two breakpoints around it.
    """
    points = np.unique(np.concatenate([log_rate - low / slope, log_rate - high / slope]))

    def filled(level: float) -> float:
        return float(np.clip(slope * (log_rate - level), low, high).sum())

    left, right = 0, len(points) - 1
    while right - left > 1:
        middle = (left + right) // 2
        left, right = (left, middle) if filled(points[middle]) <= total else (middle, right)
    # Solved on the options that move between the two, around one of them: breakpoints may lie 1e12 apart (a saturation of
    # a tenth of a cent), where interpolation loses millions of cents of an option that hardly bends.
    middle_level = (float(points[left]) + float(points[right])) / 2.0
    wanted = slope * (log_rate - middle_level)
    moves = (wanted > low) & (wanted < high)
    if not moves.any():
        return float(points[right])
    fixed = float(np.where(moves, 0.0, np.clip(wanted, low, high)).sum())
    around = float(log_rate[moves].max())
    rest = total - fixed - float((slope[moves] * (log_rate[moves] - around)).sum())
    level = around - rest / float(slope[moves].sum())
    return min(max(level, float(points[left])), float(points[right]))


def _cents(rate: Reals, saturation: Reals, bounds: Limits, names: tuple[str, ...]) -> Cents:
    """The whole-cent optimum. Options of rate 0 get their minimum."""
    slope = np.clip(saturation, SHARP, LINEAR) * 100.0
    earns = rate > 0
    high = np.where(earns, bounds.high, bounds.low)
    total = min(bounds.total, int(high.sum()))
    if not earns.any() or int(bounds.low.sum()) >= total:
        return np.minimum(bounds.low, high)
    with np.errstate(divide="ignore"):
        # log gain of the first cent; cent number k + 1 gains exp(-k / slope) times as much
        first = np.where(earns, np.log(rate) + np.log(slope) + np.log(-np.expm1(-1.0 / slope)), -np.inf)
    i = np.flatnonzero(earns)
    spare = total - int(bounds.low[~earns].sum())
    level = water_level(first[i], slope[i], bounds.low[i].astype(float), high[i].astype(float), float(spare))
    # Start some cents under the level, so that float noise never decides: the last cents go one by one.
    under = 2 + np.ceil(slope[i] * 1e-14)
    cents = bounds.low.copy()
    while True:
        start = np.floor(slope[i] * (first[i] - level)) - under
        cents[i] = np.clip(start, bounds.low[i], high[i]).astype(np.int64)
        if int(cents.sum()) <= total:
            break
        under *= 2
    queue = [(-(first[j] - cents[j] / slope[j]), names[j], int(j)) for j in i if cents[j] < high[j]]
    heapq.heapify(queue)
    for _ in range(total - int(cents.sum())):
        _, name, j = heapq.heappop(queue)
        cents[j] += 1
        if cents[j] < high[j]:
            heapq.heappush(queue, (-(first[j] - cents[j] / slope[j]), name, j))
    return cents


def as_allocation(request: AllocationRequest, cents: Cents, version: str) -> Allocation:
    """The message for a split in cents, in the order of the request's options; rewards by the posterior mean."""
    budgets = [Decimal(int(c)) * CENT for c in cents]
    shares = tuple(
        AllocationShare(
            option_id=o.option_id,
            budget=b,
            share=float(b / request.budget),
            expected_reward=reward(o, float(b)),
        )
        for o, b in zip(request.options, budgets, strict=True)
    )
    unspent = request.budget - sum(budgets, Decimal(0))
    return Allocation(shares=shares, budget=request.budget, unspent=unspent, model_version=version)


def allocate(request: AllocationRequest, version: str = "water-filling") -> Allocation:
    """Split the budget so that the expected reward is largest, exact to the cent.

    What no earning option can take within its limits stays unspent. Ties go to the smaller option id, so the answer does
    not depend on the order of options; without ``largest_share`` a larger budget never takes a cent from anyone.
    Raises InputError when minimums exceed the budget or an option's own limits contradict each other.
    """
    bounds = limits(request)
    saturation = np.array([o.saturation for o in request.options])
    cents = _cents(rates(request), saturation, bounds, tuple(o.option_id for o in request.options))
    return as_allocation(request, cents, version)
