"""The budget policy's verdict: budget safety first, then more expected reward than the champion's.

A case is a decision as it could have been made: the request with the posteriors known then, and the posteriors known
later (``outcome``), by which both splits are valued. Valuing a split by the posteriors it was made from would be circular.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import product
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from adplatform.contracts.base import Interval
from adplatform.contracts.delivery import Allocation, AllocationOption, AllocationRequest
from adplatform.contracts.errors import InputError
from adplatform.contracts.promotion import Check, Verdict
from adplatform.delivery.policy import BudgetPolicy

Reals = npt.NDArray[np.float64]
RISKS = (0.0, 0.25, 0.5, 1.0)
LARGEST_SHARES = (0.4, 0.7, 1.0)
BEYOND = 1.25


class Allocator(Protocol):
    """What a verdict needs of a policy."""

    @property
    def version(self) -> str:
        """Its name."""
        ...

    def allocate(self, request: AllocationRequest, current: Mapping[str, Decimal] | None = None) -> Allocation:
        """Its split."""
        ...


class BudgetCase(NamedTuple):
    """A decision and what was learnt after it. ``outcome`` has one option for each of the request's, by id."""

    request: AllocationRequest
    outcome: tuple[AllocationOption, ...]
    current: Mapping[str, Decimal] = {}
    most_seen: Mapping[str, float] = {}
    """Option -> largest spend of a day behind its posteriors; a curve says nothing of what lies far beyond."""


def posterior_draws(option: AllocationOption, draws: int, rng: np.random.Generator) -> Reals:
    """Draws of an option's reward rate, shape ``(draws,)``: log-normal with its mean, and its interval's width in logs.

    A rate is positive and its posterior is skewed to the right, so the normal is fitted on the log scale. An option whose
    interval touches 0 or is a point is drawn normally and cut at 0.
    """
    low, high, mean = option.reward_interval.low, option.reward_interval.high, option.reward_rate
    z = 2 * 1.959963984540054
    if 0 < low < high and mean > 0:
        sigma = np.log(high / low) / z
        return np.asarray(mean * np.exp(sigma * rng.standard_normal(draws) - sigma**2 / 2), dtype=np.float64)
    return np.maximum(mean + (high - low) / z * rng.standard_normal(draws), 0.0)


def rewards(allocation: Allocation, outcome: Sequence[AllocationOption], rate: Mapping[str, Reals]) -> Reals:
    """Reward of a split under each draw of the rates, shape ``(draws,)``."""
    saturation = {o.option_id: o.saturation for o in outcome}
    parts = [
        rate[s.option_id] * saturation[s.option_id] * -np.expm1(-float(s.budget) / saturation[s.option_id])
        for s in allocation.shares
    ]
    return np.asarray(np.sum(parts, axis=0), dtype=np.float64)


def broken_limit(request: AllocationRequest, answer: Allocation) -> str | None:
    """The first limit that a split breaks, in words; None when it keeps them all."""
    options = {o.option_id: o for o in request.options}
    if sorted(options) != sorted(s.option_id for s in answer.shares):
        return "does not name every option once"
    if answer.budget != request.budget or sum((s.budget for s in answer.shares), answer.unspent) != request.budget:
        return "does not add up to the budget"
    cap = request.budget if len(options) == 1 else request.budget * Decimal(str(request.largest_share))
    for share in answer.shares:
        option = options[share.option_id]
        if share.budget < option.minimum or share.budget < 0:
            return f"gives {share.option_id} less than its minimum"
        if share.budget > cap or (option.maximum is not None and share.budget > option.maximum):
            return f"gives {share.option_id} more than it may"
    return None


def random_request(options: Sequence[AllocationOption], rng: np.random.Generator) -> AllocationRequest:
    """A request in the neighbourhood of real ones: rates moved, limits and budgets drawn, always one that can be kept."""
    chosen = rng.permutation(len(options))[: rng.integers(1, len(options) + 1)]
    budget = int(np.exp(rng.uniform(np.log(100), np.log(1e8))))
    share = float(rng.uniform(1.0 / len(chosen), 1.0))
    moved = []
    for i in chosen:
        rate = options[i].reward_rate * float(np.exp(rng.normal()))
        low = int(rng.uniform(0, 0.9) * budget * min(share, 1 / len(chosen))) if rng.random() < 0.3 else 0
        high = None if rng.random() < 0.5 else low + int(rng.uniform(0, 1) * budget)
        moved.append(
            options[i].model_copy(
                update={
                    "reward_rate": rate,
                    "reward_interval": Interval(low=rate * float(rng.uniform(0, 1)), high=rate * 2),
                    "minimum": Decimal(low) / 100,
                    "maximum": None if high is None else Decimal(high) / 100,
                }
            )
        )
    return AllocationRequest(
        options=tuple(moved), budget=Decimal(budget) / 100, largest_share=share, risk=float(rng.uniform(0, 1))
    )


