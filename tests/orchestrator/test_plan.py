"""A plan is valid, exact, replayable, and as good as its agents know how."""

import json
from datetime import date
from decimal import Decimal
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adplatform.assembly import word_first
from adplatform.contracts.brief import Audience, Flight, Objective
from adplatform.contracts.errors import AgentUnavailable, InputError
from adplatform.contracts.plan import CampaignPlan, Outcome, State
from adplatform.orchestrator import BaseRates, stable_bytes
from adplatform.orchestrator.selection import choose, most_at_cost
from benchmarks.fallbacks_claim import faults_of
from benchmarks.reference_agents import (
    ReferenceTargeting,
    base_rates,
    cost_per_mille,
    market_value,
    saturation_of,
    true_rate,
)
from tests.orchestrator.fakes import SEGMENTS, Raises, brief, orchestrator


def test_a_plan_passes_every_state_in_order_and_names_who_spoke():
    plan = orchestrator().plan(brief())
    assert [s.state for s in plan.trace] == list(State)
    assert all(s.outcome is Outcome.ANSWERED and s.fallback is None for s in plan.trace)
    assert plan.receipt.versions == {
        "creative": "reference-creative",
        "targeting": "reference-targeting",
        "measurement": "reference-measurement",
        "budget": "reference-budget",
    }
    assert faults_of(plan, brief(), SEGMENTS) == []


def test_the_same_brief_versions_and_seed_give_the_same_bytes():
    one, other = (orchestrator().plan(brief(), seed=3) for _ in range(2))
    assert one.plan_id == other.plan_id
    assert stable_bytes(one) == stable_bytes(other)
    assert CampaignPlan.model_validate_json(one.model_dump_json()) == one


@pytest.mark.parametrize(
    ("asked", "seed", "changes"),
    [
        (brief(budget="20000.01"), 3, {}),
        (brief(), 4, {}),
        (brief(), 3, {"budget": None}),
        (brief(), 3, {"data_version": "next"}),
    ],
)
def test_another_request_seed_version_or_data_gives_another_id(asked, seed, changes):
    assert orchestrator(**changes).plan(asked, seed=seed).plan_id != orchestrator().plan(brief(), seed=3).plan_id


def test_a_retry_or_a_slow_day_does_not_change_the_plans_id():
    shaky = Raises(ConnectionError("lost"), times=1, then=ReferenceTargeting(SEGMENTS))
    shaky.version = "reference-targeting"
    plan = orchestrator(targeting=shaky).plan(brief())
    assert plan.trace[2].attempts == 2
    assert plan.plan_id == orchestrator().plan(brief()).plan_id


