from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adplatform.contracts.agents import TargetingAgent
from adplatform.contracts.brief import Audience
from adplatform.contracts.errors import InputError
from adplatform.contracts.targeting import RankRequest
from adplatform.stats.ranking import ndcg, normalised_gain, random_ndcg
from adplatform.targeting.agent import Targeting, rank_users
from adplatform.targeting.baseline import BaseRateModel
from adplatform.targeting.ranking import (
    CAUTIOUS,
    Cells,
    Shrinkage,
    add_expected_clicks,
    cells,
    posterior,
    rank_segments,
    representative,
    segment_rates,
    shrinkage,
)
from tests.targeting.conftest import Fitted
from tests.targeting.world import performance, segments

SEGMENTS = segments()


def agent(f: Fitted, minimum_users: int = 20) -> Targeting:
    known = add_expected_clicks(performance(f.train), f.train, f.model)
    prior = shrinkage(pa.concat_tables([f.train, f.held_out]), f.model)
    return Targeting(f.model, SEGMENTS, known, representative(f.train, seed=1, rows=100), minimum_users, prior)


def truth_of(f: Fitted) -> np.ndarray:
    return f.world.rates(f.ads)


def test_segments_are_ranked_by_their_true_value(fitted: Fitted) -> None:
    ranking = agent(fitted).rank(RankRequest(creatives=tuple(fitted.ads)))
    gains = []
    for c, ad in enumerate(fitted.ads):
        found = {s.segment_id: s.click_rate for s in ranking.scores if s.creative_id == ad.creative_id}
        true = truth_of(fitted)[c]
        gains.append(normalised_gain(ndcg(true, [found[s.segment_id] for s in SEGMENTS]), random_ndcg(true), 1.0))
    assert np.mean(gains) > 0.8


def test_intervals_hold_the_truth_about_as_often_as_they_say(fitted: Fitted) -> None:
    ranking = agent(fitted).rank(RankRequest(creatives=tuple(fitted.ads)))
    true = {
        (a.creative_id, s.segment_id): truth_of(fitted)[c, k]
        for c, a in enumerate(fitted.ads)
        for k, s in enumerate(SEGMENTS)
    }
    inside = [s.interval.low <= true[s.creative_id, s.segment_id] <= s.interval.high for s in ranking.scores]
    assert np.mean(inside) >= 0.85
    assert np.mean([(s.interval.high - s.interval.low) / s.click_rate for s in ranking.scores]) < 1.2


def test_best_come_first_and_no_more_than_asked_for(fitted: Fitted) -> None:
    ranking = agent(fitted).rank(RankRequest(creatives=tuple(fitted.ads[:3]), limit=4))
    for ad in fitted.ads[:3]:
        rates = [s.click_rate for s in ranking.scores if s.creative_id == ad.creative_id]
        assert rates == sorted(rates, reverse=True)
        assert len(rates) == 4


def test_a_segment_under_the_minimum_is_never_returned_and_counted(fitted: Fitted) -> None:
    small = [s.model_copy(update={"users": 19}) if i < 3 else s for i, s in enumerate(SEGMENTS)]
    a = agent(fitted)
    ranking = Targeting(a.model, small, a.performance, a.contexts, 20).rank(RankRequest(creatives=(fitted.ads[0],)))
    assert ranking.withheld == 3
    assert {s.segment_id for s in ranking.scores} == {s.segment_id for s in small[3:]}


def test_a_region_is_not_a_way_around_the_minimum(fitted: Fitted) -> None:
    a = agent(fitted, minimum_users=74)
    everywhere = a.rank(RankRequest(creatives=(fitted.ads[0],)))
    north = a.rank(RankRequest(creatives=(fitted.ads[0],), audience=Audience(regions=("north",))))
    assert everywhere.withheld == 0
    assert not north.scores
    assert north.withheld == len(SEGMENTS)


def test_an_audience_keeps_what_it_names_and_drops_what_it_excludes(fitted: Fitted) -> None:
    wanted = Audience(audiences=("cooks", "gamers"), age_bands=("18-29",), excluded_segments=("gamers|18-29",))
    ranking = agent(fitted).rank(RankRequest(creatives=(fitted.ads[0],), audience=wanted))
    assert [s.segment_id for s in ranking.scores] == ["cooks|18-29"]


