import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from adplatform.contracts.errors import InputError
from adplatform.contracts.targeting import CreativeAttributes
from adplatform.simulator import Market, MarketConfig
from adplatform.simulator.auction import SPREAD, SupplyCurve, noisy_win
from adplatform.simulator.config import APPEALS, SEGMENT_IDS, TONES
from adplatform.simulator.world import utility

NEW = [
    CreativeAttributes(creative_id=f"new-{t}-{a}", tone=t, appeal=a, product_category="sports")
    for t, a in (
        ("playful", "price"),
        ("premium", "quality"),
        ("urgent", "novelty"),
        ("trusted", "convenience"),
        ("urgent", "price"),
    )
]


def known(market, n):
    rows = market.creatives_library().slice(0, n).to_pylist()
    return [CreativeAttributes(creative_id=r["creative_id"], campaign_id=r["campaign_id"]) for r in rows]


def test_there_are_32_segments_and_they_differ(oracle):
    rate = oracle.segment_rate(NEW, SEGMENT_IDS)
    assert rate.shape == (5, 32)
    assert (rate.std(axis=1) > 0.2 * rate.mean(axis=1)).all()
    best = {int(r.argmax()) for r in rate}
    assert len(best) > 1


def test_segment_rate_is_what_simulated_impressions_of_the_segment_bring(market, oracle):
    world, population, generator = market.world, market.population, np.random.default_rng(2)
    for creative, segment in ((NEW[0], 3), (NEW[2], 17)):
        members = np.flatnonzero(population.consent & (population.group == segment))
        users = generator.choice(members, 300_000)
        draw = {
            n: generator.choice(len(w), 300_000, p=w / w.sum())
            for n, w in (
                ("hour", world.hour_weight),
                ("placement", world.placement_weight),
                ("position", world.position_weight),
                ("weekday", np.array([1.0, 1.0, 1.0, 1.02, 1.05, 0.96, 0.92])),
            )
        }
        tone, appeal = TONES.index(creative.tone), APPEALS.index(creative.appeal)
        odds = utility(world, population, users, tone, appeal, 0.0, 0)
        odds = odds + world.hour[draw["hour"]] + world.weekday[draw["weekday"]] + world.position[draw["position"]]
        odds = odds + world.placement[population.device[users], draw["placement"]]
        clicks = generator.random(300_000) < expit(odds)
        error = clicks.std() / np.sqrt(len(clicks))
        assert abs(oracle.segment_rate([creative], [SEGMENT_IDS[segment]])[0, 0] - clicks.mean()) < 4 * error


def test_a_new_creative_counts_by_tone_appeal_and_category_alone(market, oracle):
    again = CreativeAttributes(creative_id="other", tone="playful", appeal="price", product_category="sports")
    assert np.array_equal(oracle.segment_rate([NEW[0]], SEGMENT_IDS), oracle.segment_rate([again], SEGMENT_IDS))
    row = market.creatives_library().to_pylist()[4]
    category = market.campaigns()["product_category"][0].as_py()
    twin = CreativeAttributes(creative_id="twin", tone=row["tone"], appeal=row["appeal"], product_category=category)
    ratio = oracle.segment_rate(known(market, 5)[4:], SEGMENT_IDS) / oracle.segment_rate([twin], SEGMENT_IDS)
    quality = market.world.quality[4]
    assert np.abs(np.log(ratio) - quality).max() < 0.25 * abs(quality) + 1e-9


def test_a_creative_without_attributes_or_an_unknown_segment_is_an_input_error(oracle):
    with pytest.raises(InputError, match="tone"):
        oracle.segment_rate(
            [CreativeAttributes(creative_id="x", appeal="price", product_category="sports")], SEGMENT_IDS
        )
    with pytest.raises(InputError, match="product_category"):
        oracle.segment_rate(
            [CreativeAttributes(creative_id="x", tone="urgent", appeal="price", product_category="boats")], SEGMENT_IDS
        )
    with pytest.raises(InputError, match="unknown segment"):
        oracle.segment_rate(NEW, ["sailors|30-44"])


@settings(max_examples=30, deadline=None)
@given(
    creative=st.sampled_from(NEW),
    segment=st.sampled_from(SEGMENT_IDS),
    objective=st.sampled_from(["clicks", "conversions"]),
    days=st.integers(1, 40),
    top=st.floats(1, 3_000),
)
def test_reward_of_a_line_is_increasing_and_concave_in_its_budget(oracle, creative, segment, objective, days, top):
    budgets = np.linspace(0, top, 25)
    reward = np.array([oracle.plan_reward([(creative, segment, float(b))], objective, days) for b in budgets])
    gain = np.diff(reward)
    assert reward[0] == 0
    assert (gain >= -1e-9).all()
    assert (np.diff(gain) <= 1e-6 * reward[-1] + 1e-9).all()


def test_reward_of_a_plan_is_the_sum_over_its_lines_and_a_split_line_counts_once(oracle):
    lines = [(NEW[0], SEGMENT_IDS[0], 20.0), (NEW[1], SEGMENT_IDS[0], 30.0), (NEW[1], SEGMENT_IDS[5], 10.0)]
    total = sum(oracle.plan_reward([x], "clicks", 14) for x in lines)
    assert oracle.plan_reward(lines, "clicks", 14) == pytest.approx(total)
    halves = [(NEW[0], SEGMENT_IDS[0], 10.0), (NEW[0], SEGMENT_IDS[0], 10.0), *lines[1:]]
    assert oracle.plan_reward(halves, "clicks", 14) == pytest.approx(total)


