"""Claim ``looks``: an experiment without effect is hardly ever shipped or paused, however often one looks.

Every day for 14 days ``decisions.decide`` of the product is asked; the first 'ship' or 'pause' is what counts. Control
rates are log-normal (median 2 %, log standard deviation 0.6, kept between 0.3 % and 20 %), each arm gets half the
users, and the size is the product's own design for a 20 % lift (decisions.planned_users). Two ways for users to come:

- settled: users arrive evenly over the 14 days, each outcome known on the day;
- late: all users arrive on the first three days and their successes come evenly until the last, as conversions do.

The control rule is the fixed-horizon z test at 5 %, asked every day: it must fail.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from adplatform.contracts.claims import Claim
from adplatform.contracts.measurement import Action, ArmCounts, ExperimentCounts
from adplatform.measurement.decisions import decide, planned_users
from adplatform.stats.claims import rate_lower_bound, rate_upper_bound

DAYS: Final = 14
LATE_ARRIVAL_DAYS: Final = 3
LIFT: Final = 0.2
MOST_FALSE: Final = 0.05
LEAST_RIGHT: Final = 0.8
MOST_WRONG: Final = 0.01
FINAL: Final = (Action.SHIP, Action.PAUSE)

Rule = Callable[[ExperimentCounts], Action]
Counts = NDArray[np.int64]


def product_rule(counts: ExperimentCounts) -> Action:
    """What the product does."""
    return decide(counts).action


def peeking_rule(counts: ExperimentCounts) -> Action:
    """The z test of two rates at 5 %, as if each look were the only one."""
    c, t = counts.control, counts.treatment
    if min(c.successes, t.successes) < 1 or c.successes + t.successes == c.users + t.users:
        return Action.CONTINUE
    pooled = (c.successes + t.successes) / (c.users + t.users)
    error = np.sqrt(pooled * (1 - pooled) * (1 / c.users + 1 / t.users))
    z = (t.successes / t.users - c.successes / c.users) / error
    if abs(z) < special.ndtri(0.975):
        return Action.CONTINUE
    return Action.SHIP if z > 0 else Action.PAUSE


def days(rng: np.random.Generator, lift: float, late: bool) -> tuple[Counts, int]:
    """Cumulated (14, 4) counts of one experiment: users and successes of control, then of treatment; its design."""
    base = float(np.exp(rng.normal(np.log(0.02), 0.6)).clip(0.003, 0.2))
    designed = planned_users(base)
    share = np.zeros(DAYS)
    share[: LATE_ARRIVAL_DAYS if late else DAYS] = 1.0
    arrived = rng.multinomial(designed, share / share.sum())
    treated = rng.binomial(arrived, 0.5)
    columns = []
    for users, rate in ((arrived - treated, base), (treated, base * (1 + lift))):
        won = rng.binomial(users, rate)
        if late:
            won = np.sum([rng.multinomial(k, _after(day)) for day, k in enumerate(won)], axis=0)
        columns += [users.cumsum(), np.cumsum(won)]
    return np.stack(columns, axis=1).astype(np.int64), designed


def final_action(path: Counts, designed: int, rule: Rule) -> tuple[Action, int]:
    """The first 'ship' or 'pause' and its day from 1; (continue, 14) when none came."""
    for day, (control_users, control, treatment_users, treatment) in enumerate(path.tolist(), start=1):
        action = rule(
            ExperimentCounts(
                experiment_id="e",
                control=ArmCounts(arm="control", users=control_users, successes=control),
                treatment=ArmCounts(arm="treatment", users=treatment_users, successes=treatment),
                designed_users=designed,
            )
        )
        if action in FINAL:
            return action, day
    return Action.CONTINUE, DAYS


def run(
    n: int = 2000, seed: int = 102, progress: Callable[[float], None] | None = None, rule: Rule = product_rule
) -> Claim:
    """``n`` experiments without effect for each way of arriving, and ``n`` with an effect, half +20 % and half -20 %."""
    plans = {
        "none, settled": (0.0, False, n),
        "none, late": (0.0, True, n),
        "+20 %": (LIFT, False, n - n // 2),
        "-20 %": (-LIFT, False, n // 2),
    }
    total, done, cells = sum(p[2] for p in plans.values()), 0, {}
    peeking = 0
    for number, (name, (lift, late, runs)) in enumerate(plans.items()):
        ended = []
        for i in range(runs):
            path, designed = days(np.random.default_rng(np.random.SeedSequence([seed, number, i])), lift, late)
            ended.append(final_action(path, designed, rule))
            if number == 0:
                peeking += final_action(path, designed, peeking_rule)[0] in FINAL
            done += 1
            if progress and done % 20 == 0:
                progress(done / total)
        cells[name] = _cell(ended, lift)
    return conclude(cells, {"seed": seed, "peeking_z_test_ever_ships_or_pauses": peeking / n})


def conclude(cells: dict[str, dict[str, Any]], detail: dict[str, Any]) -> Claim:
    """Holds when both nulls have an upper 97.5 % bound of at most 5 %, and each planted sign at least 80 % right, 1 % wrong.

    Broken when a bound says that a limit is passed; in between ``n`` is too small to tell.
    """
    null, planted = ([c for name, c in cells.items() if name.startswith("none") is none] for none in (True, False))
    holds = all(c["false_upper_bound"] <= MOST_FALSE for c in null) and all(
        c["right"] >= LEAST_RIGHT and c["wrong"] <= MOST_WRONG for c in planted
    )
    broken = any(c["false_lower_bound"] > MOST_FALSE for c in null) or any(
        c["right_upper_bound"] < LEAST_RIGHT or c["wrong_lower_bound"] > MOST_WRONG for c in planted
    )
    return Claim(
        name="looks",
        claim="without effect 'ship' or 'pause' ever comes in at most 5 %; with 20 % the right one in at least 80 %",
        figure=max(c["false"] for c in null),
        holds=True if holds else False if broken else None,
        n=min(c["n"] for c in null),
        detail={**detail, "cells": cells},
    )


def _cell(ended: list[tuple[Action, int]], lift: float) -> dict[str, Any]:
    n = len(ended)
    shipped, paused = (sum(a is action for a, _ in ended) for action in FINAL)
    cell: dict[str, Any] = {"n": n, "shipped": shipped / n, "paused": paused / n}
    if lift == 0:
        false = shipped + paused
        return {**cell, "false": false / n, **_bounds("false", false, n)}
    right, wrong = (shipped, paused) if lift > 0 else (paused, shipped)
    decided = [day for action, day in ended if action in FINAL]
    return {
        **cell,
        "right": right / n,
        **_bounds("right", right, n),
        "wrong": wrong / n,
        **_bounds("wrong", wrong, n),
        "median_day_of_decision": float(np.median(decided)) if decided else None,
    }


def _bounds(name: str, events: int, n: int) -> dict[str, float]:
    return {
        f"{name}_lower_bound": rate_lower_bound(events, n, 0.975),
        f"{name}_upper_bound": rate_upper_bound(events, n, 0.975),
    }


def _after(day: int) -> NDArray[np.float64]:
    """Successes of users who arrived on ``day`` come evenly from that day to the last."""
    share = np.zeros(DAYS)
    share[day:] = 1 / (DAYS - day)
    return share
