from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from adplatform.contracts.base import Interval
from adplatform.contracts.delivery import AllocationOption
from adplatform.contracts.promotion import Check, Verdict
from adplatform.delivery.policy import BudgetPolicy
from adplatform.delivery.promotion import safety
from benchmarks import promotion_claim
from benchmarks.promotion_budget import Unlimited
from benchmarks.promotion_claim import BETTER, RENAMED, Court, Judged, claim
from tests.benchmarks.markets import SMALL


class Saved:
    def __init__(self, name: str) -> None:
        self.version = name

    def save(self, directory: Path) -> None:
        (directory / "model.json").write_text(json.dumps({"name": self.version}))


def verdict(challenger: str, champion: str, passed: bool) -> Verdict:
    check = Check(rule="rule", figure=1.0, limit=0.0, passed=passed, reason="as planted")
    return Verdict(agent="response_model", challenger=challenger, champion=champion, checks=(check,))


def judged(name: str, gain: float, promoted: bool, agent: str = "response_model") -> Judged:
    return Judged(agent, name, "champion", gain, promoted, "reason")


def good(n: int = 10) -> list[list[Judged]]:
    return [[judged(name, 0.01, True, agent) for agent, name in BETTER.items()] for _ in range(n)]


def test_the_court_moves_its_champion_only_when_the_verdict_passed(tmp_path) -> None:
    court = Court(tmp_path)
    court.crown("response_model", "first", Saved("first"))
    assert not court.judge("worse", Saved("worse"), verdict("worse", "first", False), -1.0).promoted
    assert court.champion("response_model").version == "first"
    assert court.judge("better", Saved("better"), verdict("better", "first", True), 1.0).promoted
    assert court.champion("response_model").version == "better"
    assert not court.judge("better", Saved("better"), verdict("better", "better", True), 0.0).promoted


def test_a_gate_that_is_always_open_breaks_the_claim(tmp_path, monkeypatch) -> None:
    def open_gate(registry, found):
        return registry.promote(found.agent, found.challenger, "always")

    monkeypatch.setattr(promotion_claim, "promote", open_gate)
    court = Court(tmp_path)
    court.crown("response_model", "first", Saved("first"))
    court.judge("worse", Saved("worse"), verdict("worse", "first", False), -1.0)
    found = claim([*good(), court.judged])
    assert found.figure == 1.0
    assert found.holds is False


def test_all_better_in_and_all_others_out_holds() -> None:
    kept_out = [judged("shuffled", -0.1, False), judged("the same", 0.0, False)]
    found = claim([*good(), kept_out])
    assert found.holds is True
    assert found.figure == 0.0
    assert found.n == 22


@pytest.mark.parametrize("gain", [-0.001, 0.0])
def test_one_worse_or_equal_challenger_let_in_breaks_it(gain: float) -> None:
    found = claim([*good(), [judged("planted", gain, True)]])
    assert found.holds is False
    assert [w["challenger"] for w in found.detail["wrong"]] == ["planted"]


def test_better_ones_kept_out_break_it() -> None:
    shut = [[judged(name, 0.01, False, agent) for agent, name in BETTER.items()] for _ in range(3)]
    assert claim([*good(7), *shut]).holds is False
    assert claim([*good(8), *shut[:2]]).holds is True


def test_without_a_truly_better_one_it_cannot_tell() -> None:
    assert claim([[judged("planted", -1.0, False)]]).holds is None


def test_equal_policies_under_another_name_may_pass_as_often_as_the_interval_errs() -> None:
    def renamed(n: int) -> list[list[Judged]]:
        return [[judged(RENAMED, 0.0, i < n, "bandit_policy")] for i in range(20)]

    assert claim([*good(), *renamed(1)]).holds is True
    assert claim([*good(), *renamed(8)]).holds is False


def test_the_planted_budget_policy_is_refused_for_its_limits_alone() -> None:
    options = [
        AllocationOption(
            option_id=f"c{i}", reward_rate=float(i + 1), reward_interval=Interval(low=0.5, high=9.0), saturation=50.0,
            maximum=Decimal("20.00"),
        )
        for i in range(4)
    ]  # fmt: skip
    assert not safety(Unlimited(), options, trials=50, seed=1).passed
    assert safety(BudgetPolicy(), options, trials=50, seed=1).passed


@pytest.mark.slow
def test_no_planted_challenger_passes_in_a_small_market() -> None:
    found = promotion_claim.world(9102, threads=1, **SMALL)
    assert [j for j in found if j.promoted and j.gain <= 0 and j.challenger != RENAMED] == []
    assert {j.agent for j in found} == {"response_model", "bandit_policy", "budget_policy"}
    assert all(j.gain < 0 for j in found if j.challenger in ("flipped labels", "shuffled labels", "breaks limits"))
