"""What to do with an experiment: one of five actions, its reason in words, and what it rests on.

'Ship' and 'pause' rest on the always-valid interval of the difference alone (stats.sequential), which holds however
often one looks; the posterior of the lift only moves the soft actions, 'scale' and 'reduce'. A sample-ratio mismatch
blocks every action, because the arms can then not be compared (Fabijan et al. 2019).
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil
from typing import Final

from adplatform.contracts.base import Interval
from adplatform.contracts.errors import InputError
from adplatform.contracts.measurement import Action, ExperimentCounts, ExperimentDecision, LiftEstimate
from adplatform.measurement import conjugate
from adplatform.stats import power, sample_ratio, sequential
from adplatform.stats.sequential import AlwaysValid

LEVEL: Final = 0.95
MISMATCH_BELOW: Final = 0.001
"""Sample-ratio p under which nothing is decided (the threshold of Fabijan et al. 2019)."""
DESIGN_LIFT: Final = 0.2
DESIGN_POWER: Final = 0.9
SOFT_PROBABILITY: Final = 0.95
"""Posterior probability of a better (or worse) treatment from which 'scale' (or 'reduce') is proposed."""


def decide(
    counts: ExperimentCounts, lift: LiftEstimate | None = None, level: float = LEVEL, expected_rate: float | None = None
) -> ExperimentDecision:
    """Action for one experiment as it stands. ``lift`` is its posterior; without one the conjugate posterior is taken.

    ``expected_rate`` is the control rate that was expected before the experiment; without it, the one for which
    ``designed_users`` finds a 20 % lift. It says where the interval is tightest, never whether it is valid. May be called after every user: the chance that a treatment without effect is ever shipped or paused stays at most
    1 - ``level``. ``power`` is that of this rule at the present size, for a 20 % lift over the control's rate.
    """
    lift = conjugate.lift(counts, level) if lift is None else lift
    ratio_p = sample_ratio.p_value(
        [counts.control.users, counts.treatment.users], [1 - counts.treatment_share, counts.treatment_share]
    )
    always_valid = _always_valid(counts, level, expected_rate)
    action, reason = _judge(counts, lift, always_valid, ratio_p, level)
    return ExperimentDecision(
        experiment_id=counts.experiment_id,
        action=action,
        reason=reason,
        lift=lift,
        always_valid_interval=Interval(low=always_valid.low, high=always_valid.high, level=level),
        sample_ratio_p=ratio_p,
        power=present_power(counts, level),
    )


def present_power(counts: ExperimentCounts, level: float = LEVEL) -> float:
    """Chance that the always-valid rule, at the present size, shows a 20 % lift over the control's rate; 0 if empty."""
    c, t = counts.control, counts.treatment
    if c.users == 0 or t.users == 0:
        return 0.0
    rate = min((c.successes + 0.5) / (c.users + 1), 1 / (1 + DESIGN_LIFT) - 1e-9)
    multiple = sequential.multiplier((c.users + t.users) / _designed(counts), level)
    return power.relative_lift_power(rate, DESIGN_LIFT, c.users, t.users, _two_sided_level(multiple))


def planned_users(base_rate: float, treatment_share: float = 0.5, level: float = LEVEL) -> int:
    """Users in both arms so that ``decide`` ships a 20 % lift over ``base_rate``, within 14 daily looks, 9 times in 10.

    As ``stats.power.designed_users``, with its slow part kept. Raises InputError on a rate outside (0, 1 / 1.2].
    """
    lifted, share = (1 + DESIGN_LIFT) * base_rate, treatment_share
    if not (base_rate > 0 and lifted <= 1 and 0 < share < 1):
        raise InputError("design", f"rate {base_rate}, share {share}", "give a rate in (0, 0.83], a share in (0, 1)")
    variance = base_rate * (1 - base_rate) / (1 - share) + lifted * (1 - lifted) / share
    enough = 1.5 * sequential.EXACT_BELOW / min(base_rate * (1 - share), lifted * share)
    return ceil(max(_drift(level) ** 2 * variance / (lifted - base_rate) ** 2, enough))


def design_rate(designed_users: int, treatment_share: float = 0.5, level: float = LEVEL) -> float:
    """Control rate for which ``designed_users`` is the size that finds a 20 % lift with 90 % power.

    Counting information in standard errors at this rate keeps the interval valid where successes come later than
    users, and tightest at about the planned number of successes. Solves n = k^2 (p(1-p)/(1-s) + q(1-q)/s) / (q-p)^2
    with q = 1.2 p for p; k is the drift of the rule (stats.power.sequential_drift).
    """
    lifted, share = 1 + DESIGN_LIFT, treatment_share
    scale = designed_users * DESIGN_LIFT**2 / _drift(level) ** 2
    return (1 / (1 - share) + lifted / share) / (scale + 1 / (1 - share) + lifted**2 / share)


