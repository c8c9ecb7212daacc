from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks import thesis
from benchmarks.single_model import RULES
from tests.benchmarks.markets import SMALL


def planted(seed: int, gap: float, spread: float = 0.02) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    rows = []
    for objective in ("clicks", "conversions"):
        multi, single = 0.3 + spread * rng.standard_normal(), 0.3 + gap + spread * rng.standard_normal()
        rows.append({
            "campaign": "c", "objective": objective, "best": 2.0, "uniform": 1.0, "multi": multi, "single": single,
            "single_by_rule": dict.fromkeys(RULES, single), "fallbacks": [],
        })  # fmt: skip
    effort = {"trees": 10, "seconds": 1.0, "trial": 0}
    return {"seed": seed, "campaigns": rows, "multi": effort, "single": effort}


@pytest.mark.parametrize(("gap", "holds"), [(0.1, True), (-0.1, False), (0.0, None)])
def test_the_claim_says_which_side_wins_and_calls_a_tie_a_tie(gap: float, holds: bool | None) -> None:
    claim = thesis.claim([planted(s, gap) for s in range(1, 21)])
    assert claim.holds is holds
    assert claim.n == 20
    low, high = claim.detail["interval"]
    assert low < claim.figure < high
    assert (low > 0, high < 0) == (holds is True, holds is False)
    assert claim.figure == pytest.approx(
        claim.detail["regret"]["single"]["mean"] - claim.detail["regret"]["multi"]["mean"]
    )


def test_one_world_cannot_tell() -> None:
    claim = thesis.claim([planted(1, 0.5)])
    assert claim.holds is None
    assert claim.detail["interval"] is None


def test_rule_and_trials_are_fixed_and_shared() -> None:
    assert thesis.RULE in RULES
    assert thesis.TRIALS[0] == {}


def test_a_kept_world_is_read_again_and_another_seed_is_not(tmp_path, monkeypatch) -> None:
    made: list[int] = []
    monkeypatch.setattr(thesis, "world", lambda seed: made.append(seed) or planted(seed, 0.1))
    first = thesis._kept(tmp_path, 5)
    assert thesis._kept(tmp_path, 5) == first
    thesis._kept(tmp_path, 6)
    assert made == [5, 6]


@pytest.mark.slow
def test_both_contenders_beat_a_uniform_plan_in_a_small_market() -> None:
    found = thesis.world(9101, threads=1, **SMALL)
    assert len(found["campaigns"]) == 2
    for row in found["campaigns"]:
        assert row["best"] > row["uniform"] > 0
        assert -1e-3 < row["multi"] < 1.0
        assert -1e-3 < min(row["single_by_rule"].values()) < 1.0
        assert row["fallbacks"] == []
