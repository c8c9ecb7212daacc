"""Response curves: what a campaign's daily spend brings, with the posterior of where it saturates.

Reward of spending b on a day is r * S * (1 - exp(-b / S)), as in contracts.delivery. Clicks (or conversions, worth
their mean value) of day t are over-dispersed Poisson with that mean. For given S the rate r has a gamma posterior in
closed form; S is integrated over a grid, so no sampling is needed and the answer is exact up to the grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from adplatform.contracts.base import Interval
from adplatform.contracts.brief import Objective
from adplatform.contracts.errors import InputError
from adplatform.contracts.measurement import CampaignPosterior

Floats = NDArray[np.float64]
COLUMNS: Final = ("campaign_id", "clicks", "conversions", "conversion_value", "spend")
PRIOR_MULTIPLE: Final = 3.0
"""Prior median of the saturation, in mean daily spends; data that cover no range of spend leave it there."""
PRIOR_SPREAD: Final = 1.0
"""Its standard deviation on the log scale: 95 % between 0.4 and 21 mean daily spends."""
GRID: Final = np.exp(np.linspace(np.log(0.1), np.log(100.0), 181))
"""Saturations tried, in mean daily spends."""
MINIMUM_DAYS: Final = 3
MINIMUM_REWARDS: Final = 5
LEVEL: Final = 0.95


class Days(NamedTuple):
    """A campaign's days: spend in currency and rewards as counts, each worth ``value``; all (days,)."""

    spend: Floats
    counts: Floats
    value: float
    value_error: float
    """Relative standard error of ``value``."""


class ResponseCurve(NamedTuple):
    """Posterior of one campaign's daily response: draws of rate (per unit of currency) and saturation, both (draws,)."""

    campaign_id: str
    rate: Floats
    saturation: Floats
    days: int
    spent: float

    def reward(self, spend: NDArray[np.float64], level: float = LEVEL) -> Floats:
        """Mean, lower and upper end of the expected daily reward at each spend; shape (3, spends)."""
        s = self.saturation[:, None]
        draws = self.rate[:, None] * s * -np.expm1(-np.asarray(spend)[None, :] / s)
        low, high = np.quantile(draws, ((1 - level) / 2, (1 + level) / 2), axis=0)
        return np.stack([draws.mean(axis=0), low, high])

    def posterior(self, level: float = LEVEL) -> CampaignPosterior:
        """The message for the budget: mean rate with its interval, median saturation."""
        low, high = np.quantile(self.rate, ((1 - level) / 2, (1 + level) / 2))
        return CampaignPosterior(
            campaign_id=self.campaign_id,
            reward_rate=float(self.rate.mean()),
            interval=Interval(low=float(low), high=float(high), level=level),
            saturation=float(np.median(self.saturation)),
            spent=Decimal(str(round(self.spent, 2))),
        )


def response_curves(
    daily: Any, objectives: Mapping[str, Objective], draws: int = 2000, seed: int = 0
) -> list[ResponseCurve]:
    """Curves of the campaigns in ``campaign_daily`` (a pyarrow table), by campaign id.

    Reward is conversion value where the objective is conversions and clicks otherwise. Left out are days without
    spend, days whose conversions have not matured, and campaigns with under 3 days or 5 rewards: those have no curve
    to tell. Raises InputError on a missing column or a campaign without an objective.
    """
    missing = [c for c in COLUMNS if c not in daily.column_names]
    if missing:
        raise InputError("campaign_daily", f"has no column {missing[0]}", "rebuild the marts")
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in daily.select(list(COLUMNS)).to_pylist():
        rows.setdefault(row["campaign_id"], []).append(row)
    curves = []
    for number, campaign in enumerate(sorted(rows)):
        if campaign not in objectives:
            raise InputError(f"campaign {campaign}", "has no objective", "give one for each campaign")
        days = _days(rows[campaign], objectives[campaign])
        if days is not None:
            rate, saturation = _sample(days, draws, np.random.default_rng([seed, number]))
            spent = sum(r["spend"] or 0.0 for r in rows[campaign])
            curves.append(ResponseCurve(campaign, rate, saturation, len(days.spend), spent))
    return curves


def _days(rows: list[dict[str, Any]], objective: Objective) -> Days | None:
    paid = objective is Objective.CONVERSIONS
    column = "conversions" if paid else "clicks"
    kept = [r for r in rows if (r["spend"] or 0.0) > 0 and r[column] is not None]
    spend, counts = (np.array([r[c] for r in kept], dtype=np.float64) for c in ("spend", column))
    if len(kept) < MINIMUM_DAYS or counts.sum() < MINIMUM_REWARDS:
        return None
    if not paid:
        return Days(spend, counts, 1.0, 0.0)
    values = np.array([r["conversion_value"] or 0.0 for r in kept])
    value = float(values.sum() / counts.sum())
    # Between-day spread of the mean value, weighted by conversions: a value's variance shows in it n times smaller.
    some = counts > 0
    residual = float((counts[some] * (values[some] / counts[some] - value) ** 2).sum()) / max(int(some.sum()) - 1, 1)
    return Days(spend, counts, value, float(np.sqrt(residual / counts.sum())) / value if value > 0 else 0.0)


def _sample(days: Days, draws: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draws of (rate, saturation) from the grid posterior."""
    unit = float(days.spend.mean())
    grid = GRID * unit
    exposure = grid[:, None] * -np.expm1(-days.spend[None, :] / grid[:, None])
    dispersion = _dispersion(days.counts, exposure)
    # The likelihood to the power 1 / dispersion: quasi-Poisson (Wedderburn 1974).
    y, total = days.counts.sum() / dispersion, exposure.sum(axis=1) / dispersion
    shape = y + 0.5
    fit = (special.xlogy(days.counts, exposure)).sum(axis=1) / dispersion - shape * np.log(total)
    log_weight = fit - (np.log(GRID / PRIOR_MULTIPLE) / PRIOR_SPREAD) ** 2 / 2
    weight = np.exp(log_weight - log_weight.max())
    chosen = rng.choice(len(grid), size=draws, p=weight / weight.sum())
    rate = rng.gamma(shape, 1.0, draws) / total[chosen] * days.value
    sigma = float(np.sqrt(np.log1p(days.value_error**2)))
    return rate * rng.lognormal(-(sigma**2) / 2, sigma, draws), grid[chosen]


def _dispersion(counts: Floats, exposure: Floats) -> float:
    """Pearson's chi-square over its degrees of freedom at the best saturation, 1 or more."""
    fitted = exposure * (counts.sum() / exposure.sum(axis=1))[:, None]
    chi = ((counts - fitted) ** 2 / fitted).sum(axis=1).min()
    return max(1.0, float(chi) / max(len(counts) - 2, 1))
