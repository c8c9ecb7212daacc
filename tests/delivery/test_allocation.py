"""The split is optimal, exact and fair to the order of options."""

from decimal import Decimal
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from adplatform.contracts.base import Interval
from adplatform.contracts.delivery import AllocationOption, AllocationRequest
from adplatform.contracts.errors import InputError
from adplatform.delivery.allocation import LINEAR, allocate, limits, reward


def option(name, rate, saturation, minimum=0, maximum=None, low=None, high=None):
    return AllocationOption(
        option_id=name,
        reward_rate=rate,
        reward_interval=Interval(low=rate * 0.5 if low is None else low, high=rate * 2 if high is None else high),
        saturation=saturation,
        minimum=Decimal(minimum) / 100,
        maximum=None if maximum is None else Decimal(maximum) / 100,
    )


@st.composite
def requests(draw, limited=True):
    n = draw(st.integers(1, 12))
    budget = draw(st.integers(1, 10**9))
    options = []
    for i in range(n):
        rate = draw(st.one_of(st.just(0.0), st.floats(1e-6, 1e3), st.sampled_from([0.5, 1.0])))
        saturation = draw(st.one_of(st.floats(1e-3, 1e9), st.sampled_from([100.0, 1e15])))
        low = draw(st.integers(0, budget // (2 * n))) if limited else 0
        high = draw(st.one_of(st.none(), st.integers(low, 10**9))) if limited else None
        options.append(option(f"o{i}", rate, saturation, low, high))
    share = draw(st.floats(0.5, 1.0)) if limited else 1.0
    return AllocationRequest(
        options=tuple(options), budget=Decimal(budget) / 100, largest_share=share, risk=draw(st.floats(0, 1))
    )


def cents(answer):
    return {s.option_id: int(s.budget * 100) for s in answer.shares}


@given(requests())
@settings(max_examples=150, deadline=None)
def test_the_split_adds_up_to_the_cent_within_every_limit(request):
    answer = allocate(request)
    got = cents(answer)
    assert sum(got.values()) + int(answer.unspent * 100) == int(request.budget * 100)
    for o, low, high in zip(request.options, *limits(request)[:2], strict=True):
        assert low <= got[o.option_id] <= high
    if answer.unspent:
        assert all(
            got[o.option_id] == h for o, h in zip(request.options, limits(request).high, strict=True) if o.reward_rate
        )


@given(requests(), st.randoms())
@settings(max_examples=100, deadline=None)
def test_the_order_of_options_changes_nothing(request, random):
    shuffled = list(request.options)
    random.shuffle(shuffled)
    other = request.model_copy(update={"options": tuple(shuffled)})
    assert cents(allocate(request)) == cents(allocate(other))


@given(requests(limited=False), st.integers(1, 10**6))
@settings(max_examples=100, deadline=None)
def test_a_larger_budget_takes_a_cent_from_no_one(request, more):
    richer = request.model_copy(update={"budget": request.budget + Decimal(more) / 100})
    before, after = cents(allocate(request)), cents(allocate(richer))
    assert all(after[k] >= before[k] for k in before)


NEARLY_STRAIGHT = AllocationRequest(
    options=(option("straight", 1.0, 1e15), option("bends", 1.0, 1e4)), budget=Decimal("4999999.61")
)


@given(requests())
@example(NEARLY_STRAIGHT)
@settings(max_examples=100, deadline=None)
def test_no_cent_would_earn_more_elsewhere(request):
    # Karush-Kuhn-Tucker in whole cents: the least gain of a cent given is at least the largest gain of a cent withheld
    got = cents(allocate(request))
    low, high, _ = limits(request)
    given_, withheld = [], []
    for i, o in enumerate(request.options):
        rate = (1 - request.risk) * o.reward_rate + request.risk * o.reward_interval.low
        saturation = min(o.saturation, LINEAR)  # as the contract says: above it, it counts as it
        gain = rate * saturation * -np.expm1(-0.01 / saturation) if rate else 0.0
        k = got[o.option_id]
        if k > low[i]:
            given_.append(gain * np.exp(-(k - 1) * 0.01 / saturation))
        if k < high[i]:
            withheld.append(gain * np.exp(-k * 0.01 / saturation))
    if given_ and withheld:
        assert min(given_) >= max(withheld) * (1 - 1e-9)


@given(
    st.lists(
        st.tuples(st.integers(-100, 100), st.integers(-100, 100), st.one_of(st.none(), st.integers(0, 10**14 - 1))),
        min_size=1,
        max_size=8,
    ),
    st.integers(1, 10**14 - 1),
)
@settings(max_examples=300, deadline=2000)
def test_rates_and_saturations_of_any_size_take_no_longer(rows, budget):
    # a saturation of a tenth of a cent beside one of 1e13: ten minutes of single cents, before the level was solved on what moves
    options = tuple(option(f"o{i}", 10.0**r, 10.0**s, maximum=m, high=10.0**r) for i, (r, s, m) in enumerate(rows))
    answer = allocate(AllocationRequest(options=options, budget=Decimal(budget) / 100))
    assert answer.unspent == max(
        0, Decimal(budget - sum(budget if m is None else min(m, budget) for _, _, m in rows)) / 100
    )


def test_brute_force_over_every_split_finds_nothing_better():
    options = (option("a", 2.0, 0.07), option("b", 1.0, 0.4, maximum=12), option("c", 3.0, 0.02, minimum=4))
    request = AllocationRequest(options=options, budget=Decimal("0.30"), largest_share=0.6)
    best = max(
        sum(reward(o, c / 100) for o, c in zip(options, (a, b, 30 - a - b), strict=True))
        for a, b in product(range(19), range(13))
        if 4 <= 30 - a - b <= 18
    )
    answer = allocate(request)
    assert sum(s.expected_reward for s in answer.shares) == pytest.approx(best, rel=1e-12)


def test_a_general_solver_agrees():
    rng = np.random.default_rng(5)
    for _ in range(5):
        options = tuple(
            option(f"o{i}", r, s, maximum=40_000)
            for i, (r, s) in enumerate(zip(rng.uniform(0.2, 3, 6), rng.uniform(50, 500, 6), strict=True))
        )
        request = AllocationRequest(options=options, budget=Decimal("1000.00"))
        ours = sum(s.expected_reward for s in allocate(request).shares)
        found = minimize(
            lambda b, options=options: -sum(reward(o, x) for o, x in zip(options, b, strict=True)),
            np.full(6, 1000 / 6),
            bounds=[(0, 400)] * 6,
            constraints={"type": "eq", "fun": lambda b: b.sum() - 1000},
            options={"maxiter": 500, "ftol": 1e-12},
        )
        assert ours == pytest.approx(-found.fun, rel=1e-5)
        assert ours >= -found.fun * (1 - 1e-7)


def test_minimums_above_the_budget_are_refused():
    request = AllocationRequest(
        options=(option("a", 1, 1, minimum=600), option("b", 1, 1, minimum=500)), budget=Decimal("10")
    )
    with pytest.raises(InputError, match=r"minimums add up to 11.*budget"):
        allocate(request)


@pytest.mark.parametrize(
    ("options", "share", "word"),
    [
        ((option("a", 1, 1, 500, 300), option("b", 1, 1)), 1.0, "exceeds its maximum"),
        ((option("a", 1, 1, 600), option("b", 1, 1)), 0.5, "largest share"),
        ((option("a", 1, 1), option("a", 1, 1)), 1.0, "named twice"),
    ],
)
def test_limits_that_contradict_each_other_are_refused(options, share, word):
    with pytest.raises(InputError, match=word):
        allocate(AllocationRequest(options=options, budget=Decimal("10"), largest_share=share))


def test_the_only_option_may_take_more_than_the_largest_share():
    answer = allocate(AllocationRequest(options=(option("a", 1, 5),), budget=Decimal("10"), largest_share=0.2))
    assert answer.shares[0].budget == 10


def test_what_no_option_can_take_stays_unspent():
    options = (option("a", 1, 5, maximum=300), option("b", 0, 5))
    answer = allocate(AllocationRequest(options=options, budget=Decimal("10")))
    assert (cents(answer), answer.unspent) == ({"a": 300, "b": 0}, Decimal("7"))


def test_an_uncertain_option_loses_money_as_risk_aversion_grows():
    options = (option("sure", 1.0, 100, low=0.95), option("unsure", 1.1, 100, low=0.2))
    parts = [
        cents(allocate(AllocationRequest(options=options, budget=Decimal("100"), risk=r)))["unsure"]
        for r in (0, 0.5, 1)
    ]
    assert parts[0] > parts[1] > parts[2]


def test_five_thousand_options_take_a_second_at_most():
    import time

    rng = np.random.default_rng(1)
    options = tuple(
        option(f"o{i}", r, s)
        for i, (r, s) in enumerate(zip(rng.exponential(1, 5000), rng.exponential(100, 5000), strict=True))
    )
    request = AllocationRequest(options=options, budget=Decimal("100000"))
    start = time.perf_counter()
    allocate(request)
    assert time.perf_counter() - start < 1.0
