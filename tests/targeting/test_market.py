"""On the simulated market: features against counting by hand, off-policy values against the oracle, promotion."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from adplatform.contracts.claims import Claim
from adplatform.contracts.features import FEATURES
from adplatform.contracts.targeting import CreativeAttributes
from adplatform.simulator import Market, MarketConfig
from adplatform.targeting.bandit import LoggingPolicy, SoftmaxPolicy, UniformPolicy
from adplatform.targeting.baseline import BaseRateModel
from adplatform.targeting.evaluation import evaluate
from adplatform.targeting.features import chronological_split
from adplatform.targeting.response import ResponseModel
from adplatform.targeting.verdicts import policy_verdict, response_verdict
from benchmarks import calibration_claim, ranking_claim
from benchmarks.examples import creative_attributes, impressions, training_examples, user_creative_exposures


class Sold(NamedTuple):
    market: Market
    events: tuple[pa.Table, pa.Table, pa.Table]
    examples: pa.Table
    ads: list[CreativeAttributes]


@pytest.fixture(scope="module")
def sold() -> Sold:
    market = Market(MarketConfig.at_scale("tiny", seed=31, impressions=60_000, users=1000, campaigns=3))
    events = impressions(market)
    return Sold(market, events, training_examples(market, events), creative_attributes(market))


def test_features_know_nothing_of_their_own_day_or_later(sold: Sold) -> None:
    shown, clicks = sold.events[0].to_pandas(), sold.events[1].to_pandas()
    by_id = shown.set_index("impression_id")["user_id"]
    clicks["user_id"] = by_id.loc[clicks["impression_id"]].to_numpy()
    rng = np.random.default_rng(1)
    rows = sold.examples.filter(pc.is_valid(sold.examples["user_id"]))
    for row in rows.take(pa.array(rng.integers(0, rows.num_rows, 40))).to_pylist():
        start, week = row["event_day"], row["event_day"] - timedelta(days=7)
        mine = shown[shown["user_id"] == row["user_id"]]
        days = mine["occurred_at"].dt.date
        before = mine[(days < start) & (days >= week)]
        assert row["user_impressions_7d"] == len(before)
        assert row["creative_exposures_7d"] == (before["creative_id"] == row["creative_id"]).sum()
        clicked = clicks[clicks["user_id"] == row["user_id"]]["occurred_at"].dt.date
        assert row["user_clicks_28d"] == (clicked < start).sum()
        assert row["user_clicks_7d"] == ((clicked < start) & (clicked >= week)).sum()
        last = max((d for d in clicked if d < start), default=None)
        assert row["user_days_since_click"] == (None if last is None else (start - last).days)


def test_without_consent_nothing_of_the_user_is_known(sold: Sold) -> None:
    users = sold.market.users()
    withheld = users.filter(pc.invert(users["consent"]))["user_id"]
    hidden = pc.is_in(sold.events[0]["user_id"], value_set=withheld.combine_chunks())
    rows = sold.examples.filter(hidden)
    assert rows.num_rows > 1000
    for name in (
        "user_id",
        "segment_id",
        "audience",
        "age_band",
        "region",
        "device",
        "tenure_days",
        "creative_exposures_7d",
    ):
        assert rows[name].null_count == rows.num_rows
    assert rows["tone"].null_count == 0
    assert set(FEATURES) <= set(sold.examples.column_names)


def test_exposures_of_candidates_agree_with_those_of_the_log(sold: Sold) -> None:
    table = user_creative_exposures(sold.examples)
    known = {(r["user_id"], r["creative_id"], r["feature_day"]): r["creative_exposures_7d"] for r in table.to_pylist()}
    for row in sold.examples.slice(30_000, 500).to_pylist():
        if row["user_id"] is not None:
            assert known.get((row["user_id"], row["creative_id"], row["event_day"]), 0) == row["creative_exposures_7d"]


@pytest.mark.slow
def test_the_first_challengers_are_promoted_and_the_oracle_agrees(sold: Sold) -> None:
    train, held_out = chronological_split(sold.examples, 5)
    model = ResponseModel.fit(train, seed=1, threads=1)
    assert response_verdict(held_out, model, BaseRateModel.fit(train)).passed
    log = held_out.filter(pc.is_null(held_out["experiment_id"]))
    policy, champion = SoftmaxPolicy(model), LoggingPolicy.fit(train)
    found = evaluate(log, policy, champion, model, sold.ads, user_creative_exposures(sold.examples))
    assert policy_verdict(found).passed, policy_verdict(found).reason
    oracle, campaign = sold.market.oracle(), sold.ads[0].campaign_id
    own = [a for a in sold.ads if a.campaign_id == campaign]
    true = {
        name: oracle.policy_value(lambda c, ids, p=p: p.probabilities(c, own), campaign, 4000, 1)
        for name, p in (("softmax", policy), ("uniform", UniformPolicy()))
    }
    assert true["softmax"] > 1.1 * true["uniform"]


@pytest.mark.slow
def test_the_claims_read_their_figures_off_the_oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    def small(scale: str, *, seed: int) -> MarketConfig:
        return original(scale, seed=seed, impressions=50_000, users=1200, campaigns=2)

    original = MarketConfig.at_scale
    monkeypatch.setattr(MarketConfig, "at_scale", small)
    said: list[float] = []
    calibration: Claim = calibration_claim.run("tiny", [41], said.append)
    assert calibration.holds is None
    assert "needs 10,000" in calibration.detail["cannot_tell"]
    assert 0.3 < calibration.figure < 1.0
    ranking: Claim = ranking_claim.run("tiny", [41, 42], said.append)
    assert ranking.holds is None
    assert ranking.n == 2
    assert ranking.figure > ranking.detail["raw_click_rate"]
    assert said == [1.0, 0.5, 1.0]
