from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from adplatform.contracts.errors import InputError
from adplatform.simulator import Faults, Market, MarketConfig
from adplatform.simulator.replay import replay
from tests.simulator.conftest import gather

SECONDS = 1_000_000


@pytest.fixture(scope="module")
def large():
    """Two campaigns, 40,000 users: each experiment has thousands of users in an arm."""
    config = MarketConfig.at_scale(
        "tiny",
        seed=11,
        users=40_000,
        impressions=700_000,
        campaigns=2,
        days=8,
        ab_enrolled=0.3,
        first_day=date(2026, 3, 2),
    )
    return Market(config)


def successes(market, design, log):
    """Whether each enrolled user had the metric between assignment and the end of the experiment's last day."""
    start = np.int64(np.datetime64(market.config.first_day, "us").astype("int64"))
    until = start + (design.last + 1) * 86_400 * SECONDS
    since = np.full(market.config.users, np.iinfo(np.int64).max)
    since[design.users] = start + design.assigned.astype(np.int64) * SECONDS
    user, at = log
    counted = (at >= since[user]) & (at < until)
    had = np.zeros(market.config.users, dtype=bool)
    had[user[counted]] = True
    return had[design.users]


@pytest.fixture(scope="module")
def events(large):
    """(user, time) of clicks and of purchases by campaign, from the landing tables."""
    tables = gather(large)
    number = {"impressions": {}, "conversions": {}}
    for name in number:
        number[name] = np.array([int(u[1:]) for u in tables[name]["user_id"].to_pylist()])
    shown = tables["impressions"]
    place = {i: k for k, i in enumerate(shown["impression_id"].to_pylist())}
    clicked = np.array([place[i] for i in tables["clicks"]["impression_id"].to_pylist()])
    campaign = np.array([int(c[1:]) - 1 for c in shown["campaign_id"].to_pylist()])
    at = {n: tables[n]["occurred_at"].cast("int64").to_numpy() for n in tables}
    product = np.array([int(p[1:]) - 1 for p in tables["conversions"]["product_id"].to_pylist()])
    found = {}
    for c in range(2):
        own = clicked[campaign[clicked] == c]
        found["click", c] = (number["impressions"][own], at["impressions"][own])
        found["conversion", c] = (number["conversions"][product == c], at["conversions"][product == c])
    return found


@pytest.mark.slow
def test_true_lift_is_what_an_experiment_of_thousands_of_users_shows(large, events):
    oracle, checked = large.oracle(), 0
    for design in large.designs:
        had = successes(large, design, events[design.metric, design.campaign])
        truth = oracle.arm_rates(design.experiment_id)
        for arm, rate in enumerate(truth):
            own = had[design.treated == bool(arm)]
            error = np.sqrt(rate * (1 - rate) / len(own))
            # 12 arms at 4 standard errors: chance alone fails this once in 1,300 seeds.
            assert abs(own.mean() - rate) < 4 * error, (design.experiment_id, arm, own.mean(), rate)
            checked += 1
    assert checked == 12


@pytest.mark.slow
def test_user_success_probabilities_are_calibrated_by_thirds(large, events):
    design = large.designs[0]
    had = successes(large, design, events[design.metric, design.campaign])[design.treated]
    told = large.oracle().user_lift(design.experiment_id)["treatment"].to_numpy()[design.treated]
    for part in np.array_split(np.argsort(told), 3):
        error = np.sqrt((told[part] * (1 - told[part])).sum())
        # Whether a treated user is also in a creative test is drawn anew for the oracle: a small noise on top.
        assert abs(had[part].sum() - told[part].sum()) < 4 * error


def test_holdout_lift_is_positive_and_differs_between_users(market, oracle):
    for design in market.designs:
        if design.holdout:
            table = oracle.user_lift(design.experiment_id)
            lift = table["lift"].to_numpy()
            # A late user may have been in a creative test before the holdout took effect: hence not quite all.
            assert (lift > 0).mean() > 0.995
            assert lift.std() > 0.3 * lift.mean()
            absolute, relative = oracle.lift(design.experiment_id)
            assert absolute == pytest.approx(lift.mean())
            assert relative == pytest.approx(lift.mean() / table["control"].to_numpy().mean())


def test_swapping_arms_turns_the_lift_around(market, oracle):
    design = next(d for d in market.designs if not d.holdout)
    other = Market(market.config)
    other.__dict__["designs"] = [
        replace(d, control=d.treatment, treatment=d.control) if d.number == design.number else d for d in market.designs
    ]
    assert other.oracle().lift(design.experiment_id)[0] == pytest.approx(-oracle.lift(design.experiment_id)[0])


def test_control_users_of_a_holdout_see_no_ad_after_assignment(market):
    pool, _, _ = replay(market, Faults())
    start = pool.at_us[0] // 86_400_000_000 * 86_400_000_000
    second = (pool.at_us - start) // SECONDS
    before = 0
    for design in (d for d in market.designs if d.holdout):
        since = np.full(market.config.users, np.iinfo(np.int64).max)
        since[design.users[~design.treated]] = design.assigned[~design.treated]
        own = (pool.campaign == design.campaign) & (second < (design.last + 1) * 86_400)
        assert not (own & (second >= since[pool.user])).any()
        before += int((own & (since[pool.user] < np.iinfo(np.int64).max)).sum())
    assert before > 0


def test_unknown_experiment_is_an_input_error(oracle):
    with pytest.raises(InputError, match="unknown experiment"):
        oracle.lift("e99")