def safety(policy: Allocator, options: Sequence[AllocationOption], *, trials: int, seed: int) -> Check:
    """Never beyond limits over ``trials`` random requests; an error counts as a breach."""
    rng = np.random.default_rng(seed)
    breaches: list[str] = []
    for _ in range(trials):
        request = random_request(options, rng)
        try:
            problem = broken_limit(request, policy.allocate(request))
        except (InputError, ValueError) as error:
            problem = f"raised {type(error).__name__}"
        if problem:
            breaches.append(problem)
    reason = (
        f"kept every limit in {trials} random requests"
        if not breaches
        else f"{breaches[0]} ({len(breaches)} of {trials} requests)"
    )
    rule = "budget safety: no limit is ever exceeded"
    return Check(rule=rule, figure=float(len(breaches)), limit=0.0, passed=not breaches, reason=reason)


def improvement(
    challenger: Allocator, champion: Allocator, cases: Sequence[BudgetCase], *, draws: int, seed: int
) -> Check:
    """Reward more than the champion's: 2.5 % quantile of the paired difference over posterior draws, summed over cases.

    The quantile, not the interval of the mean: draws are uncertainty about the world, and more of them must not make it less.
    """
    rule = "expected reward above the champion's: lower 97.5 % posterior bound of the paired difference above 0"
    if not cases:
        return Check(rule=rule, figure=None, limit=0.0, passed=False, reason="cannot tell, needs a case")
    rng = np.random.default_rng(seed)
    ours, theirs = np.zeros(draws), np.zeros(draws)
    for case in cases:
        rate = {o.option_id: posterior_draws(o, draws, rng) for o in case.outcome}
        ours += rewards(challenger.allocate(case.request, case.current), case.outcome, rate)
        theirs += rewards(champion.allocate(case.request, case.current), case.outcome, rate)
    relative = (ours - theirs) / max(float(theirs.mean()), 1e-300)
    low = float(np.quantile(relative, 0.025))
    mean = float(relative.mean())
    word = "above" if low > 0 else "not above"
    reason = f"expected reward {mean:+.1%} against the champion, lower bound {low:+.1%}, {word} 0 ({len(cases)} cases)"
    return Check(rule=rule, figure=low, limit=0.0, passed=low > 0, reason=reason)


def within_what_was_seen(challenger: Allocator, champion: Allocator, cases: Sequence[BudgetCase]) -> Check | None:
    """No option is raised above the champion's budget to more than ``BEYOND`` times its largest daily spend.

    In a simulated market a curve fitted on spends of about 16 a day promised more of 45 a day than was true. None where
    no case says what was seen.
    """
    worst, reason = 0.0, "every raised budget lies where spend was seen"
    for case in cases:
        kept = {s.option_id: s.budget for s in champion.allocate(case.request, case.current).shares}
        for share in challenger.allocate(case.request, case.current).shares:
            most = case.most_seen.get(share.option_id)
            if most is None or share.budget <= kept[share.option_id]:
                continue
            ratio = float(share.budget) / max(most, 0.01)
            if ratio > worst:
                worst = ratio
                if ratio > BEYOND:
                    reason = (
                        f"cannot tell: would give {share.option_id} {share.budget} a day, the most seen is {most:.2f}; "
                        f"needs days of about {float(share.budget) / BEYOND:.0f}"
                    )
    if not any(case.most_seen for case in cases):
        return None
    rule = f"no budget is raised above {BEYOND:g} times the largest daily spend seen"
    return Check(rule=rule, figure=worst, limit=BEYOND, passed=worst <= BEYOND, reason=reason)


def verdict(
    challenger: Allocator,
    champion: Allocator,
    cases: Sequence[BudgetCase],
    *,
    seed: int,
    trials: int = 500,
    draws: int = 2000,
) -> Verdict:
    """Both checks of a challenger against the present champion."""
    options = [o for case in cases for o in case.request.options]
    seen = within_what_was_seen(challenger, champion, cases)
    unique = list({o.option_id: o for o in options}.values())
    checks = [improvement(challenger, champion, cases, draws=draws, seed=seed), *([seen] if seen else [])]
    if unique:
        checks.insert(0, safety(challenger, unique, trials=trials, seed=seed))
    return Verdict(
        agent="budget_policy", challenger=challenger.version, champion=champion.version, checks=tuple(checks)
    )


def train(cases: Sequence[BudgetCase]) -> BudgetPolicy:
    """The challenger: risk and largest share with the most reward by the posterior means of later outcomes.

    Ties go to the plainer setting (less risk aversion, larger share). Keep the cases of the verdict out of ``cases``.
    """
    best, most = BudgetPolicy(), -np.inf
    for risk, share in product(RISKS, sorted(LARGEST_SHARES, reverse=True)):
        policy = BudgetPolicy(risk=risk, largest_share=share)
        total = 0.0
        for case in cases:
            rate = {o.option_id: np.array([o.reward_rate]) for o in case.outcome}
            total += float(rewards(policy.allocate(case.request, case.current), case.outcome, rate)[0])
        if total > most * (1 + 1e-9) if most > 0 else total > most:
            best, most = policy, total
    return best
