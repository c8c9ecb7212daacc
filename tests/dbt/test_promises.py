"""No look-ahead, no user without consent, nothing invented where the data has no columns, and checks that block."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adplatform.contracts.errors import AdPlatformError
from adplatform.settings import Settings
from benchmarks import claims_data
from tests.dbt import world
from tests.dbt.conftest import Home
from tests.dbt.world import FIRST_DAY


@pytest.mark.slow
def test_the_projects_own_unit_tests_and_data_tests_pass(built: Home) -> None:
    built.dbt("test")


@pytest.mark.slow
def test_the_future_changes_no_feature(built: Home) -> None:
    claim = claims_data.leak(Settings(home=built.root), cuts=1)
    assert claim.holds
    assert claim.figure == 0
    assert claim.n > 100
    assert claim.detail["twin_leaky_rows_that_differ"] > 10


def test_no_table_knows_a_user_without_consent(built: Home) -> None:
    claim = claims_data.consent(Settings(home=built.root))
    assert (claim.figure, claim.holds, claim.n) == (0, True, 12)
    assert claim.detail["twin_events_in_landing"] > 100
    assert claim.detail["columns_searched"] > 50


def test_the_consent_claim_fails_on_a_table_that_holds_such_a_user(built: Home) -> None:
    home = built.copy("careless")
    home.write("create table careless as select 'u000000' as whoever")
    claim = claims_data.consent(Settings(home=home.root))
    assert not claim.holds
    assert claim.detail["found_in"] == {"careless.whoever": 1}


@pytest.mark.slow
def test_data_without_conversions_experiments_and_prices_builds(homes: Callable[[str], Home]) -> None:
    home = homes("absent")
    world.build(home.landing, days=4)
    for table in ("conversions", "experiments", "assignments"):
        shutil.rmtree(home.landing / table)
    for file in (home.landing / "impressions").iterdir():
        rows = pq.read_table(file)
        for name in ("price", "bid", "experiment_id", "arm"):
            column = rows.schema.get_field_index(name)
            rows = rows.set_column(
                column, rows.schema.field(column), pa.nulls(rows.num_rows, rows.schema.types[column])
            )
        pq.write_table(rows, file)
    home.dbt("build")
    assert home.query(
        "select count(*), count(price), count(converted), count(conversion_value) from fct_impressions"
    ) == [(480, 0, 0, 0)]
    assert home.query("select count(*) > 0, count(conversions), count(spend) from segment_performance") == [
        (True, 0, 0)
    ]
    assert home.query("select count(*), count(spend), count(conversions) from campaign_daily where clicks > 0")[0][
        1:
    ] == (0, 0)
    assert home.query("select count(user_conversions_28d), count(user_clicks_7d) > 0 from user_features") == [(0, True)]
    assert home.query("select count(*) from experiment_daily") == [(0,)]


@pytest.mark.slow
def test_bad_data_blocks_what_hangs_on_it(homes: Callable[[str], Home]) -> None:
    home = homes("bad")
    world.build(home.landing, days=3)
    rows = world.read(home.landing, "impressions", FIRST_DAY)
    column = rows.schema.get_field_index("propensity")
    rows = rows.set_column(column, "propensity", pa.array([0.0] + [0.25] * (rows.num_rows - 1)))
    world.put(home.landing, "impressions", rows)
    empty = home.landing / "impressions" / f"{FIRST_DAY + timedelta(3)}.parquet"
    pq.write_table(rows.slice(0, 0), empty)
    with pytest.raises(AdPlatformError) as refused:
        home.dbt("build", "--select", "+training_examples")
    assert "accepted_range_fct_impressions_0__propensity" in str(refused.value)
    assert "latest_day_not_empty_fct_impressions_event_day" in str(refused.value)
    assert home.query("select count(*) from duckdb_tables() where table_name = 'training_examples'") == [(0,)]
