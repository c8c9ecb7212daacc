"""Drift reports: what was tested, what alarmed, and whether training again would pay."""

from __future__ import annotations

from datetime import date
from enum import StrEnum

from adplatform.contracts.base import Identifier, Message, Probability


class DriftKind(StrEnum):
    """What may drift: who sees ads and where, what the champion predicts of clicks, and what a decision earns."""

    POPULATION = "population"
    CALIBRATION = "calibration"
    REWARD = "reward"


class DriftStatistic(Message):
    """One statistic of one day, as a deviation from what its strata did in the reference."""

    kind: DriftKind
    name: str
    day: date
    """The day it is of: outcomes that mature late are judged on the last matured day."""
    value: float | None
    reference: float | None
    """Both None: the data cannot tell yet, and ``reason`` says what it needs."""
    z: float | None
    limit: float | None
    """The z beyond which it alarms, so that all statistics of all days keep the one budget."""
    effect: float | None
    floor: float
    """Smaller effects are of no practical interest and never alarm."""
    alarm: bool
    reason: str


class RetrainDecision(Message):
    """Whether to train again: what drift loses over the horizon against what a training costs."""

    retrain: bool
    cause: str
    """What started it, the same on every day of one drift: ``<first alarmed day>:<champion>``; empty without alarm."""
    lost_clicks_per_day: float
    click_value: float
    loss_per_day: float
    horizon_days: float
    expected_gain: float
    cost: float
    reason: str


class DriftDay(Message):
    """One day in short."""

    day: date
    strongest: dict[DriftKind, float]
    """Largest z over its limit, by kind; 1 is where it begins to alarm, if the effect is large enough too."""
    alarms: tuple[str, ...]


class DriftReport(Message):
    """Drift of one day."""

    day: date
    champion: Identifier
    reference_first: date
    reference_last: date
    reference_days: int
    budget: Probability
    """Chance that a day without drift alarms, over all statistics."""
    statistics: tuple[DriftStatistic, ...]
    decision: RetrainDecision
    recent: tuple[DriftDay, ...]
    """The last days, this one included, oldest first."""
    alarmed_since: date | None
    """First of the consecutive days that alarmed, None when this one does not."""

    @property
    def alarms(self) -> tuple[DriftStatistic, ...]:
        """The statistics that alarm."""
        return tuple(s for s in self.statistics if s.alarm)

    @property
    def reason(self) -> str:
        """What alarms, in one line."""
        return "; ".join(s.reason for s in self.alarms) or "no drift"
