from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.single_model import RULES, Supply, split, stacked, water_filling
from tests.benchmarks.markets import small_examples

SUPPLY = Supply(
    price=np.array([0.002, 0.004, 0.003]), users=np.array([50.0, 80.0, 60.0]), daily=np.array([300.0, 200.0, 500.0])
)


@given(st.integers(0, 10_000), st.integers(1, 8), st.floats(1.0, 5000.0), st.sampled_from(RULES))
def test_every_rule_spends_the_budget_on_at_most_k_lines(seed: int, k: int, budget: float, rule: str) -> None:
    reward = np.random.default_rng(seed).gamma(2.0, 0.02, (4, 3))
    lines = split(rule, reward, SUPPLY, 0.25, budget=budget, days=14, k=k)
    assert len(lines) <= k
    assert len({(c, s) for c, s, _ in lines}) == len(lines)
    assert sum(a for _, _, a in lines) == pytest.approx(budget)
    assert min(a for _, _, a in lines) > 0


def test_water_filling_finds_the_closed_form_of_square_roots() -> None:
    # maximise sum w sqrt(b): b is proportional to w^2
    spend = np.linspace(0.0, 100.0, 2001)
    weight = np.array([1.0, 2.0, 3.0])
    chosen, amounts = water_filling(spend, weight[:, None] * np.sqrt(spend), 3)
    assert amounts[np.argsort(chosen)] == pytest.approx(100 * weight**2 / 14, abs=0.2)


def test_water_filling_beats_an_equal_split_by_its_own_curve() -> None:
    reward = np.random.default_rng(3).gamma(2.0, 0.02, (5, 3))
    spend = np.linspace(0.0, 400.0, 201)
    gain = (reward / SUPPLY.price).reshape(-1, 1) * 50 * -np.expm1(-spend / 50)
    chosen, amounts = water_filling(spend, gain, 4)
    filled = sum(np.interp(a, spend, gain[i]) for i, a in zip(chosen, amounts, strict=True))
    best = np.argsort(-gain[:, 1], kind="stable")[:4]
    assert filled >= sum(np.interp(100.0, spend, gain[i]) for i in best)


def test_equal_is_equal_and_takes_the_best_by_money() -> None:
    reward = np.array([[0.02, 0.02, 0.02], [0.04, 0.01, 0.06]])
    lines = split("equal", reward, SUPPLY, 0.25, budget=90.0, days=14, k=3)
    assert {(c, s) for c, s, _ in lines} == {(1, 0), (1, 2), (0, 0)}
    assert {a for _, _, a in lines} == {30.0}


def test_value_rows_have_the_clicks_mean_and_less_weight() -> None:
    table, encoder = small_examples()
    rows, scale = stacked(table, encoder.transform(table), seed=1)
    value = rows.features[:, -1] == 1.0
    mean = [np.average(rows.target[m], weights=rows.weight[m]) for m in (value, ~value)]
    assert mean[0] == pytest.approx(mean[1], rel=0.15)
    assert scale > 0
    assert rows.weight[value & (rows.target > 0)].max() < 1.0
