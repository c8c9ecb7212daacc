"""Budget policies before the gate: one that breaks limits, the champion again, and the one the product would train."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from adplatform.contracts.base import Interval
from adplatform.contracts.brief import Objective
from adplatform.contracts.delivery import Allocation, AllocationOption, AllocationRequest
from adplatform.delivery.policy import BudgetPolicy
from adplatform.delivery.promotion import Allocator, BudgetCase, train, verdict
from adplatform.measurement.curves import response_curves
from adplatform.simulator import Market, Oracle
from adplatform.targeting.features import days_of

if TYPE_CHECKING:
    from benchmarks.promotion_claim import Court

AGENT = "budget_policy"
FLIGHT_DAYS = 14


class Unlimited:
    """Water-filling that forgets minimums, maximums and the largest share. It earns more for it: only safety can stop it."""

    version = "planted-without-limits"

    def allocate(self, request: AllocationRequest, current: Mapping[str, Decimal] | None = None) -> Allocation:
        """The split of the request with its limits taken away."""
        free = tuple(o.model_copy(update={"minimum": Decimal(0), "maximum": None}) for o in request.options)
        return BudgetPolicy().allocate(request.model_copy(update={"options": free, "largest_share": 1.0}), current)

    def save(self, directory: Path) -> None:
        """Write its name."""
        (directory / "policy.json").write_text(json.dumps({"rule": self.version}))


def judge_budgets(court: Court, market: Market, examples: pa.Table, oracle: Oracle, seed: int) -> None:
    """Put the three before the gate, on cases made of the market's days as estimation.py makes them."""
    first = BudgetPolicy.first()
    court.crown(AGENT, "daily budgets as they are", first)
    days = np.unique(days_of(examples))
    thirds = (days[0], days[len(days) // 3], days[2 * len(days) // 3], days[-1] + np.timedelta64(1, "D"))
    learnt = train([_case(market, examples, thirds[0], thirds[1], thirds[2], seed)])
    case = _case(market, examples, thirds[0], thirds[2], thirds[3], seed)
    challengers: tuple[tuple[str, Any], ...] = (
        ("breaks limits", Unlimited()), ("daily budgets as they are", first), ("trained on the log", learnt), ("breaks limits", Unlimited()),
    )  # fmt: skip
    for name, policy in challengers:
        champion = court.champion(AGENT)
        gain = _true_reward(oracle, market, policy, case) - _true_reward(oracle, market, champion, case)
        # what breaks limits must not serve, whatever it earns
        gain = min(gain, -1.0) if name == "breaks limits" else gain
        court.judge(name, policy, verdict(policy, champion, [case], seed=seed), gain)


def worth(market: Market) -> dict[str, float]:
    """What one unit of a campaign's reward is worth in currency: a click its target cost, value itself."""
    return {
        r["campaign_id"]: 1.0 if r["objective"] == "conversions" else float(r["target_cost"])
        for r in market.campaigns().to_pylist()
    }


def campaign_daily(examples: pa.Table, first: np.datetime64, end: np.datetime64) -> pa.Table:
    """The mart campaign_daily over UTC days in [first, end); conversions are null on days that have not matured."""
    days = days_of(examples)
    kept = examples.filter(pa.array((days >= first) & (days < end)))
    sums = [("clicked", "sum"), ("converted", "sum"), ("conversion_value", "sum"), ("price", "sum")]
    out = kept.group_by(["campaign_id", "event_day"]).aggregate(sums)
    names = ["campaign_id", "budget_day", "clicks", "conversions", "conversion_value", "spend"]
    return out.rename_columns(names).sort_by([("campaign_id", "ascending"), ("budget_day", "ascending")])


def _options(
    market: Market, examples: pa.Table, first: np.datetime64, end: np.datetime64, seed: int
) -> dict[str, AllocationOption]:
    objectives = {r["campaign_id"]: Objective(r["objective"]) for r in market.campaigns().to_pylist()}
    unit = worth(market)
    found = {}
    for curve in response_curves(campaign_daily(examples, first, end), objectives, seed=seed):
        p = curve.posterior()
        w = unit[p.campaign_id]
        found[p.campaign_id] = AllocationOption(
            option_id=p.campaign_id,
            reward_rate=p.reward_rate * w,
            reward_interval=Interval(low=p.interval.low * w, high=p.interval.high * w),
            saturation=p.saturation,
        )
    return found


def _case(
    market: Market, examples: pa.Table, first: np.datetime64, cut: np.datetime64, end: np.datetime64, seed: int
) -> BudgetCase:
    known, later = _options(market, examples, first, cut, seed), _options(market, examples, cut, end, seed)
    both = sorted(known.keys() & later.keys())
    budgets = {r["campaign_id"]: Decimal(f"{r['daily_budget']:.2f}") for r in market.campaigns().to_pylist()}
    current = {c: budgets[c] for c in both}
    request = AllocationRequest(options=tuple(known[c] for c in both), budget=sum(current.values(), Decimal(0)))
    days = days_of(examples)
    daily = examples.filter(pa.array((days >= first) & (days < end)))
    spent = daily.group_by(["campaign_id", "event_day"]).aggregate([("price", "sum")]).to_pylist()
    most = {c: max(r["price_sum"] for r in spent if r["campaign_id"] == c) for c in both}
    return BudgetCase(request, tuple(later[c] for c in both), current, most)


def _true_reward(oracle: Oracle, market: Market, policy: Allocator, case: BudgetCase) -> float:
    """True reward of a day under the policy's split, in currency, on average over a fortnight of such days.

    A day alone would know no fatigue, which the days of the log have.
    """
    unit = worth(market)
    objectives = dict(zip(*(market.campaigns()[c].to_pylist() for c in ("campaign_id", "objective")), strict=True))
    return sum(
        unit[s.option_id]
        * oracle.split_reward({s.option_id: FLIGHT_DAYS * float(s.budget)}, objectives[s.option_id], FLIGHT_DAYS)
        / FLIGHT_DAYS
        for s in policy.allocate(case.request, case.current).shares
    )
