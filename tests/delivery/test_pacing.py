"""A budget day is the campaign's own day, and its hours add up to the cent."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import available_timezones

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adplatform.contracts.brief import Flight
from adplatform.contracts.errors import InputError
from adplatform.delivery.pacing import daily_budgets, hourly_traffic, hours_of, pace

ZONES = sorted(available_timezones())


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [
        (date(2026, 3, 29), "Europe/Berlin", 23),
        (date(2026, 10, 25), "Europe/Berlin", 25),
        (date(2026, 3, 8), "America/New_York", 23),
        (date(2026, 11, 1), "America/New_York", 25),
        (date(2026, 11, 25), "Europe/Berlin", 24),
        (date(2026, 4, 5), "Australia/Lord_Howe", 25),  # 24.5 hours: the last slot is half an hour
        (date(2026, 4, 24), "Africa/Cairo", 23),  # the clock changes at midnight itself
    ],
)
def test_a_day_has_as_many_hours_as_its_zone_gives_it(day, zone, hours):
    plan = pace("c", Decimal("100.00"), day, zone, np.ones(24))
    assert len(plan.hourly) == hours
    assert sum(plan.hourly) == Decimal("100.00")


@given(st.dates(date(1980, 1, 1), date(2040, 1, 1)), st.sampled_from(ZONES))
@settings(max_examples=150, deadline=None)
def test_days_follow_each_other_without_gap_or_overlap(day, zone):
    assert hours_of(day, zone)[-1] == hours_of(day + timedelta(days=1), zone)[0]


@given(
    st.integers(1, 10**8),
    st.lists(st.floats(0, 1e6), min_size=24, max_size=24).filter(any),
    st.lists(st.integers(0, 10**6), max_size=23),
)
@settings(max_examples=150, deadline=None)
def test_hours_add_up_to_the_cent_and_catch_up_with_what_is_left(budget, traffic, spent):
    past = [Decimal(s) / 100 for s in spent]
    plan = pace("c", Decimal(budget) / 100, date(2026, 5, 5), "UTC", traffic, past)
    assert list(plan.hourly[: len(past)]) == past
    assert sum(plan.hourly) == max(plan.budget, sum(past))


def test_a_campaign_without_budget_is_paced_to_nothing():
    assert set(pace("c", Decimal(0), date(2026, 5, 5), "UTC", np.ones(24)).hourly) == {Decimal(0)}
    with pytest.raises(InputError, match="below 0"):
        pace("c", Decimal(-1), date(2026, 5, 5), "UTC", np.ones(24))


def test_a_busy_hour_gets_its_part():
    traffic = np.ones(24)
    traffic[20] = 11
    plan = pace("c", Decimal("340.00"), date(2026, 5, 5), "Europe/Berlin", traffic)
    assert plan.hourly[20] == Decimal("110.00")
    assert plan.hourly[3] == Decimal("10.00")


def test_at_a_clock_change_the_hour_that_comes_twice_is_paid_twice():
    traffic = np.ones(24)
    traffic[2] = 5
    plan = pace("c", Decimal("330.00"), date(2026, 10, 25), "Europe/Berlin", traffic)
    assert (plan.hourly[2], plan.hourly[3], plan.hourly[4]) == (Decimal("50"), Decimal("50"), Decimal("10"))


def test_a_slow_morning_is_caught_up_and_an_overspend_stops_the_day():
    slow = pace("c", Decimal("240"), date(2026, 5, 5), "UTC", np.ones(24), [Decimal(0)] * 12)
    assert set(slow.hourly[12:]) == {Decimal("20")}
    over = pace("c", Decimal("240"), date(2026, 5, 5), "UTC", np.ones(24), [Decimal(300)])
    assert set(over.hourly[1:]) == {Decimal("0")}


def test_traffic_is_read_in_the_campaigns_own_hours():
    # 18:00 in Berlin is 17:00 UTC in winter and 16:00 UTC in summer
    history = {}
    for day in (date(2026, 1, 10), date(2026, 7, 10)):
        for hour in range(24):
            start = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
            history[start] = 100.0 if hour == (17 if day.month == 1 else 16) else 1.0
    traffic = hourly_traffic(history, "Europe/Berlin")
    assert int(np.argmax(traffic)) == 18
    assert np.sort(traffic)[-2] < 5


def test_no_history_paces_evenly_and_bad_history_is_refused():
    assert set(hourly_traffic({}, "UTC")) == {1.0}
    with pytest.raises(InputError, match="aware"):
        hourly_traffic({datetime(2026, 1, 1): 1.0}, "UTC")
    with pytest.raises(InputError, match="24 counts"):
        pace("c", Decimal(1), date(2026, 1, 1), "UTC", np.zeros(24))


def test_a_flights_days_add_up_to_its_budget():
    flight = Flight(starts_on=date(2026, 12, 1), ends_on=date(2026, 12, 7))
    days = daily_budgets(Decimal("100.00"), flight, (1, 1, 1, 1, 1, 2, 2))
    assert sum(days.values()) == Decimal("100.00")
    assert days[date(2026, 12, 5)] > Decimal("1.9") * days[date(2026, 12, 4)]