@pytest.mark.parametrize(
    "audience",
    [
        Audience(segments=("nobody|18-29",)), Audience(excluded_segments=("nobody",)), Audience(audiences=("nobody",)),
        Audience(age_bands=("200+",)), Audience(regions=("atlantis",)),
    ],
)  # fmt: skip
def test_what_the_data_does_not_know_is_refused_and_named(fitted: Fitted, audience: Audience) -> None:
    with pytest.raises(InputError, match="is unknown; use one of"):
        agent(fitted).rank(RankRequest(creatives=(fitted.ads[0],), audience=audience))


def test_an_audience_of_nobody_is_refused(fitted: Fitted) -> None:
    audience = Audience(segments=("cooks|18-29",), excluded_segments=("cooks|18-29",))
    with pytest.raises(InputError, match="no segment matches"):
        agent(fitted).rank(RankRequest(creatives=(fitted.ads[0],), audience=audience))


def test_the_agent_is_what_the_orchestrator_expects(fitted: Fitted) -> None:
    assert isinstance(agent(fitted), TargetingAgent)
    assert agent(fitted).version == fitted.model.version
    again = RankRequest(creatives=tuple(fitted.ads))
    assert agent(fitted).rank(again) == agent(fitted).rank(again)


def test_a_new_creative_is_ranked_by_the_models_word_with_a_wider_interval(fitted: Fitted) -> None:
    new = fitted.ads[0].model_copy(update={"creative_id": "new"})
    ranking = agent(fitted).rank(RankRequest(creatives=(fitted.ads[0], new)))
    width = {"new": [], fitted.ads[0].creative_id: []}
    for s in ranking.scores:
        width[s.creative_id].append((s.interval.high - s.interval.low) / s.click_rate)
    assert all(s.impressions == 0 for s in ranking.scores if s.creative_id == "new")
    assert np.mean(width["new"]) > 1.05 * np.mean(width[fitted.ads[0].creative_id])


def counted(impressions: float, clicks: float) -> Cells:
    one, nothing = np.ones((1, 1)), np.full((1, 1), np.nan)
    return Cells(impressions * one, clicks * one, nothing, nothing, nothing)


@given(n=st.integers(0, 100_000), share=st.floats(0, 1), rate=st.floats(0.001, 0.5), strength=st.floats(50, 50_000))
def test_a_posterior_lies_between_the_model_and_the_counts(n: int, share: float, rate: float, strength: float) -> None:
    clicks = int(n * share)
    mean, low, high = (x[0, 0] for x in posterior(np.full((1, 1), rate), counted(n, clicks), Shrinkage(strength, 1.0)))
    ends = sorted([rate, clicks / n if n else rate])
    assert ends[0] - 1e-9 <= mean <= ends[1] + 1e-9
    assert 0 <= low <= high <= 1


def test_without_counts_the_model_is_the_answer_and_with_many_the_counts_are() -> None:
    rate = np.full((1, 1), 0.05)
    assert posterior(rate, counted(0, 0), CAUTIOUS)[0][0, 0] == pytest.approx(0.05)
    assert posterior(rate, counted(10_000_000, 800_000), CAUTIOUS)[0][0, 0] == pytest.approx(0.08, rel=1e-3)


def test_poor_places_are_not_held_against_a_segment() -> None:
    """300 clicks where the model expected 200 is half again the rate, however few impressions they came from."""
    one = np.ones((1, 1))
    poor = Cells(20_000 * one, 300 * one, 200 * one, 200 * one, 300 * one)
    mean = posterior(np.full((1, 1), 0.05), poor, Shrinkage(40.0, 1.0))[0][0, 0]
    assert mean == pytest.approx(0.05 * 302 / 202, rel=1e-6)


