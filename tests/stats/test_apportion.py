"""Whole units in proportion to weights, none lost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adplatform.stats.apportion import apportion

weights = st.lists(st.one_of(st.just(0.0), st.floats(1e-9, 1e9)), min_size=1, max_size=20)


@given(st.integers(0, 10**12), weights)
@settings(max_examples=200, deadline=None)
def test_units_add_up_and_stay_within_one_of_the_exact_part(total, w):
    got = apportion(total, w)
    if not any(w):
        assert got.sum() == 0
    else:
        assert got.sum() == total
        exact = total * np.array(w) / np.sum(w)
        assert np.all(np.abs(got - exact) <= 1 + 1e-9 * total)


@given(st.integers(1, 10**9), st.data())
@settings(max_examples=200, deadline=None)
def test_limits_are_kept_and_nothing_is_left_that_could_be_taken(total, data):
    n = data.draw(st.integers(1, 8))
    low = [data.draw(st.integers(0, total // n)) for _ in range(n)]
    high = [data.draw(st.integers(lo, total)) for lo in low]
    w = [data.draw(st.floats(1e-6, 1e6)) for _ in range(n)]
    got = apportion(total, w, low, high)
    assert np.all(got >= low)
    assert np.all(got <= high)
    assert got.sum() == min(total, sum(high))


@given(st.lists(st.tuples(st.floats(0, 1e300), st.integers(0, 10**13)), min_size=1, max_size=8), st.integers(0, 10**14))
@settings(max_examples=300, deadline=2000)
def test_weights_of_any_size_take_no_longer(pairs, total):
    # one cent at a time for what rounding lost: a level that is off by a millionth would cost minutes
    w, high = zip(*pairs, strict=True)
    got = apportion(total, w, high=high)
    assert got.sum() == min(total, sum(h for x, h in pairs if x > 0))
    assert np.all(got <= high)


def test_ties_go_to_the_first_name_whatever_the_order():
    assert apportion(10, [1, 1, 1], names=["c", "b", "a"]).tolist() == [3, 3, 4]


@pytest.mark.parametrize(("w", "low"), [([-1.0, 1.0], None), ([np.nan], None), ([1.0], [11])])
def test_what_cannot_be_divided_is_refused(w, low):
    with pytest.raises(ValueError, match="weights"):
        apportion(10, w, low)
