"""Whether a day is unlike the days before it, in a way that does not become likelier with more rows.

A binomial test of a million rows calls every day different: days differ a little, by bids, weather and what is on
television. So a day is judged against how much days differ among themselves: its statistic is its strata's reference
ratio times a day effect times counting noise, and the variance of the day effects is estimated on the reference
(overdispersion by moments, as DerSimonian and Laird 1986 do between studies). Strata (campaign, creative, exposures)
keep a changed mix from looking like a changed world, and a weekday is compared with its like. Arrays are (days, strata);
the last day is the one in question, the days before it are the reference.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from adplatform.contracts.errors import InputError

Floats = NDArray[np.float64]
PRIOR_COUNT: Final = 10.0
"""Weight, in counts, of the ratio over all strata in the ratio of each."""
STRATUM_DAYS: Final = 7
"""A stratum (a new campaign, a new creative) takes part once it has so many reference days."""
MINIMUM_DAYS: Final = 10
"""With fewer reference days nothing is judged."""
WEEKDAY_DAYS: Final = 28
"""With fewer, weekdays count as noise: two values of each can't tell a cycle from chance."""


class Deviations(NamedTuple):
    """One statistic by day, each array (days,): 0 is as in the reference, NaN is a day without the statistic.

    ``counting`` is the variance by counting alone, ``concentration`` the sum of squared shares of the groups (campaigns)
    in the day: what remains of day effects that are each group's own.
    """

    value: Floats
    counting: Floats
    concentration: Floats


class Judgement(NamedTuple):
    """The day in question against the reference; ``freedom`` degrees of Student's distribution stand behind ``z``."""

    effect: float
    z: float
    p: float
    freedom: int
    day_deviation: float
    """Standard deviation of the day effects, in units of the statistic."""


def judge(found: Deviations, weekday: NDArray[Any], two_sided: bool = True) -> Judgement | None:
    """The last day against the others, or None with fewer than ``MINIMUM_DAYS`` of them.

    ``weekday`` (days,). With ``WEEKDAY_DAYS`` of reference each weekday has its own mean. The prediction's variance is
    that of day effects, taken as common to all groups or as each group's own, whichever is larger today, plus that of
    counting; z over its root is Student's t. Raises InputError when shapes differ.
    """
    if not found.value.shape == found.counting.shape == np.shape(weekday):
        raise InputError("weekday", f"has shape {np.shape(weekday)}", f"give one for each of {found.value.shape} days")
    kept = np.isfinite(found.value[:-1])
    days = int(kept.sum())
    if days < MINIMUM_DAYS or not np.isfinite(found.value[-1]):
        return None
    x, v, h = (column[:-1][kept] for column in found)
    alike = weekday[:-1][kept] if days >= WEEKDAY_DAYS else np.zeros(days, dtype=int)
    today = int(weekday[-1]) if days >= WEEKDAY_DAYS else 0
    _, code = np.unique(alike, return_inverse=True)
    count = np.bincount(code)
    if count.min() < 2 or today not in alike:
        code, count, alike, today = np.zeros(days, dtype=int), np.array([days]), np.zeros(days, dtype=int), 0
    residual = x - (np.bincount(code, x) / count)[code]
    freedom = days - len(count)
    excess = residual**2 * days / freedom - v
    common, own = max(0.0, float(excess.mean())), max(0.0, float(excess.sum() / h.sum()))
    between = max(common, own * float(found.concentration[-1]))
    mean = float(x[alike == today].mean())
    variance = (between + float(found.counting[-1])) * (1 + 1 / float((alike == today).sum()))
    z = (float(found.value[-1]) - mean) / float(np.sqrt(variance))
    tail = float(special.stdtr(freedom, -abs(z) if two_sided else -z))
    return Judgement(
        float(found.value[-1]) - mean, z, min(1.0, 2 * tail) if two_sided else tail, freedom, float(np.sqrt(common))
    )


class Expected(NamedTuple):
    """What the strata's reference ratios make of each day's exposure: (days, strata), unknown strata 0."""

    counts: Floats
    ratio: Floats
    """(strata,)."""
    behind: Floats
    """(strata,) counts that each ratio was estimated from, the prior's included."""
    known: NDArray[np.bool_]


def expected(observed: Floats, exposure: Floats, group: NDArray[Any] | None = None) -> Expected:
    """Exposure times each stratum's reference ratio of observed to exposure, shrunk to that of its ``group`` (strata,),
    which is shrunk to that of all strata; without groups to the latter at once.

    Raises InputError when shapes differ or there is no reference day.
    """
    if observed.shape != exposure.shape or len(observed) < 2:
        raise InputError("observed", f"has shape {observed.shape}", f"give {exposure.shape}, at least two days")
    y, n = observed[:-1].sum(axis=0), exposure[:-1].sum(axis=0)
    known = (exposure[:-1] > 0).sum(axis=0) >= min(STRATUM_DAYS, len(observed) - 1)
    whole = float(y[known].sum() / n[known].sum()) if known.any() and n[known].sum() > 0 else 0.0
    if whole <= 0:
        return Expected(np.zeros_like(exposure), np.zeros(len(y)), np.full(len(y), PRIOR_COUNT), np.zeros_like(known))
    prior: Any = whole
    if group is not None:
        of_group = [np.bincount(group, np.where(known, of, 0.0)) for of in (y, n)]
        prior = ((of_group[0] + PRIOR_COUNT) / (of_group[1] + PRIOR_COUNT / whole))[group]
    behind = y + PRIOR_COUNT
    ratio = behind / (n + PRIOR_COUNT / prior)
    return Expected(np.where(known, exposure * ratio, 0.0), ratio, behind, known)


