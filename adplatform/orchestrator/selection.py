"""Which combinations may be funded, at most how far, and which k of them: arithmetic, no agent.

Expected reward of spending ``b`` on a combination is ``r s (1 - exp(-b / s))`` (contracts/measurement.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_FLOOR, Decimal
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import lambertw

from adplatform.contracts.base import Interval
from adplatform.contracts.brief import Audience, Brief, Objective
from adplatform.contracts.delivery import AllocationOption
from adplatform.contracts.errors import InputError
from adplatform.contracts.measurement import ExpectedPerformance
from adplatform.contracts.targeting import Segment

Reals = npt.NDArray[np.float64]
CENT = Decimal("0.01")


class Candidate(NamedTuple):
    """A combination with its reward by the brief's objective: rate per unit of currency, its interval, saturation (currency)."""

    row: ExpectedPerformance
    rate: float
    interval: Interval
    saturation: float
    maximum: Decimal | None


def eligible(segments: Sequence[Segment], audience: Audience) -> list[Segment]:
    """Segments that every filter of the audience allows; regions don't cut segments, they cut their users."""
    return [
        s
        for s in segments
        if (not audience.segments or s.segment_id in audience.segments)
        and (not audience.audiences or s.audience in audience.audiences)
        and (not audience.age_bands or s.age_band in audience.age_bands)
        and s.segment_id not in audience.excluded_segments
    ]


def most_at_cost(rate: float, saturation: float, target_cost: float) -> float:
    """Largest spend whose mean cost is at most ``target_cost`` for each unit of ``rate``; 0 where the first is dearer.

    ``(1 - exp(-x)) / x = q`` with ``x = b / s``, ``q = 1 / (rate * target_cost)`` has the root ``x = 1/q + W0(-exp(-1/q) / q)``
    (Lambert W; Corless et al. 1996, section 2).
    """
    if rate * target_cost <= 1.0:
        return 0.0
    bend = rate * target_cost
    return saturation * float(bend + np.real(lambertw(-bend * np.exp(-bend))))


def candidates(rows: Sequence[ExpectedPerformance], brief: Brief) -> list[Candidate]:
    """Combinations that earn something and meet the target cost, in the order given.

    Raises InputError when the objective is conversions and the data has none, or no combination meets the target cost.
    """
    found, cheapest = [], np.inf
    for row in rows:
        if brief.objective is Objective.CLICKS:
            rate, unit, width = row.clicks_per_unit, row.clicks_per_unit, row.click_rate
            scale = rate / width if width > 0 else 0.0
            interval = Interval(low=row.click_interval.low * scale, high=row.click_interval.high * scale)
        elif row.value_per_unit is None or row.value_interval is None or row.conversion_rate is None:
            raise InputError("objective", "no conversions in the data", "ask for clicks, or land conversions first")
        else:
            rate, unit, interval = row.value_per_unit, row.clicks_per_unit * row.conversion_rate, row.value_interval
        if rate <= 0 or unit <= 0:
            continue
        cheapest = min(cheapest, 1 / unit)
        maximum = None
        if brief.target_cost is not None:
            most = Decimal(str(min(most_at_cost(unit, row.saturation, float(brief.target_cost)), float(brief.budget))))
            maximum = most.quantize(CENT, rounding=ROUND_FLOOR)
            if maximum <= 0:
                continue
        found.append(Candidate(row, rate, interval, row.saturation, maximum))
    if not found:
        raise _nothing(brief, cheapest)
    return found


def _nothing(brief: Brief, cheapest: float) -> InputError:
    if not np.isfinite(cheapest):
        return InputError(
            "objective", "no combination is expected to bring anything", "widen the audience or ask for clicks"
        )
    unit = "click" if brief.objective is Objective.CLICKS else "conversion"
    problem = f"{brief.target_cost} a {unit} is under the cheapest expected cost, {cheapest:.2f}"
    return InputError("target_cost", problem, "raise target_cost or widen the audience")


def choose(found: Sequence[Candidate], budget: float, k: int) -> list[Candidate]:
    """The k combinations with the largest reward when ``budget`` is split well over them, best rate first.

    Each combination bends by its own curve, as contracts/measurement.py has it. Lagrangian dual of the split with at most k options:
    at price ``p`` of money an option is worth ``max_b f(b) - p b``; the k worth most are taken, and ``p`` is where they spend the
    budget (bisection; their spend falls with ``p``). Ties go to the smaller ids.
    """
    ordered = sorted(found, key=lambda c: (-c.rate, c.row.segment_id, c.row.creative_id))
    if len(ordered) <= k:
        return ordered
    r = np.array([c.rate for c in ordered])
    s = np.array([c.saturation for c in ordered])
    most = np.array([budget if c.maximum is None else min(float(c.maximum), budget) for c in ordered])

    def at(log_price: float) -> tuple[npt.NDArray[np.intp], float]:
        spend = np.clip(s * (np.log(r) - log_price), 0.0, most)
        worth = r * s * -np.expm1(-spend / s) - np.exp(log_price) * spend
        top = np.argsort(-worth, kind="stable")[:k]
        return top, float(spend[top].sum())

    low, high = max(float(np.min(np.log(r) - most / s)) - 1.0, -600.0), float(np.log(r.max()))
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if at(middle)[1] > budget else (low, middle)
    return [ordered[i] for i in np.sort(at(high)[0])]


def option(c: Candidate) -> AllocationOption:
    """The combination as the Budget agent sees it."""
    return AllocationOption(
        option_id=option_id(c.row),
        reward_rate=c.rate,
        reward_interval=c.interval,
        saturation=c.saturation,
        maximum=c.maximum,
    )


def option_id(row: ExpectedPerformance) -> str:
    """``creative:segment``, as long as an identifier may be."""
    return f"{row.creative_id}:{row.segment_id}"
