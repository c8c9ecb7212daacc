from datetime import date, timedelta

import numpy as np
import pyarrow.compute as pc
import pytest

from adplatform.contracts.errors import InputError
from adplatform.simulator import Faults, Market, MarketConfig
from tests.simulator.conftest import gather

FIRST = date(2026, 3, 2)


@pytest.fixture(scope="module")
def world():
    return Market(MarketConfig.at_scale("tiny", seed=9, users=1_000, impressions=40_000, days=8, first_day=FIRST))


@pytest.fixture(scope="module")
def clean(world):
    return list(world.days())


def day_after(n):
    return FIRST + timedelta(days=n)


def test_late_rows_arrive_one_or_two_days_on_and_nothing_is_lost_but_the_last(world, clean):
    faulty = list(world.days(Faults(late_share=0.1)))
    late = 0
    for n, day in enumerate(faulty):
        lag = np.array([(day.date - d).days for d in day.impressions["occurred_at"].cast("date32").to_pylist()])
        assert set(lag.tolist()) <= {0, 1, 2}
        late += int((lag > 0).sum())
        if n < len(faulty) - 2:
            arrived = {i for d in faulty[: n + 3] for i in d.impressions["impression_id"].to_pylist()}
            assert set(clean[n].impressions["impression_id"].to_pylist()) <= arrived
    # Late rows of the last two days never arrive.
    early = sum(d.impressions.num_rows for d in clean[:-2])
    assert 0.09 * early < late < 0.11 * (early + clean[-2].impressions.num_rows)


def test_a_click_never_arrives_before_its_impression(world):
    known, clicks = set(), 0
    for day in world.days(Faults(late_share=0.2)):
        known.update(day.impressions["impression_id"].to_pylist())
        assert set(day.clicks["impression_id"].to_pylist()) <= known
        clicks += day.clicks.num_rows
    assert clicks > 800


def test_late_purchases_keep_their_own_time(world):
    lags = [
        (d.date - t).days
        for d in world.days(Faults(late_share=0.3))
        for t in d.conversions["occurred_at"].cast("date32").to_pylist()
    ]
    assert set(lags) == {0, 1, 2}


def test_duplicates_are_the_same_rows_again(world, clean):
    for before, after in zip(clean, world.days(Faults(duplicate_share=0.05)), strict=True):
        extra = after.impressions.num_rows - before.impressions.num_rows
        assert 0.02 < extra / before.impressions.num_rows < 0.09
        assert (
            after.impressions.group_by(after.impressions.column_names).aggregate([]).num_rows
            == before.impressions.num_rows
        )


def test_changed_unit_multiplies_prices_from_its_day_on_and_nothing_else(world, clean):
    since = day_after(4)
    for before, after in zip(clean, world.days(Faults(unit_change_day=since)), strict=True):
        factor = 100.0 if before.date >= since else 1.0
        assert np.allclose(after.impressions["price"], np.asarray(before.impressions["price"]) * factor)
        assert after.impressions.drop_columns(["price"]).equals(before.impressions.drop_columns(["price"]))
        assert after.clicks.equals(before.clicks)


def test_missing_column_is_missing_on_its_day_alone(world, clean):
    fault = Faults(missing_column=("impressions", "placement", day_after(3)))
    for before, after in zip(clean, world.days(fault), strict=True):
        gone = set(before.impressions.column_names) - set(after.impressions.column_names)
        assert gone == ({"placement"} if before.date == day_after(3) else set())


def test_flipped_labels_swap_that_share_of_one_days_clicks(world, clean):
    day, share = day_after(2), 0.3
    for before, after in zip(clean, world.days(Faults(flipped_labels=(day, share))), strict=True):
        old, new = (set(d.clicks["impression_id"].to_pylist()) for d in (before, after))
        changed = len(old ^ new) / before.impressions.num_rows
        # A click at midnight lands on the next day.
        assert changed == (pytest.approx(share, abs=0.03) if before.date == day else pytest.approx(0, abs=0.001))
        assert after.conversions.equals(before.conversions)


def test_taste_drift_changes_truth_from_its_day_on_and_not_before(world, clean):
    fault = Faults(taste_drift_from=day_after(4))
    for before, after in zip(clean, world.days(fault), strict=True):
        same = after.impressions.equals(before.impressions) and after.clicks.num_rows == before.clicks.num_rows
        assert after.impressions.equals(before.impressions)
        assert same == (before.date < day_after(4))
    rows = clean[6].impressions
    stable, drifted = world.oracle().click_probability(rows), world.oracle(fault).click_probability(rows)
    assert np.corrcoef(np.log(stable), np.log(drifted))[0, 1] < 0.9
    early = clean[2].impressions
    assert np.array_equal(world.oracle().click_probability(early), world.oracle(fault).click_probability(early))


def test_oracle_of_the_drifted_market_is_calibrated_on_its_clicks(world):
    fault = Faults(taste_drift_from=day_after(2))
    log = gather(world, fault)
    expected = world.oracle(fault).click_probability(log["impressions"]).sum()
    assert abs(log["clicks"].num_rows - expected) < 4 * np.sqrt(expected)


def test_traffic_drift_changes_who_comes_and_not_what_they_like(world, clean):
    fault = Faults(traffic_drift_from=day_after(4))
    drifted = list(world.days(fault))
    device = dict(zip(*(world.users()[n].to_pylist() for n in ("user_id", "device")), strict=True))

    def mobile(day):
        return np.mean([device[u] == "mobile" for u in day.impressions["user_id"].to_pylist()])

    def stories(day):
        return pc.mean(pc.equal(day.impressions["placement"], "story").cast("int8")).as_py()

    assert drifted[3].impressions.equals(clean[3].impressions)
    assert mobile(drifted[6]) > mobile(clean[6]) + 0.08
    assert stories(drifted[6]) > 1.8 * stories(clean[6])
    rows = clean[2].impressions
    assert np.array_equal(world.oracle().click_probability(rows), world.oracle(fault).click_probability(rows))


def test_faults_outside_the_market_are_input_errors(world):
    for fault, named in (
        (Faults(unit_change_day=date(2020, 1, 1)), "unit_change_day"),
        (Faults(missing_column=("impressions", "nothing", FIRST)), "no column"),
        (Faults(flipped_labels=(date(2030, 1, 1), 0.5)), "flipped_labels"),
    ):
        with pytest.raises(InputError, match=named):
            list(world.days(fault))
    with pytest.raises(InputError, match="late_share"):
        Faults(late_share=1.5)
    with pytest.raises(InputError, match="no daily table"):
        Faults(missing_column=("users", "device", FIRST))
