"""How large an experiment must be, and what it could find at its present size."""

from __future__ import annotations

from functools import lru_cache
from math import ceil, sqrt
from typing import Final

import numpy as np
from scipy import optimize, special

from adplatform.contracts.errors import InputError
from adplatform.stats.intervals import check_level
from adplatform.stats.sequential import EXACT_BELOW, crossing_probability, multiplier

LARGEST_DRIFT: Final = 60.0


def power(
    control_rate: float, treatment_rate: float, control_users: int, treatment_users: int, level: float = 0.95
) -> float:
    """Power of the two-sided z test of two rates at these sizes, by the right sign (Fleiss, Levin and Paik 2003).

    The variance is pooled under no difference and unpooled under the difference. 0.0 while an arm is empty.
    Raises InputError on a rate outside [0, 1].
    """
    _check_rates(control_rate, treatment_rate)
    if control_users < 1 or treatment_users < 1 or control_rate == treatment_rate:
        return 0.0
    pooled = (control_rate * control_users + treatment_rate * treatment_users) / (control_users + treatment_users)
    null = sqrt(pooled * (1 - pooled) * (1 / control_users + 1 / treatment_users))
    spread = sqrt(_spread(control_rate) / control_users + _spread(treatment_rate) / treatment_users)
    z = float(special.ndtri(0.5 + check_level(level) / 2))
    distance = abs(treatment_rate - control_rate) - z * null
    return float(special.ndtr(distance / spread)) if spread > 0 else float(distance > 0)


def relative_lift_power(
    base_rate: float, relative_lift: float, control_users: int, treatment_users: int, level: float = 0.95
) -> float:
    """Power at these sizes to find ``relative_lift`` (0.2 for 20 %) over ``base_rate``; see ``power``."""
    return power(base_rate, _lifted(base_rate, relative_lift), control_users, treatment_users, level)


def sample_size_two_proportions(p1: float, p2: float, power: float = 0.8, level: float = 0.95) -> float:
    """Users in each of two equal arms for that power (Fleiss, Levin and Paik 2003, without continuity correction).

    Not rounded: R's ``power.prop.test(p1 = .5, p2 = .75, power = .9)`` gives the same 76.7. Raises InputError when
    the rates are equal or outside [0, 1], or power or level outside (0, 1).
    """
    _check_rates(p1, p2)
    if p1 == p2:
        raise InputError("p2", "equals p1", "give the rate that the experiment should be able to tell apart")
    z, reach, mean = float(special.ndtri(0.5 + check_level(level) / 2)), _reach(power), (p1 + p2) / 2
    root = z * sqrt(2 * _spread(mean)) + reach * sqrt(_spread(p1) + _spread(p2))
    return (root / (p1 - p2)) ** 2


def sample_size(base_rate: float, relative_lift: float, power: float = 0.8, level: float = 0.95) -> int:
    """Users in both equal arms together for a single look at the end; see ``sample_size_two_proportions``."""
    return 2 * ceil(sample_size_two_proportions(base_rate, _lifted(base_rate, relative_lift), power, level))


def designed_users(
    base_rate: float,
    relative_lift: float,
    power: float = 0.8,
    level: float = 0.95,
    looks: int = 14,
    *,
    always_valid: bool = True,
    treatment_share: float = 0.5,
) -> int:
    """Users in both arms together so that the rule finds ``relative_lift`` by its last look with that power.

    ``always_valid`` means the rule of ``sequential.always_valid_difference`` designed at this size and looked at
    ``looks`` times at even steps; otherwise one look at the end. At least enough that each arm expects 1.5 times the
    20 successes under which the exact, wider interval answers. Raises InputError on impossible rates, power or looks.
    """
    lifted = _lifted(base_rate, relative_lift)
    _check_rates(base_rate, lifted)
    if lifted == base_rate or not 0 < treatment_share < 1 or looks < 1:
        raise InputError("design", f"lift {relative_lift}, share {treatment_share}, looks {looks}",
                         "give a lift that is not 0, a share in (0, 1) and at least one look")  # fmt: skip
    if always_valid:
        drift = sequential_drift(power, level, looks)
    else:
        drift = float(special.ndtri(0.5 + check_level(level) / 2)) + _reach(power)
    variance = _spread(base_rate) / (1 - treatment_share) + _spread(lifted) / treatment_share
    users = drift**2 * variance / (lifted - base_rate) ** 2
    enough = 1.5 * EXACT_BELOW / min(base_rate * (1 - treatment_share), lifted * treatment_share)
    return ceil(max(users, enough))


def sequential_power(drift: float, level: float = 0.95, looks: int = 14) -> float:
    """Probability that the always-valid rule finds the right sign within ``looks`` even looks.

    ``drift`` is the true effect over its standard error at the last look, where the rule is designed to be tightest.
    """
    fractions = np.arange(1, looks + 1) / looks
    above, below = crossing_probability(fractions, [multiplier(float(f), level) for f in fractions], abs(drift))
    return above if drift >= 0 else max(above, below)


@lru_cache(maxsize=256)
def sequential_drift(power: float = 0.8, level: float = 0.95, looks: int = 14) -> float:
    """The drift at which ``sequential_power`` reaches ``power``; kept, as a root takes about 0.2 s."""
    _reach(power)
    return float(optimize.brentq(lambda d: sequential_power(d, level, looks) - power, 0.0, LARGEST_DRIFT, xtol=1e-6))


def _spread(rate: float) -> float:
    return rate * (1 - rate)


def _lifted(base_rate: float, relative_lift: float) -> float:
    return base_rate * (1 + relative_lift)


def _reach(power: float) -> float:
    if not 0 < power < 1:
        raise InputError("power", f"is {power}", "give a probability between 0 and 1, such as 0.8")
    return float(special.ndtri(power))


def _check_rates(*rates: float) -> None:
    if not all(0 <= rate <= 1 for rate in rates):
        raise InputError("rate", f"{rates} leaves [0, 1]", "give rates between 0 and 1; check base rate and lift")
