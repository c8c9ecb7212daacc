"""From judged statistics to a report that people read: what alarmed, in words, and whether training again would pay."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from math import isfinite
from typing import Final, NamedTuple

from adplatform.contracts.monitoring import DriftDay, DriftKind, DriftStatistic, RetrainDecision
from adplatform.monitoring.judging import LEVEL, SLOPE, UNEVEN, Alarm, Tested
from adplatform.monitoring.statistics import SCORES, Day
from adplatform.stats.drift import MINIMUM_DAYS

INFORMED: Final = 0.02
"""Variance of the model's relative score among clicks under which it tells users apart too little to lose by drift."""


class Prices(NamedTuple):
    """What a decision to retrain is priced with."""

    click_value: float
    """Currency."""
    horizon_days: float
    cost: float
    """Currency."""


def statistics(alarms: Sequence[Alarm], dates: Sequence[date]) -> tuple[DriftStatistic, ...]:
    """The judged statistics of the last of ``dates`` as messages; alarms first, then by z over its limit."""
    order = sorted(alarms, key=lambda a: (not a.alarm, -_strength(a)))
    return tuple(_statistic(a, dates) for a in order)


def _strength(alarm: Alarm) -> float:
    return abs(alarm.tested.judged.z) / alarm.limit if alarm.tested.judged else 0.0


def _statistic(alarm: Alarm, dates: Sequence[date]) -> DriftStatistic:
    t, judged = alarm.tested, alarm.tested.judged
    day = dates[-1 - t.lag]
    plain = {"kind": t.kind, "name": t.name, "day": day, "floor": t.floor, "alarm": alarm.alarm}
    if judged is None or not isfinite(t.value):
        needs = max(0, MINIMUM_DAYS - (len(dates) - 1 - t.lag))
        reason = (
            f"cannot tell: needs {needs} more days before it" if needs else "cannot tell: nothing to compare it with"
        )
        return DriftStatistic(**plain, value=None, reference=None, z=None, limit=None, effect=None, reason=reason)
    return DriftStatistic(
        **plain,
        value=t.value,
        reference=t.reference,
        z=judged.z,
        limit=alarm.limit,
        effect=t.effect,
        reason=_reason(alarm, day),
    )


def _reason(alarm: Alarm, day: date) -> str:
    t, judged = alarm.tested, alarm.tested.judged
    z = judged.z if judged else float("nan")
    text = f"{day}: {t.name} {t.value:.4g}, expected {t.reference:.4g} (z {z:+.1f}, limit {alarm.limit:.1f})"
    if alarm.alarm or abs(z) < alarm.limit:
        return text
    return f"{text}; the effect {t.effect:.3g} is under the floor {t.floor:.3g}"


def in_short(alarms: Sequence[Alarm], day: date) -> DriftDay:
    """One day of the report's history."""
    strongest = {kind: max((_strength(a) for a in alarms if a.tested.kind is kind), default=0.0) for kind in DriftKind}
    return DriftDay(day=day, strongest=strongest, alarms=tuple(a.tested.name for a in alarms if a.alarm))


def alarmed_since(recent: Sequence[DriftDay]) -> date | None:
    """First of the consecutive alarmed days that end with the last one, None if that is quiet."""
    since = None
    for entry in reversed(recent):
        if not entry.alarms:
            break
        since = entry.day
    return since


def lost_clicks(days: Day, alarms: Sequence[Alarm]) -> float:
    """Clicks that drift loses on the last of ``days``, to first order, from what its statistics say.

    A policy that weighs candidates by the model's score gains the covariance of that score with clicks (the derivative
    of an exponentially tilted mean); when the slope falls by d, it loses d times the score's variance. A model that hardly
    tells users apart has nothing to lose, but a new one would gain the variance between cells that it could learn. A
    wrong level costs bids half its square, as any error does at an optimum.
    """
    found = {a.tested.name: a.tested for a in alarms}
    clicks = float(days.clicks_by_score[-1].sum())
    held = days.predicted_by_score[-1].sum(axis=0) * float(days.reported[-1])
    total = float(held.sum())
    if clicks <= 0 or total <= 0:
        return 0.0
    centre = float((held * SCORES).sum() / total)
    variance = float((held * (SCORES - centre) ** 2).sum() / total)
    slope, spread, level = (_effect(found.get(name)) for name in (SLOPE, UNEVEN, LEVEL))
    ranking = spread**2 if variance < INFORMED else max(0.0, -slope) * variance
    return clicks * min(1.0, ranking + level**2 / 2)  # first order goes too far where much has changed


def _effect(tested: Tested | None) -> float:
    return float(tested.effect) if tested is not None and isfinite(tested.effect) else 0.0


def decide(days: Day, alarms: Sequence[Alarm], since: date | None, champion: str, prices: Prices) -> RetrainDecision:
    """Retrain when something alarms and what drift loses over the horizon is worth more than a training costs."""
    alarmed = since is not None
    clicks = lost_clicks(days, alarms) if alarmed else 0.0
    loss = clicks * prices.click_value
    gain = loss * prices.horizon_days
    retrain = alarmed and gain > prices.cost
    sums = (
        f"{clicks:.1f} clicks a day at {prices.click_value:.3g} over {prices.horizon_days:g} days are {gain:.2f}, "
        f"a training costs {prices.cost:.2f}"
    )
    reason = f"retrain: {sums}" if retrain else f"keep: {sums}" if alarmed else "keep: nothing alarms"
    return RetrainDecision(
        retrain=retrain, cause=f"{since.isoformat()}:{champion}" if since else "", lost_clicks_per_day=clicks,
        click_value=prices.click_value, loss_per_day=loss, horizon_days=prices.horizon_days, expected_gain=gain,
        cost=prices.cost, reason=reason,
    )  # fmt: skip
