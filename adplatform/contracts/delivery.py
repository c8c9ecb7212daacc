"""What the Budget agent is asked and answers, and the pacing of a day."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Self

from pydantic import Field, model_validator

from adplatform.contracts.base import Identifier, Interval, Message, Money, Probability


class AllocationOption(Message):
    """Something money can be spent on: a campaign, or a creative x segment combination.

    Expected reward of spend ``b``: ``reward_rate * saturation * (1 - exp(-b / saturation))``. The split takes
    one above 1e13 for 1e13, one below 1e-5 for 1e-5.
    """

    option_id: Identifier
    reward_rate: Annotated[float, Field(ge=0)]
    reward_interval: Interval
    saturation: Annotated[float, Field(gt=0)]
    minimum: Money = Decimal("0.00")
    maximum: Money | None = None


class AllocationRequest(Message):
    """Split ``budget`` over the options. Raises InputError if the minimums exceed it."""

    options: Annotated[tuple[AllocationOption, ...], Field(min_length=1, max_length=5000)]
    budget: Annotated[Money, Field(gt=0)]
    largest_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """No option may get more than this share of the budget (unless it is the only one)."""
    risk: Probability = 0.0
    """0 allocates by the posterior mean, 1 by the lower end of the interval."""


class AllocationShare(Message):
    """One option's part: its budget and the reward it is expected to bring."""

    option_id: Identifier
    budget: Money
    share: Probability
    expected_reward: Annotated[float, Field(ge=0)]


class Allocation(Message):
    """The split; budgets add up to the cent to ``budget`` less ``unspent``."""

    shares: tuple[AllocationShare, ...]
    budget: Money
    unspent: Money = Decimal("0.00")
    """What no option could take within its maximum."""
    model_version: str

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = sum((s.budget for s in self.shares), Decimal(0)) + self.unspent
        if total != self.budget:
            raise ValueError(f"shares and unspent add up to {total}, not to the budget {self.budget}")
        return self


class PacingPlan(Message):
    """Share of a day's budget for each hour of the campaign's own day (23 or 25 at a clock change)."""

    campaign_id: Identifier
    hourly: tuple[Money, ...]
    budget: Money