def test_spend_beyond_the_supply_brings_nothing(oracle):
    full = float(oracle.saturating_spend([SEGMENT_IDS[2]], 14)[0])
    at, beyond, before = (
        oracle.plan_reward([(NEW[0], SEGMENT_IDS[2], full * f)], "clicks", 14) for f in (1.0, 3.0, 0.5)
    )
    assert at == pytest.approx(beyond)
    assert before < at


@pytest.mark.parametrize("objective", ["clicks", "conversions"])
@pytest.mark.parametrize("budget", [40.0, 400.0, 3_000.0])
def test_best_plan_beats_random_plans_and_its_own_neighbours(oracle, objective, budget):
    days, k = 14, 6
    plan = oracle.best_plan(NEW, SEGMENT_IDS, budget, objective, days, k)
    best = oracle.plan_reward(plan, objective, days)
    assert len(plan) <= k
    assert sum(x[2] for x in plan) <= budget * (1 + 1e-9)
    generator = np.random.default_rng(0)
    for seed in range(40):
        drawn = oracle.uniform_plan(NEW, SEGMENT_IDS, budget, objective, days, k, seed)
        assert oracle.plan_reward(drawn, objective, days) < best
    for _ in range(60):
        moved = [list(x) for x in plan]
        a, b = generator.choice(len(plan), 2, replace=False)
        amount = moved[a][2] * generator.uniform(0.02, 0.5)
        moved[a][2] -= amount
        moved[b][2] += amount
        assert oracle.plan_reward([tuple(x) for x in moved], objective, days) <= best * (1 + 1e-4)
    others = [(c, s) for c in NEW for s in SEGMENT_IDS if (c, s) not in {(x[0], x[1]) for x in plan}]
    for i in generator.choice(len(others), 40, replace=False):
        place = int(generator.integers(len(plan)))
        swapped = [(*others[i], x[2]) if n == place else x for n, x in enumerate(plan)]
        assert oracle.plan_reward(swapped, objective, days) <= best * (1 + 1e-4)


def test_reward_of_the_best_plan_is_concave_and_increasing_in_the_budget(oracle):
    budgets = np.linspace(50, 1_000, 6)
    reward = np.array(
        [
            oracle.plan_reward(oracle.best_plan(NEW, SEGMENT_IDS, float(b), "clicks", 14, 10), "clicks", 14)
            for b in budgets
        ]
    )
    assert (np.diff(reward) > 0).all()
    assert (np.diff(reward, 2) < 1e-3 * reward[-1]).all()


def test_uniform_reward_is_the_mean_over_uniform_plans(oracle):
    plans = [
        oracle.plan_reward(oracle.uniform_plan(NEW, SEGMENT_IDS, 300.0, "clicks", 14, 8, s), "clicks", 14)
        for s in range(150)
    ]
    expected = oracle.uniform_reward(NEW, SEGMENT_IDS, 300.0, "clicks", 14, 8)
    assert abs(np.mean(plans) - expected) < 4 * np.std(plans) / np.sqrt(len(plans))


@pytest.mark.parametrize("objective", ["clicks", "conversions"])
def test_best_split_beats_random_splits(oracle, market, objective):
    names = market.campaigns()["campaign_id"].to_pylist()
    best = oracle.best_split(2_000.0, objective)
    reward = oracle.split_reward(best, objective)
    assert sum(best.values()) == pytest.approx(2_000.0)
    generator = np.random.default_rng(3)
    for alpha in (0.3, 1.0, 5.0):
        for share in generator.dirichlet(np.full(len(names), alpha), 15):
            split = dict(zip(names, share * 2_000.0, strict=True))
            assert oracle.split_reward(split, objective) <= reward * (1 + 1e-4)
    one = [oracle.split_reward({"c01": b}, objective) for b in np.linspace(0, 2_000, 21)]
    assert (np.diff(one) >= -1e-9).all()
    assert (np.diff(one, 2) <= 1e-6 * one[-1]).all()


def test_supply_curve_is_what_simulated_auctions_cost(market):
    generator = np.random.default_rng(4)
    world, price = market.world, 0.2
    curve = SupplyCurve(world, price)
    from adplatform.simulator.auction import LOG_BASE, LOG_FLOOR
    from adplatform.simulator.world import first_price_mask

    placement = generator.choice(4, 500_000, p=world.placement_weight)
    hour = generator.choice(24, 500_000, p=world.hour_weight)
    level = np.exp(LOG_BASE + world.placement_price[placement] + world.hour_price[hour])
    rival = price + SPREAD * generator.standard_normal(500_000)
    for bid in (-0.5, 0.1, 0.9):
        won = bid >= rival
        paid = np.where(first_price_mask()[placement], np.exp(bid), np.exp(np.maximum(rival, LOG_FLOOR))) * level * won
        assert curve.share(np.array(paid.mean())) == pytest.approx(won.mean(), rel=0.01)


def test_the_chance_to_win_is_what_the_market_shows():
    market = Market(MarketConfig.at_scale("tiny", seed=13, users=500, impressions=60_000, days=3, campaigns=1))
    shown = sum(d.impressions.num_rows for d in market.days())
    win = noisy_win(market.traffic.log_bid[:, :, None], market.world.group_price)
    activity = np.bincount(market.population.group, market.population.activity, minlength=32)
    expected = (market.traffic.requests.sum(axis=1) * (win @ (activity / activity.sum()))).sum()
    assert shown == pytest.approx(expected, abs=4 * np.sqrt(expected))


@pytest.mark.parametrize("budget", [0.0, -5.0, float("nan")])
def test_a_budget_that_is_no_amount_is_an_input_error(oracle, budget):
    with pytest.raises(InputError, match="budget"):
        oracle.best_plan(NEW, SEGMENT_IDS, budget, "clicks", 14, 5)
    with pytest.raises(InputError, match="budget"):
        oracle.best_split(budget, "clicks")
