"""The campaign plan, its trace and its receipt."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from adplatform.contracts.base import Identifier, Interval, Message, Money, Probability
from adplatform.contracts.brief import Brief, Objective
from adplatform.contracts.creative import CopyVariant


class State(StrEnum):
    """States of the orchestrator, in the order they are passed."""

    REQUEST = "request"
    CREATIVES = "creatives"
    TARGETING = "targeting"
    MEASUREMENT = "measurement"
    SELECTION = "selection"
    PLAN = "plan"


class Outcome(StrEnum):
    """How an agent's turn ended."""

    ANSWERED = "answered"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    NONSENSE = "nonsense"


class TraceStep(Message):
    """One turn: which agent, what came of it, how fast, and which fallback answered instead."""

    state: State
    agent: str
    version: str
    outcome: Outcome
    attempts: Annotated[int, Field(ge=0)]
    seconds: Annotated[float, Field(ge=0)]
    fallback: str | None = None
    problem: str | None = None
    said: str
    """One line: the gist of the answer that was used."""


class PlanLine(Message):
    """Money on one creative in one segment."""

    rank: Annotated[int, Field(ge=1)]
    creative_id: Identifier
    segment_id: Identifier
    budget: Money
    share: Probability
    click_rate: Probability
    expected_clicks: Annotated[float, Field(ge=0)]
    expected_value: Annotated[float, Field(ge=0)] | None = None
    expected_reward: Annotated[float, Field(ge=0)]
    reward_interval: Interval


class Receipt(Message):
    """What the plan was decided on, enough to replay it byte for byte."""

    versions: dict[str, str]
    """Agent -> version that answered (or the fallback's name)."""
    data_version: str
    """Version of the warehouse marts the agents read."""
    data_through: str | None = None
    """Last day of behaviour data behind the models, ISO."""
    seed: int


class CampaignPlan(Message):
    """The answer to a brief: top-k combinations with budget, the creatives, the trace and the receipt."""

    plan_id: Identifier
    brief: Brief
    objective: Objective
    creatives: tuple[CopyVariant, ...]
    lines: Annotated[tuple[PlanLine, ...], Field(min_length=1)]
    unspent: Money = Decimal("0.00")
    expected_reward: Annotated[float, Field(ge=0)]
    reward_interval: Interval
    trace: tuple[TraceStep, ...]
    receipt: Receipt

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = sum((line.budget for line in self.lines), Decimal(0)) + self.unspent
        if total != self.brief.budget:
            raise ValueError(f"lines and unspent add up to {total}, not to the budget {self.brief.budget}")
        known = {c.creative_id for c in self.creatives}
        for line in self.lines:
            if line.creative_id not in known:
                raise ValueError(f"line {line.rank} spends on creative {line.creative_id}, which is not in the plan")
        return self