@pytest.mark.parametrize(("error", "low", "high"), [(0.5, 20, 120), (0.1, 300, 10_000)])
def test_the_strength_of_the_prior_follows_how_far_the_model_errs(
    fitted: Fitted, error: float, low: float, high: float
) -> None:
    class Erring:
        fitted_through = None

        def predict(self, table: pa.Table) -> np.ndarray:
            keys = [
                f"{a}{b}"
                for a, b in zip(table["segment_id"].to_pylist(), table["creative_id"].to_pylist(), strict=True)
            ]
            factor = {k: np.exp(rng.normal(0, error)) for k in sorted(set(keys))}
            return np.array([factor[k] for k in keys]) * truth[: table.num_rows]

    rng, truth = np.random.default_rng(1), fitted.truth
    many = fitted.held_out
    found = shrinkage(many, Erring())  # type: ignore[arg-type]
    assert low <= found.strength <= high


def test_without_later_days_the_prior_is_cautious(fitted: Fitted) -> None:
    early = fitted.train.filter([d <= fitted.model.fitted_through for d in fitted.train["event_day"].to_pylist()])
    assert shrinkage(early, fitted.model) == CAUTIOUS


def test_representative_contexts_are_the_same_for_every_segment(fitted: Fitted) -> None:
    rows = representative(fitted.train, seed=3, rows=50)
    places = {
        s.segment_id: list(
            zip(
                *(
                    rows.filter(pa.compute.equal(rows["segment_id"], s.segment_id))[c].to_pylist()
                    for c in ("hour", "position")
                ),
                strict=True,
            )
        )
        for s in SEGMENTS
    }
    assert len({tuple(p) for p in places.values()}) == 1
    assert all(len(p) == 50 for p in places.values())


def test_counts_are_read_into_their_own_cell_and_absent_ones_are_zero(fitted: Fitted) -> None:
    table = pa.table(
        {
            "segment_id": ["cooks|18-29", "elsewhere"],
            "creative_id": ["c0-1", "c0-1"],
            "impressions": [7, 9],
            "clicks": [3, 9],
        }
    )
    found = cells(table, fitted.ads[:2], SEGMENTS)
    assert found.impressions.sum() == 7
    assert found.clicks[1, [s.segment_id for s in SEGMENTS].index("cooks|18-29")] == 3


def test_a_segment_nobody_is_seen_in_is_left_out(fitted: Fitted) -> None:
    extra = [*SEGMENTS, SEGMENTS[0].model_copy(update={"segment_id": "ghosts|18-29"})]
    rates = segment_rates(fitted.model, representative(fitted.train, seed=1, rows=20), extra, fitted.ads[:1])
    assert np.isnan(rates[0, -1])
    table = cells(performance(fitted.train), fitted.ads[:1], extra)
    ranking = rank_segments(rates, table, fitted.ads[:1], extra, minimum_users=2, model_version="m")
    assert "ghosts|18-29" not in {s.segment_id for s in ranking.scores}


def test_users_are_ranked_by_their_own_rate_for_the_creative(fitted: Fitted) -> None:
    found = rank_users(fitted.model, fitted.ads[0], fitted.held_out, limit=50)
    assert len({u for u, _ in found}) == 50
    assert [r for _, r in found] == sorted((r for _, r in found), reverse=True)
    everyone = dict(rank_users(fitted.model, fitted.ads[0], fitted.held_out, limit=1000))
    segment = dict(zip(fitted.held_out["user_id"].to_pylist(), fitted.held_out["segment_id"].to_pylist(), strict=True))
    true = dict(zip((s.segment_id for s in SEGMENTS), truth_of(fitted)[0], strict=True))
    assert np.corrcoef([everyone[u] for u in everyone], [true[segment[u]] for u in everyone])[0, 1] > 0.8
    assert rank_users(fitted.model, fitted.ads[0], fitted.held_out.slice(0, 0)) == []


def test_the_first_champion_can_rank_too(fitted: Fitted) -> None:
    base = BaseRateModel.fit(fitted.train)
    known = add_expected_clicks(performance(fitted.train), fitted.train, base)
    a = Targeting(
        base, SEGMENTS, known, representative(fitted.train, seed=1, rows=50), 20, shrinkage(fitted.train, base)
    )
    ranking = a.rank(RankRequest(creatives=tuple(fitted.ads)))
    assert len(ranking.scores) == len(fitted.ads) * len(SEGMENTS)
    assert len({s.click_rate for s in ranking.scores}) > len(fitted.ads)
