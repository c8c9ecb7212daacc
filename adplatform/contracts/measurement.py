"""What the Measurement agent is asked and answers: expectations, lift, actions."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from adplatform.contracts.base import Day, Identifier, Interval, Message, Money, People, Probability
from adplatform.contracts.targeting import CreativeAttributes, SegmentScore


class PerformanceRequest(Message):
    """Expected performance of each creative x segment combination."""

    creatives: Annotated[tuple[CreativeAttributes, ...], Field(min_length=1, max_length=100)]
    combinations: Annotated[tuple[SegmentScore, ...], Field(min_length=1, max_length=5000)]
    flight_days: Annotated[int, Field(ge=1, le=3650)] = 14


class ExpectedPerformance(Message):
    """What spending on one combination brings, before and at saturation.

    Reward is clicks, or value of conversions, as the brief's objective says. The expected reward of
    spending ``b`` is ``reward_rate * saturation * (1 - exp(-b / saturation))``: concave, ``reward_rate`` per
    unit of currency at the start, ``saturation`` the spend (in currency) at which it has bent to 63 %.
    """

    creative_id: Identifier
    segment_id: Identifier
    click_rate: Probability
    click_interval: Interval
    conversion_rate: Probability | None = None
    """Conversions per click, where the data has conversions."""
    conversion_value: Annotated[float, Field(ge=0)] | None = None
    cost_per_mille: Annotated[float, Field(gt=0)]
    clicks_per_unit: Annotated[float, Field(ge=0)]
    value_per_unit: Annotated[float, Field(ge=0)] | None = None
    value_interval: Interval | None = None
    saturation: Annotated[float, Field(gt=0)]


class PerformanceReport(Message):
    """One row for each combination asked for, in the order asked."""

    combinations: tuple[ExpectedPerformance, ...]
    model_version: str


class ArmCounts(Message):
    """Counts of one arm: ``users`` assigned, of whom ``successes`` clicked or converted (by the metric)."""

    arm: Identifier
    users: People
    successes: People

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.successes > self.users:
            raise ValueError(f"successes {self.successes} exceed users {self.users}; count each user once")
        return self


class ExperimentCounts(Message):
    """A two-arm experiment as of ``as_of``: control first."""

    experiment_id: Identifier
    control: ArmCounts
    treatment: ArmCounts
    treatment_share: Annotated[float, Field(ge=0.01, le=0.99)] = 0.5
    """Designed share of users in treatment."""
    designed_users: Annotated[People, Field(ge=2)] | None = None
    """Users in both arms that the design asked for."""
    as_of: Day | None = None


class LiftEstimate(Message):
    """Lift of treatment over control, absolute (difference of rates) and relative (ratio - 1)."""

    experiment_id: Identifier
    absolute: float
    absolute_interval: Interval
    relative: float | None
    relative_interval: Interval | None
    probability_positive: Probability
    method: str


class Action(StrEnum):
    """What measurement proposes for an experiment or a combination."""

    CONTINUE = "continue"
    SCALE = "scale"
    REDUCE = "reduce"
    PAUSE = "pause"
    SHIP = "ship"


class ExperimentDecision(Message):
    """A proposed action, its reason in words, and what it rests on."""

    experiment_id: Identifier
    action: Action
    reason: str
    lift: LiftEstimate
    always_valid_interval: Interval
    sample_ratio_p: Probability
    power: Probability
    """Power of this experiment, at its present size, to find a 20 % relative lift."""


class CampaignPosterior(Message):
    """What a campaign brings per unit of currency, for the budget across campaigns."""

    campaign_id: Identifier
    reward_rate: Annotated[float, Field(ge=0)]
    interval: Interval
    saturation: Annotated[float, Field(gt=0)]
    spent: Money
