"""The last state: lines, totals, trace, receipt and an id that is made of their content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from adplatform.contracts.base import Interval, Message
from adplatform.contracts.brief import Brief
from adplatform.contracts.creative import CreativeSet
from adplatform.contracts.delivery import Allocation
from adplatform.contracts.errors import InputError
from adplatform.contracts.measurement import PerformanceReport
from adplatform.contracts.plan import CampaignPlan, Outcome, PlanLine, Receipt, State, TraceStep
from adplatform.contracts.targeting import SegmentRanking
from adplatform.orchestrator.selection import Candidate, option_id

UNSTABLE = {"seconds", "attempts", "problem"}
"""Fields of a trace step that differ between two runs that decide the same."""


def assemble(
    brief: Brief,
    copy: CreativeSet,
    chosen: Sequence[Candidate],
    split: Allocation,
    trace: Sequence[TraceStep],
    versions: Mapping[str, str],
    *,
    data_version: str,
    data_through: str | None,
    seed: int,
) -> CampaignPlan:
    """The plan. Its reward interval adds the lines' ends: as if all errors went the same way, the widest case.

    InputError when the split funds nothing.
    """
    funded = _funded(brief, chosen, split)
    lines = tuple(_line(rank, c, spend, brief) for rank, (c, spend) in enumerate(funded, start=1))
    reward = sum(line.expected_reward for line in lines)
    said = f"{len(lines)} combinations, {brief.budget - split.unspent} of {brief.budget} {brief.currency}, expected reward {reward:,.1f}"
    end = TraceStep(
        state=State.PLAN,
        agent="orchestrator",
        version="orchestrator",
        outcome=Outcome.ANSWERED,
        attempts=1,
        seconds=0.0,
        said=said,
    )
    interval = Interval(
        low=sum(line.reward_interval.low for line in lines), high=sum(line.reward_interval.high for line in lines)
    )
    draft = CampaignPlan(
        plan_id="plan",
        brief=brief,
        objective=brief.objective,
        creatives=copy.variants,
        lines=lines,
        unspent=split.unspent,
        expected_reward=reward,
        reward_interval=interval,
        trace=(*trace, end),
        receipt=Receipt(versions=dict(versions), data_version=data_version, data_through=data_through, seed=seed),
    )
    return draft.model_copy(update={"plan_id": f"plan-{hashlib.sha256(stable_bytes(draft)).hexdigest()[:16]}"})


def _funded(brief: Brief, chosen: Sequence[Candidate], split: Allocation) -> list[tuple[Candidate, Decimal]]:
    """Combinations that got money, the most first."""
    budgets = {s.option_id: s.budget for s in split.shares}
    funded = sorted(
        ((c, budgets[option_id(c.row)]) for c in chosen if budgets[option_id(c.row)] > 0),
        key=lambda pair: (-pair[1], pair[0].row.segment_id, pair[0].row.creative_id),
    )
    if not funded:
        raise InputError(
            "budget", f"{brief.budget} buys nothing within the limits", "raise the budget or the target cost"
        )
    return funded


def stable_bytes(plan: CampaignPlan) -> bytes:
    """A plan's content as JSON: equal for equal requests, versions and seeds. Without its id and what a clock had a say in."""
    content: dict[str, Any] = plan.model_dump(mode="json", exclude={"plan_id"})
    content["trace"] = [{k: v for k, v in step.items() if k not in UNSTABLE} for step in content["trace"]]
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _line(rank: int, c: Candidate, spend: Decimal, brief: Brief) -> PlanLine:
    """What ``spend`` brings at the combination's own bend: clicks, value, and the reward with its interval."""
    effective = c.saturation * float(-np.expm1(-float(spend) / c.saturation))
    value = None if c.row.value_per_unit is None else c.row.value_per_unit * effective
    return PlanLine(
        rank=rank,
        creative_id=c.row.creative_id,
        segment_id=c.row.segment_id,
        budget=spend,
        share=float(spend / brief.budget),
        click_rate=c.row.click_rate,
        expected_clicks=c.row.clicks_per_unit * effective,
        expected_value=value,
        expected_reward=c.rate * effective,
        reward_interval=Interval(low=c.interval.low * effective, high=c.interval.high * effective),
    )


def said_of(answer: Message | object) -> str:
    """The gist of an agent's answer in one line."""
    if isinstance(answer, CreativeSet):
        best = answer.variants[0]
        return f"{len(answer.variants)} variants ({answer.template_share:.0%} from templates), first: {best.headline}"
    if isinstance(answer, SegmentRanking):
        if not answer.scores:
            return f"no segment; {answer.withheld} withheld as too small"
        best_score = max(answer.scores, key=lambda s: (s.click_rate, s.segment_id))
        names = len({s.segment_id for s in answer.scores})
        return f"{names} segments, best {best_score.segment_id} at {best_score.click_rate:.2%} clicks; {answer.withheld} withheld as too small"
    if isinstance(answer, PerformanceReport):
        rates = [c.clicks_per_unit for c in answer.combinations]
        return f"{len(rates)} combinations, {min(rates):.2f} to {max(rates):.2f} clicks for each unit of currency"
    if isinstance(answer, Allocation):
        top = max(answer.shares, key=lambda s: (s.budget, s.option_id))
        return f"{sum(s.budget > 0 for s in answer.shares)} options funded, most {top.option_id} with {top.share:.0%}; {answer.unspent} unspent"
    raise TypeError(f"no gist for a {type(answer).__name__}")
