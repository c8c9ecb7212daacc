"""However the data comes in, an incremental build ends where a fresh one does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.dbt import world
from tests.dbt.conftest import Home
from tests.dbt.world import FIRST_DAY

LATER = datetime(2026, 3, 25, tzinfo=UTC)
OLD_DAY, LATE_DAY, NEW_DAY = FIRST_DAY + timedelta(1), FIRST_DAY + timedelta(6), FIRST_DAY + timedelta(10)


def new_day_and_late_rows(home: Home) -> None:
    """Day 11 lands, its clicks and conversions spread over older days, and two late impressions of day 7."""
    rng = np.random.default_rng(2)
    for table, rows in world.events(NEW_DAY, 60, 120, rng).items():
        days = pc.strftime(rows["occurred_at"], format="%Y-%m-%d")
        world.put(home.landing, table, rows.filter(pc.equal(days, NEW_DAY.isoformat())))
    day = world.read(home.landing, "impressions", LATE_DAY)
    late = day.slice(0, 2).set_column(0, "impression_id", pa.array(["late-1", "late-2"]))
    stamped = pa.array([LATER] * 2, type=pa.timestamp("us", tz="UTC"))
    late = late.set_column(late.schema.get_field_index("landed_at"), "landed_at", stamped)
    clicks = world.to_table("clicks", {"click_id": ["late"], "impression_id": ["late-1"],
                                       "occurred_at": [late["occurred_at"][0].as_py()]}, LATER)  # fmt: skip
    world.put(home.landing, "impressions", pa.concat_tables([day, late]))
    world.put(home.landing, "clicks", pa.concat_tables([world.read(home.landing, "clicks", LATE_DAY), clicks]))


def restated_day(home: Home) -> None:
    """Invalid traffic: half of day 7 is taken back, and nothing new comes; so is a day of conversions."""
    day = world.read(home.landing, "impressions", LATE_DAY)
    kept = day.slice(0, day.num_rows // 2)
    clicks = pq.read_table(home.landing / "clicks")
    gone = pc.is_in(clicks["impression_id"], day.slice(day.num_rows // 2)["impression_id"])
    world.put(home.landing, "impressions", kept)
    world.put(home.landing, "clicks", clicks.filter(pc.invert(gone)))
    sales = world.read(home.landing, "conversions", LATE_DAY)
    world.put(home.landing, "conversions", sales.slice(0, sales.num_rows // 2))


def withdrawn_consent(home: Home) -> None:
    """A user says no, another yes, and a third moves to another segment."""
    users = pq.read_table(home.landing / "users").to_pylist()
    users[1]["consent"], users[5]["consent"], users[2]["audience"] = False, True, "gamers"
    world.put(home.landing, "users", pa.Table.from_pylist(users, schema=world.schema("users")))


@pytest.mark.slow
def test_incremental_builds_equal_fresh_ones(built: Home, homes: Callable[[str], Home]) -> None:
    home = built.copy("incremental")
    for change in (new_day_and_late_rows, restated_day, withdrawn_consent):
        before = home.marts()
        change(home)
        if change is new_day_and_late_rows:  # a build that failed half-way, made good by the next
            home.dbt("run", "--quiet", "--select", "+fct_impressions")
        home.dbt("run", "--quiet")
        fresh = home.copy(change.__name__, warehouse=False)
        fresh.dbt("run", "--quiet")
        after, expected = home.marts(), fresh.marts()
        assert [m for m in expected if after[m] != expected[m]] == [], change.__name__
        assert after["training_examples"] != before["training_examples"], change.__name__
        assert after["user_features"] != before["user_features"], change.__name__
    assert [m for m, rows in home.marts().items() if any("u000001" in row for row in rows)] == []
    assert any("u000005" in row for row in home.marts()["dim_users"])


@pytest.mark.slow
def test_only_days_that_changed_are_built_again(built: Home) -> None:
    home = built.copy("untouched")
    home.write("update fct_impressions set placement = 'old build'")
    home.write("update user_features set tenure_days = -1")
    touched = "select distinct event_day from fct_impressions where placement != 'old build' order by all"
    new_day_and_late_rows(home)
    home.dbt("run", "--quiet")
    days = [FIRST_DAY + timedelta(n) for n in range(11)]
    # The late day with its attribution window on both sides, and the new day with the one before it.
    assert home.query(touched) == [(d,) for d in days[3:]]
    features = "select distinct feature_day from user_features where tenure_days != -1 order by all"
    assert home.query(features) == [(d,) for d in [*days[7:], NEW_DAY + timedelta(1)]]
