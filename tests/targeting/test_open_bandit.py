"""Valuing Thompson sampling from a random log: planted truth, controls, floors, and obp's own figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv

from adplatform.contracts.errors import InputError
from adplatform.stats import off_policy
from adplatform.targeting.open_bandit import (
    EFFECTIVE_SAMPLE_FLOOR,
    WEIGHTED_CLICKS_FLOOR,
    click_rates,
    open_bandit_evaluation,
    read_rounds,
    split_logs,
    verdict,
)
from adplatform.targeting.thompson import BetaPrior, action_distribution, production_prior
from benchmarks import open_bandit

ITEMS, POSITIONS = 6, 3
RATE = np.linspace(0.02, 0.14, ITEMS)
PRIOR = BetaPrior(200 * RATE + 1, 200 * (1 - RATE) + 1)
POLICY = action_distribution(*PRIOR, POSITIONS, simulations=20_000, seed=12345)


def table(seed: int, n: int, shares: np.ndarray) -> pa.Table:
    """A log in which item i takes position p with probability ``shares[i, p]``."""
    rng = np.random.default_rng(seed)
    position = rng.integers(0, POSITIONS, n)
    action = (rng.random((n, 1)) > shares.cumsum(axis=0).T[position]).sum(axis=1).clip(max=ITEMS - 1)
    return pa.table({
        "creative_id": [f"shop-item-{a}" for a in action],
        "position": position + 1,
        "propensity": shares[action, position],
        "clicked": (rng.random(n) < RATE[action]).astype(int),
    })  # fmt: skip


def evaluation(seed: int, n: int = 6000) -> dict:
    uniform = np.full((ITEMS, POSITIONS), 1 / ITEMS)
    return open_bandit_evaluation(
        "shop", table(seed, n, uniform), table(seed + 1000, n, POLICY), prior=PRIOR, simulations=20_000
    )


def test_the_policys_true_value_is_found_and_the_reversed_policys_is_not_mistaken_for_it() -> None:
    truth = float((RATE @ POLICY).mean())
    held = {"IPS": 0, "SNIPS": 0, "DR": 0}
    for seed in range(60):
        found = evaluation(seed)
        for e in found["estimates"]:
            if e["name"] in held:
                held[e["name"]] += e["low"] <= truth <= e["high"]
        assert found["reversed_control"]["differs"]
        control = found["reversed_control"]["estimates"][-1]
        assert not control["low"] <= truth <= control["high"]
        assert found["mean_weight_holds"]
        assert found["verdict"] == "better"
    assert min(held.values()) >= 51, "60 intervals of 95 %: 51 is the 0.1 % point"


def test_the_rate_of_the_policys_own_log_lies_beside_its_estimate() -> None:
    found = evaluation(7, 20_000)["on_policy"]
    assert abs(found["estimate_less_on_policy"]) < 4 * found["difference_standard_error"]
    assert found["low"] < found["value"] < found["high"]


def test_wrong_propensities_move_the_mean_weight_off_one() -> None:
    uniform = np.full((ITEMS, POSITIONS), 1 / ITEMS)
    log = table(3, 6000, uniform)
    wrong = log.set_column(2, "propensity", pa.array(np.full(6000, 1 / ITEMS * 1.2)))
    assert not open_bandit_evaluation("shop", wrong, log, prior=PRIOR, simulations=2000)["mean_weight_holds"]


def test_too_few_clicks_give_no_verdict_but_the_rounds_needed() -> None:
    found = evaluation(5, 400)
    assert found["verdict"] == "cannot tell"
    assert found["needs_rounds"] > 400
    assert f"needs {found['needs_rounds']:,} rounds" in found["reason"]


@pytest.mark.parametrize(
    ("size", "clicks", "gain", "expected"),
    [
        (EFFECTIVE_SAMPLE_FLOOR - 1, WEIGHTED_CLICKS_FLOOR, (0.1, 0.2), "cannot tell"),
        (EFFECTIVE_SAMPLE_FLOOR, WEIGHTED_CLICKS_FLOOR - 1, (0.1, 0.2), "cannot tell"),
        (EFFECTIVE_SAMPLE_FLOOR, WEIGHTED_CLICKS_FLOOR, (0.1, 0.2), "better"),
        (EFFECTIVE_SAMPLE_FLOOR, WEIGHTED_CLICKS_FLOOR, (-0.2, -0.1), "worse"),
        (EFFECTIVE_SAMPLE_FLOOR, WEIGHTED_CLICKS_FLOOR, (-0.1, 0.1), "tie"),
    ],
)
def test_a_verdict_needs_both_floors_and_an_interval_off_zero(
    size: float, clicks: float, gain: tuple[float, float], expected: str
) -> None:
    found = off_policy.Diagnostics(size, clicks, 1.0, 0.01)
    estimate = off_policy.OffPolicyEstimate("DR", sum(gain) / 2, 0.1, *gain, np.zeros(1))
    assert verdict(found, 10_000, estimate)["verdict"] == expected


def test_a_rounds_model_never_saw_its_own_fold() -> None:
    rounds = read_rounds(table(9, 3000, np.full((ITEMS, POSITIONS), 1 / ITEMS)), ITEMS)
    rates, fold = click_rates(rounds, ITEMS)
    flipped = np.where(fold == 2, 1 - rounds.reward, rounds.reward)
    changed, _ = click_rates(rounds._replace(reward=flipped), ITEMS)
    assert (changed[2] == rates[2]).all()
    assert (changed[[0, 1, 3, 4]] != rates[[0, 1, 3, 4]]).any(axis=1).all()


def test_the_order_of_the_rows_changes_nothing() -> None:
    log = table(4, 800, np.full((ITEMS, POSITIONS), 1 / ITEMS))
    log = log.append_column("impression_id", pa.array([f"i-{i:05d}" for i in range(800)]))
    shuffled = log.take(np.random.default_rng(0).permutation(800))
    for a, b in zip(read_rounds(log, ITEMS), read_rounds(shuffled, ITEMS), strict=True):
        assert (a == b).all()


def test_logs_are_split_by_campaign_and_policy() -> None:
    rows = pa.table({"campaign_id": ["men", "all", "men", "all"], "policy_version": ["bts", "random", "random", "bts"]})
    found = split_logs(rows)
    assert list(found) == ["all", "men"]
    assert [t["policy_version"].to_pylist() for t in found["men"]] == [["random"], ["bts"]]
    with pytest.raises(InputError, match="lacks random or bts"):
        split_logs(rows.slice(0, 2))


def test_relative_errors_are_those_the_datas_authors_published(shared_data: Callable[[str], Path]) -> None:
    """zr-obp, examples/obd: bts from random, campaign all, 30 bootstraps: IPW 0.311, SNIPW 0.312."""
    folder = shared_data("open_bandit")
    names = {"item_id": "creative_id", "propensity_score": "propensity", "click": "clicked"}
    log, own = (csv.read_csv(folder / f"{policy}.all.csv.gz") for policy in ("random", "bts"))
    log = log.sort_by("timestamp").rename_columns([names.get(c, c) for c in log.column_names])
    ids = pa.array([f"all-{i}" for i in log["creative_id"].to_pylist()])
    rounds = read_rounds(log.set_column(log.column_names.index("creative_id"), "creative_id", ids), 80)
    policy = action_distribution(*production_prior("all"), 3, seed=12345)
    weight = policy[rounds.action, rounds.position] / rounds.propensity
    truth, n, errors = np.mean(own["click"].to_numpy()), rounds.reward.size, []
    for seed in range(30):
        drawn = np.random.RandomState(seed).choice(np.arange(n), size=n, replace=True)
        r, w = rounds.reward[drawn], weight[drawn]
        errors.append([abs(e(r, w).value / truth - 1) for e in (off_policy.ips, off_policy.snips)])
    assert np.mean(errors, axis=0) == pytest.approx([0.311, 0.312], abs=0.003)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("creative_id", ["a-1", "none"], "names none"),
        ("creative_id", ["a-1", "a-9"], "names none"),
        ("propensity", [0.5, 0.0], "outside"),
        ("clicked", None, "no column 'clicked'"),
    ],
)
def test_a_log_that_cannot_be_read_is_refused(column: str, values: list | None, message: str) -> None:
    data = {"creative_id": ["a-1", "a-2"], "position": [1, 2], "propensity": [0.5, 0.5], "clicked": [0, 1]}
    changed = {k: v for k, v in {**data, column: values}.items() if v is not None}
    with pytest.raises(InputError, match=message):
        read_rounds(pa.table(changed), ITEMS)
    with pytest.raises(InputError, match="no row"):
        read_rounds(pa.table(data).slice(0, 0), ITEMS)


def test_all_three_campaigns_equal_obp_and_get_no_verdict_from_their_few_clicks() -> None:
    pytest.importorskip("obp", reason="the extra open-bandit is not installed")
    logs = {c: (open_bandit.obp_log("random", c), open_bandit.obp_log("bts", c)) for c in open_bandit.CAMPAIGNS}
    reports, claims = open_bandit.evaluate(logs, simulations=5000)
    assert [c.holds for c in claims] == [True] * 4, claims
    assert [r["verdict"] for r in reports.values()] == ["cannot tell"] * 3
    assert {c: r["clicks"] for c, r in reports.items()} == {"all": 38, "men": 46, "women": 46}
    assert {c: r["on_policy"]["clicks"] for c, r in reports.items()} == {"all": 42, "men": 69, "women": 46}


def test_a_missing_campaign_makes_no_claim_hold() -> None:
    pytest.importorskip("obp", reason="the extra open-bandit is not installed")
    logs = {"men": (open_bandit.obp_log("random", "men"), open_bandit.obp_log("bts", "men"))}
    _, claims = open_bandit.evaluate(logs, simulations=500)
    assert not any(c.holds for c in claims)