def _always_valid(counts: ExperimentCounts, level: float, expected_rate: float | None) -> AlwaysValid:
    designed, share = _designed(counts), counts.treatment_share
    rate = design_rate(designed, share, level) if expected_rate is None else expected_rate
    return sequential.always_valid_difference(
        counts.control.successes, counts.control.users, counts.treatment.successes, counts.treatment.users, level,
        designed_users=designed, base_rate=rate, treatment_share=share,
    )  # fmt: skip


def _judge(
    counts: ExperimentCounts, lift: LiftEstimate, always_valid: AlwaysValid, ratio_p: float, level: float
) -> tuple[Action, str]:
    c, t = counts.control, counts.treatment
    if ratio_p < MISMATCH_BELOW:
        return Action.CONTINUE, (
            f"Decide nothing yet: {c.users} users in control and {t.users} in treatment do not fit the planned split "
            f"({1 - counts.treatment_share:.0%} to {counts.treatment_share:.0%}; chance {ratio_p:.2g}). "
            "Something sorts users into arms; find it before reading the result."
        )
    sure = f"{_points(always_valid.low)} to {_points(always_valid.high)} points ({level:.0%} sure at every look)"
    if always_valid.low > 0:
        return Action.SHIP, f"Ship the treatment: it does better{_by(lift)}. The difference is {sure}."
    if always_valid.high < 0:
        return Action.PAUSE, f"Pause the treatment: it does worse{_by(lift)}. The difference is {sure}."
    if min(c.successes, t.successes) < sequential.EXACT_BELOW:
        return Action.CONTINUE, _cannot_tell(counts, level)
    chance = lift.probability_positive
    if chance >= SOFT_PROBABILITY:
        return Action.SCALE, (
            f"Treatment looks better ({chance:.0%} likely), but it is not proven: the difference is {sure}. "
            "Raise the budget of the experiment, split unchanged, to settle it sooner."
        )
    if chance <= 1 - SOFT_PROBABILITY:
        return Action.REDUCE, (
            f"Treatment looks worse ({1 - chance:.0%} likely), but it is not proven: the difference is {sure}. "
            "Lower the budget of the experiment, split unchanged, while it settles."
        )
    if counts.designed_users is not None and c.users + t.users >= counts.designed_users:
        return Action.CONTINUE, (
            f"All {counts.designed_users} planned users are in and no difference is proven: it is {sure}. "
            "Keep the control unless you can wait for more users; a smaller difference needs a larger experiment."
        )
    return (
        Action.CONTINUE,
        f"Too early: the difference is {sure}, so treatment may be better or worse. Keep it running.",
    )


def _cannot_tell(counts: ExperimentCounts, level: float) -> str:
    c, t = counts.control, counts.treatment
    users, successes = c.users + t.users, c.successes + t.successes
    found = f"Cannot tell yet: {c.successes} successes in control and {t.successes} in treatment, under 20 in an arm."
    if successes == 0 or successes == users:
        return f"{found} The rate is unknown, so how many users it needs cannot be said. Keep it running."
    needed = planned_users(min(successes / users, 0.8), counts.treatment_share, level)
    return f"{found} At this rate it needs about {_rounded(needed)} users in both arms to show a 20 % lift."


def _by(lift: LiftEstimate) -> str:
    if lift.relative is None or lift.relative_interval is None:
        return ""
    return f", by {lift.relative:+.0%} (likely {lift.relative_interval.low:+.0%} to {lift.relative_interval.high:+.0%})"


def _points(rate: float) -> str:
    """A difference of rates in percentage points."""
    return f"{100 * rate:+.2f}"


def _rounded(n: int) -> int:
    """Two significant digits, upwards."""
    unit: int = 10 ** max(len(str(n)) - 2, 0)
    return ceil(n / unit) * unit


def _designed(counts: ExperimentCounts) -> int:
    return counts.designed_users or sequential.DEFAULT_DESIGNED_USERS


def _two_sided_level(multiple: float) -> float:
    from scipy import special

    return min(float(2 * special.ndtr(multiple) - 1), 1 - 1e-12)


@lru_cache(maxsize=16)
def _drift(level: float) -> float:
    return power.sequential_drift(DESIGN_POWER, level)