def ratio_deviations(
    observed: Floats,
    exposure: Floats,
    group: NDArray[Any],
    variance: Floats | None = None,
    share: bool = False,
) -> Deviations:
    """Relative deviation of a day's count from its strata's reference ratios, standardised to the day's own mix.

    3/2 ((observed / expected) ** (2/3) - 1), which Anscombe (1953) made nearly normal for a Poisson count and which is
    the relative deviation near 0. ``group`` (strata,) numbers the campaigns. ``variance`` (days, strata) is the counts'
    own where rows are weighted; for a ``share`` it is binomial, else Poisson.
    """
    base = expected(observed, exposure)
    rest = (1 - base.ratio).clip(0.0) if share else np.ones(len(base.ratio))
    total = base.counts.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(base.known, observed, 0.0).sum(axis=1) / total
        spread = base.counts * rest if variance is None else np.where(base.known, variance, 0.0)
        counting = spread.sum(axis=1) / total**2
        if variance is not None:
            counting = np.where(spread.sum(axis=1) > 0, counting, np.nan)
        shares = base.counts @ (group[:, None] == np.unique(group)).astype(float) / total[:, None]
        value = 1.5 * (ratio ** (2 / 3) - 1) + counting / 6
    # Only the day in question carries the error of the ratios: the reference days made them.
    error = float((base.counts[-1] ** 2 * rest / base.behind).sum() / total[-1] ** 2) if total[-1] > 0 else np.nan
    counting[-1] += error
    return Deviations(np.where(total > 0, value, np.nan), counting, (shares**2).sum(axis=1))


def slope_deviations(observed: Floats, exposure: Floats, score: Floats) -> Deviations:
    """Deviation of the slope of clicks on the model's score from the reference's, one Newton step of Cox's (1958)
    recalibration.

    ``observed`` and ``exposure`` (predicted clicks) are (days, strata, bins), ``score`` (bins,) is each bin's logit
    against its context's mean. Each stratum's own curve is its reference's, so a changed mix of strata is no change of
    slope, and the day's level cancels.
    """
    days, strata, bins = observed.shape
    flat = (days, strata * bins)
    base = expected(observed.reshape(flat), exposure.reshape(flat), np.repeat(np.arange(strata), bins))
    held = base.counts.reshape(observed.shape)
    clicks = np.where(base.known, observed.reshape(flat), 0.0).reshape(observed.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = (held @ score).sum(axis=1) / held.sum(axis=(1, 2))
        away = score[None, :] - centre[:, None]
        mass, found = held.sum(axis=1), clicks.sum(axis=1)
        information = (away**2 * mass).sum(axis=1)
        value = (away * (found - mass)).sum(axis=1) / information
        counting = (away**2 * found.clip(0.0)).sum(axis=1) / information**2
    error = (base.counts[-1] ** 2 / base.behind).reshape(strata, bins).sum(axis=0)
    counting[-1] += float((away[-1] ** 2 * error).sum()) / float(information[-1]) ** 2
    return Deviations(value, counting, np.ones(days))


def spread_deviations(observed: Floats, exposure: Floats, cell: NDArray[Any]) -> tuple[Deviations, Floats]:
    """How unevenly a day's counts deviate over its cells, and that as a relative standard deviation, (days,).

    ``cell`` (strata,) is the cell that each stratum belongs to; expected counts are the strata's own, so a changed mix
    within a cell is no deviation of it. Pearson's statistic over its degrees of freedom, by Wilson and Hilferty's (1931)
    cube root nearly normal; the day's level is taken out. Deviations that raise some cells and lower others show here
    and in no total.
    """
    base = expected(observed, exposure, cell)
    member = (cell[:, None] == np.unique(cell)).astype(float)
    seen, counts = np.where(base.known, observed, 0.0) @ member, base.counts @ member
    with np.errstate(divide="ignore", invalid="ignore"):
        uncertain = (base.counts[-1] ** 2 / base.behind) @ member / counts[-1] ** 2
        level = seen.sum(axis=1) / counts.sum(axis=1)
        mean = counts * level[:, None]
        used = mean >= 1.0
        error = np.where(used, mean, np.nan)
        error[-1] *= 1 + mean[-1] * uncertain
        pearson = np.nansum(np.where(used, (seen - mean) ** 2, 0.0) / error, axis=1)
        freedom = used.sum(axis=1) - 1.0
        counting = (2 + np.nansum(np.where(used, 1 / mean, 0.0), axis=1) / freedom) / (9 * freedom)
        value = np.where(freedom > 1, (pearson / freedom) ** (1 / 3) - 1 + 2 / (9 * freedom), np.nan)
        size = np.sqrt((pearson - freedom).clip(0.0) / mean.sum(axis=1))
    return Deviations(value, counting, np.ones(len(value))), size
