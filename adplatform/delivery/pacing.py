"""A day's budget over the hours of the campaign's own day, by the traffic those hours bring.

Hours are hours of elapsed time from local midnight to the next one: 23 or 25 of them where the clock changes (24 with a
last one of thirty minutes where it changes by half an hour).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from adplatform.contracts.brief import Flight
from adplatform.contracts.delivery import PacingPlan
from adplatform.contracts.errors import InputError
from adplatform.stats.apportion import apportion

HOUR = timedelta(hours=1)


def hours_of(day: date, timezone: str) -> tuple[datetime, ...]:
    """Starts (UTC) of the hours of ``day`` as ``timezone`` has it, followed by the day's end."""
    zone = ZoneInfo(timezone)
    start, end = (datetime(d.year, d.month, d.day, tzinfo=zone).astimezone(UTC) for d in (day, day + timedelta(days=1)))
    starts = [start]
    while starts[-1] + HOUR < end:
        starts.append(starts[-1] + HOUR)
    return (*starts, end)


def hourly_traffic(
    history: Mapping[datetime, float], timezone: str, prior_days: float = 1.0
) -> npt.NDArray[np.float64]:
    """Mean traffic of each local hour of day, shape ``(24,)``.

    ``history``: start of an hour (aware) -> impressions in it. Every hour is drawn towards the overall mean as if
    ``prior_days`` days of it had been seen, so that an hour without history is never given nothing. No history: all ones.
    Raises InputError on a naive time or a negative or infinite count.
    """
    zone = ZoneInfo(timezone)
    total, seen = np.zeros(24), np.zeros(24)
    for start, count in history.items():
        if start.tzinfo is None or not np.isfinite(count) or count < 0:
            raise InputError(f"traffic at {start}", "needs an aware time and a count of at least 0", "mend the history")
        hour = start.astimezone(zone).hour
        total[hour] += count
        seen[hour] += 1
    if total.sum() == 0:
        return np.ones(24)
    mean = total.sum() / seen.sum()
    return np.asarray((total + prior_days * mean) / (seen + prior_days), dtype=np.float64)


def pace(
    campaign_id: str,
    budget: Decimal,
    day: date,
    timezone: str,
    traffic: Sequence[float] | npt.NDArray[np.float64],
    spent: Sequence[Decimal] = (),
) -> PacingPlan:
    """Budget of each hour of ``day``, in proportion to ``traffic`` (24 local hours), to the cent.

    ``spent``: what the hours that are over have really cost, first hour first. They keep that; the hours left share what
    is left, so that a slow morning is caught up. After an overspend the rest of the day gets nothing.
    Raises InputError when traffic is not 24 finite counts of at least 0, not all 0, or more hours are spent than exist.
    """
    weights = np.asarray(traffic, dtype=np.float64)
    if weights.shape != (24,) or not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() == 0:
        raise InputError("traffic", "needs 24 counts of at least 0, not all 0", "build it with hourly_traffic")
    if budget < 0:
        raise InputError("budget", f"{budget} is below 0", "give the day a budget of at least 0")
    *starts, end = hours_of(day, timezone)
    if len(spent) > len(starts) or any(s < 0 for s in spent):
        raise InputError(
            "spent", f"{day} has {len(starts)} hours, each at least 0", "give one amount for each hour that is over"
        )
    zone = ZoneInfo(timezone)
    part = [(b - a) / HOUR for a, b in zip(starts, [*starts[1:], end], strict=True)]
    hour_weight = np.array([weights[s.astimezone(zone).hour] * p for s, p in zip(starts, part, strict=True)])
    rest = hour_weight[len(spent) :]
    left = max(0, int((budget - sum(spent, Decimal(0))) * 100))
    if rest.sum() == 0:
        rest = np.array(part[len(spent) :])
    cents = apportion(left, rest) if len(rest) else np.zeros(0, dtype=np.int64)
    hourly = (*spent, *(Decimal(int(c)) / 100 for c in cents))
    return PacingPlan(campaign_id=campaign_id, hourly=hourly, budget=budget)


def daily_budgets(
    budget: Decimal, flight: Flight, weekday_traffic: Sequence[float] = (1.0,) * 7
) -> dict[date, Decimal]:
    """A flight's budget over its days by weekday traffic (Monday first), to the cent."""
    days = [flight.starts_on + timedelta(days=i) for i in range(flight.days)]
    cents = apportion(int(budget * 100), [weekday_traffic[d.weekday()] for d in days])
    return {d: Decimal(int(c)) / 100 for d, c in zip(days, cents, strict=True)}
