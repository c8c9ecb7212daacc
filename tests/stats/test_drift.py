"""Days are judged against days: alarms are as rare at a million rows as at ten thousand, and real change is found."""

from __future__ import annotations

import numpy as np
import pytest

from adplatform.contracts.errors import InputError
from adplatform.stats.drift import judge, ratio_deviations, slope_deviations, spread_deviations

DAYS = 57
WEEKDAY = np.arange(DAYS) % 7


def shares(rng: np.random.Generator, rows: int, day_effect: float, last: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Counts of one level in four campaigns whose usual shares differ, with day effects of that relative size."""
    usual = np.array([0.1, 0.2, 0.15, 0.3])
    total = rng.multinomial(rows, [0.4, 0.3, 0.2, 0.1], DAYS).astype(float)
    p = usual * np.exp(rng.normal(0, day_effect, (DAYS, 4)))
    p[-1] *= 1 + last
    return rng.binomial(total.astype(int), p.clip(0, 1)).astype(float), total


def alarm_rate(rows: int, day_effect: float, runs: int = 400, level: float = 0.05) -> float:
    rng = np.random.default_rng(rows)
    found = [
        judge(ratio_deviations(*shares(rng, rows, day_effect), np.arange(4), share=True), WEEKDAY) for _ in range(runs)
    ]
    return float(np.mean([f.p < level for f in found]))


@pytest.mark.parametrize("rows", [10_000, 1_000_000])
@pytest.mark.parametrize("day_effect", [0.0, 0.05])
def test_the_alarm_rate_is_the_level_at_any_number_of_rows(rows: int, day_effect: float) -> None:
    # 400 runs at 5 %: the 99.9 % band ends at 9 %. A binomial test at 1 M rows and day effects of 5 % alarms on 85 %.
    assert alarm_rate(rows, day_effect) <= 0.09


def test_a_test_against_counting_noise_alone_would_alarm_on_most_days_at_a_million_rows() -> None:
    """What the day effects are there for."""
    rng = np.random.default_rng(3)
    z = []
    for _ in range(200):
        found = ratio_deviations(*shares(rng, 1_000_000, 0.05), np.arange(4), share=True)
        z.append((found.value[-1] - found.value[:-1].mean()) / np.sqrt(found.counting[-1]))
    assert np.mean(np.abs(z) > 1.96) > 0.5


@pytest.mark.parametrize("rows", [10_000, 1_000_000])
def test_a_change_of_a_third_is_found_and_its_size_told(rows: int) -> None:
    rng = np.random.default_rng(5)
    found = [
        judge(ratio_deviations(*shares(rng, rows, 0.03, last=1 / 3), np.arange(4), share=True), WEEKDAY)
        for _ in range(100)
    ]
    assert np.mean([f.p < 1e-3 for f in found]) >= 0.95
    assert np.mean([f.effect for f in found]) == pytest.approx(1 / 3, abs=0.03)


def test_a_weekly_cycle_is_no_drift_and_a_sunday_on_a_monday_is() -> None:
    rng = np.random.default_rng(7)
    cycle = np.where(np.arange(DAYS + 1) % 7 == 6, 1.4, 1.0)
    total = np.full((DAYS, 1), 200_000.0)

    def last_day(first: int) -> float:
        rate = 0.1 * cycle[first : first + DAYS]
        counts = rng.binomial(200_000, rate)[:, None].astype(float)
        return judge(ratio_deviations(counts, total, np.zeros(1), share=True), (first + np.arange(DAYS)) % 7).p

    usual = [last_day(first) for first in (0, 1) for _ in range(50)]
    assert np.mean(np.array(usual) < 0.01) <= 0.06
    counts = rng.binomial(200_000, 0.1 * cycle[:DAYS])[:, None].astype(float)
    counts[-1] = 200_000 * 0.14
    assert judge(ratio_deviations(counts, total, np.zeros(1), share=True), WEEKDAY).p < 1e-6


def test_a_campaign_that_begins_or_ends_changes_the_mix_and_not_the_statistic() -> None:
    """Shares differ fourfold between campaigns: unconditioned, the day on which one ends is 40 % off."""
    rng = np.random.default_rng(11)
    counts, total = shares(rng, 1_000_000, 0.01)
    counts[-1, 0] = total[-1, 0] = 0.0
    total[-1, 3] *= 5
    counts[-1, 3] = total[-1, 3] * 0.3
    assert abs(counts[-1].sum() / total[-1].sum() / (counts[:-1].sum() / total[:-1].sum()) - 1) > 0.4
    found = judge(ratio_deviations(counts, total, np.arange(4), share=True), WEEKDAY)
    assert abs(found.effect) < 0.03
    assert found.p > 1e-3


def test_the_slope_of_a_model_that_tells_nothing_any_more_falls_by_one() -> None:
    rng = np.random.default_rng(13)
    score = np.array([-0.6, -0.2, 0.2, 0.6])
    exposure = np.full((DAYS, 3, 4), 400.0) * np.exp(score)
    rate = exposure.copy()
    rate[-1] = rate[-1].mean()
    found = judge(slope_deviations(rng.poisson(rate).astype(float), exposure, score), WEEKDAY)
    assert found.effect == pytest.approx(-1.0, abs=0.2)
    assert found.z < -8
    level = rng.poisson(exposure * np.where(np.arange(DAYS) == DAYS - 1, 1.5, 1.0)[:, None, None]).astype(float)
    assert abs(judge(slope_deviations(level, exposure, score), WEEKDAY).z) < 4


def test_what_rises_in_half_of_the_cells_and_falls_in_the_others_shows_in_the_spread_alone() -> None:
    rng = np.random.default_rng(17)
    exposure = np.full((DAYS, 60), 30.0)
    rate = exposure * rng.uniform(0.8, 1.2, 60)
    rate[-1] *= np.where(np.arange(60) % 2, 1.4, 0.6)
    counts = rng.poisson(rate).astype(float)
    deviations, size = spread_deviations(counts, exposure, np.arange(60))
    assert judge(deviations, WEEKDAY, two_sided=False).z > 6
    assert size[-1] == pytest.approx(0.4, abs=0.08)
    assert abs(judge(ratio_deviations(counts, exposure, np.zeros(60)), WEEKDAY).z) < 4


def test_a_policy_that_shows_other_creatives_changes_neither_slope_nor_spread() -> None:
    """Creatives whose model errs differently trade places: summed over creatives first, the day is far off."""
    rng = np.random.default_rng(23)
    error = np.tile([0.7, 1.3], 20)
    exposure = np.full((DAYS, 40), 20_000.0)
    exposure[-1] *= np.where(np.repeat(np.arange(20) % 2, 2) == np.tile([0, 1], 20), 0.2, 1.8)
    counts, cell = rng.poisson(exposure * error).astype(float), np.repeat(np.arange(20), 2)
    summed = [table.reshape(DAYS, 20, 2).sum(axis=2) for table in (counts, exposure)]
    assert judge(spread_deviations(*summed, np.arange(20))[0], WEEKDAY, two_sided=False).z > 8
    assert abs(judge(spread_deviations(counts, exposure, cell)[0], WEEKDAY, two_sided=False).z) < 4
    score = np.array([-0.6, -0.2, 0.2, 0.6])
    shown = np.full((DAYS, 2, 4), 50_000.0)
    shown[-1] *= np.array([0.1, 1.9])[:, None]
    curves = shown * np.exp(np.outer([-0.5, 0.5], score))
    assert abs(judge(slope_deviations(rng.poisson(curves).astype(float), shown, score), WEEKDAY).z) < 4


def test_with_nine_days_before_it_no_day_is_judged() -> None:
    counts, total = shares(np.random.default_rng(19), 10_000, 0.0)
    found = ratio_deviations(counts[:10], total[:10], np.arange(4), share=True)
    assert judge(found, WEEKDAY[:10]) is None
    found = ratio_deviations(counts[:11], total[:11], np.arange(4), share=True)
    assert judge(found, WEEKDAY[:11]) is not None


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(InputError):
        ratio_deviations(np.ones((3, 2)), np.ones((3, 3)), np.arange(2))
    found = ratio_deviations(np.ones((12, 2)), np.ones((12, 2)), np.arange(2))
    with pytest.raises(InputError):
        judge(found, np.arange(11))
