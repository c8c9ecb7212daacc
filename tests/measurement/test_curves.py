"""Response curves of campaigns: the planted curve is found, and what cannot be told stays wide."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from adplatform.contracts.brief import Objective
from adplatform.contracts.errors import InputError
from adplatform.measurement.curves import response_curves


def daily(
    rate: float, saturation: float, spends: np.ndarray, seed: int, campaign: str = "c1", value: float = 1.0
) -> list[dict]:
    rng = np.random.default_rng(seed)
    expected = rate * saturation * (1 - np.exp(-spends / saturation)) / value
    counts = rng.poisson(expected * rng.gamma(100, 0.01, len(spends)))
    return [
        {"campaign_id": campaign, "clicks": int(k) * 3, "conversions": int(k), "conversion_value": float(k) * value,
         "spend": float(b)}
        for k, b in zip(counts, spends, strict=True)
    ]  # fmt: skip


def table(rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=pa.schema([
        ("campaign_id", pa.string()), ("clicks", pa.int64()), ("conversions", pa.int64()),
        ("conversion_value", pa.float64()), ("spend", pa.float64()),
    ]))  # fmt: skip


def test_the_planted_rate_and_saturation_are_inside_their_intervals_in_most_worlds() -> None:
    inside = []
    for seed in range(60):
        spends = np.random.default_rng(seed).uniform(20, 400, 30)
        curve = response_curves(table(daily(4.0, 150.0, spends, seed)), {"c1": Objective.CONVERSIONS}, seed=seed)[0]
        low, high = np.quantile(curve.saturation, (0.025, 0.975))
        posterior = curve.posterior()
        inside.append((low < 150 < high, posterior.interval.low < 4.0 < posterior.interval.high))
    assert (np.mean(inside, axis=0) > 0.85).all()


def test_rewards_at_a_spend_are_concave_and_bracket_the_planted_reward() -> None:
    spends = np.random.default_rng(1).uniform(50, 600, 40)
    curve = response_curves(table(daily(3.0, 200.0, spends, 1, value=25.0)), {"c1": Objective.CONVERSIONS})[0]
    at = np.linspace(10, 500, 30)
    mean, low, high = curve.reward(at)
    truth = 3.0 * 200 * (1 - np.exp(-at / 200))
    assert (np.diff(mean) > 0).all()
    assert (np.diff(mean, 2) < 0).all()
    assert ((low <= truth) & (truth <= high)).mean() > 0.8


def test_a_campaign_that_always_spends_the_same_is_told_nothing_about_its_saturation() -> None:
    same = response_curves(table(daily(4.0, 150.0, np.full(14, 100.0), 3)), {"c1": Objective.CONVERSIONS})[0]
    low, high = np.quantile(same.saturation, (0.025, 0.975))
    # The prior's own 95 %: 0.4 to 21 mean daily spends.
    assert low < 0.7 * 100
    assert high > 14 * 100


def test_clicks_count_where_clicks_are_the_objective() -> None:
    rows = table(daily(4.0, 1e6, np.linspace(50, 150, 20), 5))
    clicks, bought = (
        response_curves(rows, {"c1": o})[0].posterior() for o in (Objective.CLICKS, Objective.CONVERSIONS)
    )
    assert clicks.reward_rate == pytest.approx(3 * bought.reward_rate, rel=0.1)
    assert float(clicks.spent) == pytest.approx(2000.0)


def test_days_that_have_not_matured_and_campaigns_with_too_little_are_left_out() -> None:
    rows = daily(4.0, 150.0, np.linspace(20, 300, 12), 7)
    fresh = [{**r, "conversions": None, "conversion_value": None} for r in rows[:3]]
    few = daily(0.01, 150.0, np.full(5, 10.0), 7, campaign="c2")
    curves = response_curves(table([*rows, *fresh, *few]), dict.fromkeys(("c1", "c2"), Objective.CONVERSIONS))
    assert [c.campaign_id for c in curves] == ["c1"]
    assert curves[0].days == 12


def test_a_missing_column_or_objective_is_named() -> None:
    rows = table(daily(4.0, 150.0, np.linspace(20, 300, 12), 7))
    with pytest.raises(InputError, match="has no column spend"):
        response_curves(rows.drop_columns(["spend"]), {"c1": Objective.CLICKS})
    with pytest.raises(InputError, match="campaign c1"):
        response_curves(rows, {})
