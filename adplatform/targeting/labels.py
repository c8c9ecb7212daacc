"""Whether the labels that a challenger learnt from can be true: a day of flipped clicks must not reach a champion."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
from scipy import special

from adplatform.contracts.features import LABEL
from adplatform.contracts.promotion import Check, Verdict
from adplatform.contracts.targeting import PolicyEvaluation
from adplatform.targeting.features import days_of, numbers
from adplatform.targeting.response import Response
from adplatform.targeting.verdicts import policy_verdict, response_verdict

LARGEST_FACTOR: Final = 1.5
"""By which one day's clicks over expected may differ from the other days'. Flipping 5 % of labels at 3 % clicks is 2.6;
whole drift of tastes moved a simulated day by up to 1.25, and what changes the market for good stays the day after."""
CHANCE: Final = 1e-4
"""Largest chance of so many (or so few) clicks at the factor itself for the day to be called wrong."""


def challenge(train: pa.Table, held_out: pa.Table, challenger: Response, champion: Response) -> Verdict:
    """Everything that a response challenger must keep: the checks of ``response_verdict``, and ``label_check``."""
    verdict = response_verdict(held_out, challenger, champion)
    labels = label_check(pa.concat_tables([train, held_out]), champion)
    return verdict.model_copy(update={"checks": (*verdict.checks, labels)})


def challenge_policy(evaluation: PolicyEvaluation, examples: pa.Table, expected: Response) -> Verdict:
    """The checks of ``policy_verdict``, and ``label_check`` of what the policy was valued on and learnt from, against a
    response model that has not seen the valued days.
    """
    verdict = policy_verdict(evaluation)
    return verdict.model_copy(update={"checks": (*verdict.checks, label_check(examples, expected))})


def label_check(examples: pa.Table, champion: Response) -> Check:
    """No single day of ``examples`` has clicks that contradict the champion as no other day does.

    A day is off when its clicks over the champion's expected ones are ``LARGEST_FACTOR`` times the median of the other
    days' or more (or as far below, once all its clicks have come in). Off on two days running is a change of the
    market, for which retraining is there; off on one is a fault of the data until the next day says otherwise.
    """
    days, which = np.unique(days_of(examples), return_inverse=True)
    clicks = np.bincount(which, numbers(examples[LABEL]))
    expected = np.bincount(which, champion.predict(examples))
    matured = np.ones(len(days), dtype=bool)
    if "is_matured" in examples.column_names:
        matured = np.bincount(which, numbers(examples["is_matured"].cast(pa.int8()))) > 0
    ratio = clicks / np.maximum(expected, 1e-9)
    others = np.array([np.median(np.delete(ratio, i)) if len(ratio) > 1 else ratio[i] for i in range(len(ratio))])
    high = (ratio > LARGEST_FACTOR * others) & (special.pdtrc(clicks - 1, LARGEST_FACTOR * others * expected) < CHANCE)
    low = (ratio * LARGEST_FACTOR < others) & (special.pdtr(clicks, others * expected / LARGEST_FACTOR) < CHANCE)
    low &= matured
    alone = [i for i in range(len(days)) if _alone(high, i) or _alone(low, i)]
    factor = np.maximum(ratio, 1e-9) / np.maximum(others, 1e-9)
    worst = max(alone or range(len(days)), key=lambda i: abs(np.log(factor[i])))
    text = f"clicks of {days[worst]} are {factor[worst]:.2f} times those of the other days against what the champion expects"
    mend = (
        ": labels of a single day so far off are taken for wrong; land that day again, or the next day, if it is true"
    )
    return Check(
        rule=f"no single day's labels off by a factor of {LARGEST_FACTOR}",
        figure=float(factor[worst]),
        limit=LARGEST_FACTOR,
        passed=not alone,
        reason=text + (mend if alone else ""),
    )


def _alone(off: np.ndarray, day: int) -> bool:
    """Off, and neither the day before nor the day after is."""
    return bool(off[day] and not off[max(day - 1, 0) : day].any() and not off[day + 1 : day + 2].any())
