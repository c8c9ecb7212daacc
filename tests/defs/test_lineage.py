"""Column lineage is what the SQL says, and every column of every mart has one that the UI can follow."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from adplatform.defs.lineage import dependencies
from adplatform.defs.runs import instance
from adplatform.settings import Settings

SCHEMA = {"a": {"x": "int", "y": "int"}, "users": {"user_id": "varchar", "consent": "boolean"}}


def test_a_column_comes_from_what_it_is_computed_from() -> None:
    found = dependencies(
        'with b as (select x, x + y as z from "w"."main"."a") select x, z * 2 as w, 1 as n from b', SCHEMA
    )
    assert found == {"x": {("a", "x")}, "w": {("a", "x"), ("a", "y")}, "n": set()}


def test_a_file_of_the_landing_zone_is_its_table() -> None:
    sql = "with s as (select * from read_parquet('/somewhere/landing/users/current.parquet')) select user_id from s"
    assert dependencies(sql, SCHEMA) == {"user_id": {("users", "user_id")}}


def test_every_column_of_the_fact_table_is_traced_to_a_known_asset(demo_home: Path) -> None:
    with instance(Settings(home=demo_home)) as found:
        event = found.get_latest_materialization_event(dg.AssetKey("fct_impressions"))
        assert event is not None
        assert event.asset_materialization is not None
        shown = event.asset_materialization.metadata["dagster/column_lineage"]
    assert isinstance(shown, dg.TableColumnLineageMetadataValue)
    deps = {
        c: {(d.asset_key.to_user_string(), d.column_name) for d in v} for c, v in shown.value.deps_by_column.items()
    }
    assert deps["impression_id"] == {("stg_impressions", "impression_id")}
    assert ("int_clicks", "clicked_at") in deps["clicked"]