@given(
    st.integers(500, 10**9),
    st.integers(1, 50),
    st.floats(0.05, 1.0),
    st.sampled_from(list(Objective)),
    st.sets(st.sampled_from([s.segment_id for s in SEGMENTS]), max_size=25),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_any_brief_gives_a_valid_plan(cents, k, share, objective, excluded, without_budget_agent):
    asked = brief(
        budget=Decimal(cents) / 100,
        combinations=k,
        objective=objective,
        audience=Audience(excluded_segments=tuple(sorted(excluded))),
    )
    makers = {"budget": None} if without_budget_agent else {}
    plan = orchestrator(largest_share=share, **makers).plan(asked)
    assert faults_of(plan, asked, SEGMENTS, share) == []


def test_with_agents_that_know_the_truth_no_other_choice_of_pairs_is_better():
    # brute force: every choice of 2 of 30 combinations, money split on a grid of 2 %
    audience = Audience(segments=tuple(s.segment_id for s in SEGMENTS[:6]))
    asked = brief(audience=audience, combinations=2, budget="900.00", variants=5)
    plan = orchestrator().plan(asked)
    users = {s.segment_id: s.users for s in SEGMENTS}
    curves = []
    for c in plan.creatives:
        for s in audience.segments:
            rate, bend = true_rate(c.tone, c.appeal, s) * 1000 / cost_per_mille(s), saturation_of(s, users[s], 14)
            curves.append(rate * bend * -np.expm1(-np.linspace(0, 900, 51) / bend))
    best = max(float(np.max(a + b[::-1])) for a, b in combinations(curves, 2))
    assert market_value(plan) >= best * (1 - 1e-9)
    assert plan.expected_reward == pytest.approx(market_value(plan), rel=1e-9)


def test_conversions_are_refused_where_the_data_has_none():
    rates = base_rates()
    bare = BaseRates(rates.click_rate, rates.click_interval, rates.cost_per_mille)
    with pytest.raises(InputError, match="no conversions in the data"):
        orchestrator(measurement=None, rates=bare).plan(brief(objective=Objective.CONVERSIONS))


def test_conversions_are_paid_for_by_their_value():
    plan = orchestrator().plan(brief(objective=Objective.CONVERSIONS))
    assert plan.expected_reward == pytest.approx(sum(line.expected_value for line in plan.lines))


@pytest.mark.parametrize("target", ["0.20", "0.35"])
def test_no_line_costs_more_on_average_than_the_target(target):
    plan = orchestrator().plan(brief(target_cost=target, budget="60000.00"))
    assert plan.unspent > 0
    for line in plan.lines:
        assert float(line.budget) / line.expected_clicks <= float(target) * (1 + 1e-9)


def test_a_target_nothing_meets_is_refused_with_the_cheapest_cost():
    with pytest.raises(InputError, match=r"target_cost: 0\.01 a click is under the cheapest expected cost, 0\.\d\d"):
        orchestrator().plan(brief(target_cost="0.01"))


@given(st.floats(0.01, 100), st.floats(1, 1e6), st.floats(0.01, 100))
def test_the_most_to_spend_at_a_cost_is_where_the_mean_cost_reaches_it(rate, saturation, target):
    most = most_at_cost(rate, saturation, target)
    if rate * target <= 1:
        assert most == 0
    elif rate * target > 1.0001:
        gained = rate * saturation * -np.expm1(-most / saturation)
        assert most / gained == pytest.approx(target, rel=1e-6)


@pytest.mark.parametrize(
    ("audience", "field"),
    [
        ({"segments": ("nobody|18-29",)}, "audience.segments"),
        ({"excluded_segments": ("nobody",)}, "audience.excluded_segments"),
        ({"audiences": ("dentists",)}, "audience.audiences"),
        ({"age_bands": ("12-17",)}, "audience.age_bands"),
        ({"regions": ("atlantis",)}, "audience.regions"),
    ],
)
def test_what_the_data_does_not_know_is_refused_by_field(audience, field):
    with pytest.raises(InputError, match=rf"{field}: \S+ is unknown; use one of"):
        orchestrator().plan(brief(audience=Audience(**audience)))


def test_an_audience_of_small_segments_only_is_refused():
    with pytest.raises(InputError, match="no segment of at least 1000000 users"):
        orchestrator(minimum_users=1_000_000).plan(brief())


def test_an_agent_that_says_the_request_is_wrong_is_believed():
    with pytest.raises(InputError, match="audience"):
        orchestrator(targeting=Raises(InputError("audience", "is empty", "widen it"))).plan(brief())


def test_without_any_agent_there_is_still_a_plan():
    plan = orchestrator(creative=None, targeting=None, measurement=None, budget=None).plan(brief())
    assert faults_of(plan, brief(), SEGMENTS) == []
    assert all(s.fallback for s in plan.trace[1:-1])
    assert [s.attempts for s in plan.trace[1:-1]] == [0, 0, 0, 0]
    assert plan.creatives[0].source.value == "template"


def test_a_better_rule_for_copy_is_used_first_and_the_plain_one_after_it():
    from benchmarks.reference_agents import ReferenceCreative

    used = orchestrator(creative=None, copy_rule=ReferenceCreative()).plan(brief())
    assert used.trace[1].fallback == "reference-creative"
    plain = orchestrator(creative=None, copy_rule=Raises(AgentUnavailable("creative", "no templates"))).plan(brief())
    assert plain.trace[1].fallback == "default-copy-1"


def test_a_flight_is_kept_as_it_was_asked_for():
    flight = Flight(starts_on=date(2026, 3, 1), ends_on=date(2026, 3, 31), timezone="Europe/Berlin")
    plan = orchestrator().plan(brief(flight=flight))
    assert json.loads(plan.model_dump_json())["brief"]["flight"]["timezone"] == "Europe/Berlin"
    assert plan.brief.flight == flight


def test_choosing_keeps_every_candidate_when_there_are_fewer_than_k():
    assert choose([], 100.0, 5) == []


def test_nothing_is_worded_for_a_brief_that_the_data_does_not_know():
    writer = Raises(AgentUnavailable("creative", "is not asked"))
    machine = orchestrator(creative=writer)
    with pytest.raises(InputError, match="astronauts"):
        word_first(machine, brief(audience=Audience(segments=("astronauts",))), seed=0, seconds=5)
    assert writer.calls == 0
    word_first(machine, brief(), seed=0, seconds=5)
    assert writer.calls == 1
