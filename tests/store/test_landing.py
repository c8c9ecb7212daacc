"""What lands: rows in their own day, once each, the same whatever the order, format and number of times."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adplatform.contracts.tables import TABLES
from adplatform.store.convert import schema_of
from adplatform.store.landing import Landing
from tests.store.world import (
    DAY,
    NOW,
    campaigns,
    click,
    csv,
    impression,
    impressions,
    parquet,
    snapshot,
    table,
    users,
)


def contents(landing: Landing, name: str) -> list[dict[str, Any]]:
    return landing.read(name).drop_columns(["landed_at"]).to_pylist()


def test_csv_and_parquet_land_the_same_rows(tmp_path: Path, new_home: Callable[[Path], Landing]) -> None:
    rows = [impression(i, day=i % 3) for i in range(20)]
    rows[4].update(placement=None, bid=None, experiment_id="e-1", arm="treatment")
    one, other = new_home(tmp_path / "a"), new_home(tmp_path / "b")
    one.ingest("impressions", csv(tmp_path / "x.csv", "impressions", rows), now=NOW)
    other.ingest("impressions", parquet(tmp_path / "x.parquet", "impressions", rows), now=NOW)
    assert one.fingerprint("impressions") == other.fingerprint("impressions")
    key = lambda row: row["impression_id"]  # noqa: E731
    assert sorted(contents(one, "impressions"), key=key) == sorted(rows, key=key)


def test_landed_files_have_the_contract_s_columns_and_landed_at_last(landing: Landing) -> None:
    landing.ingest_table("impressions", table("impressions", impressions(3)), now=NOW)
    path = landing.settings.landing / "impressions" / "2026-02-10.parquet"
    assert pq.read_schema(path).remove_metadata() == schema_of(TABLES["impressions"], landed=True)
    assert landing.read("impressions")["landed_at"].to_pylist() == [NOW] * 3


def test_a_file_of_several_days_lands_each_row_in_its_utc_day(landing: Landing, tmp_path: Path) -> None:
    edges = [DAY - timedelta(microseconds=1), DAY, DAY + timedelta(days=1)]
    rows = [impression(i, occurred_at=at) for i, at in enumerate(edges)]
    report = landing.ingest("impressions", csv(tmp_path / "a.csv", "impressions", rows), now=NOW)
    assert report.days == (date(2026, 2, 9), date(2026, 2, 10), date(2026, 2, 11))
    assert [landing.read("impressions", d).num_rows for d in landing.days("impressions")] == [1, 1, 1]


@pytest.mark.parametrize("text", ["2026-02-10T01:30:00+02:00", "2026-02-09 23:30:00", "2026-02-09T23:30:00.000000Z"])
def test_a_timestamp_lands_by_its_utc_day_and_is_utc_without_a_zone(
    landing: Landing, tmp_path: Path, text: str
) -> None:
    rows = [impression(1, occurred_at=text)]
    landing.ingest("impressions", csv(tmp_path / "a.csv", "impressions", rows), now=NOW)
    assert landing.days("impressions") == (date(2026, 2, 9),)
    assert contents(landing, "impressions")[0]["occurred_at"] == datetime(2026, 2, 9, 23, 30, tzinfo=UTC)


def test_running_a_file_again_changes_no_byte(landing: Landing, tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", "impressions", impressions(10))
    landing.ingest("impressions", path, now=NOW)
    before, print_before = snapshot(landing.settings.landing), landing.fingerprint("impressions")
    for replace in (None, DAY.date()):
        report = landing.ingest("impressions", path, replace=replace, now=NOW + timedelta(days=1))
        assert (report.accepted, report.duplicates, report.replaced, report.days) == (0, 10, 0, ())
    assert snapshot(landing.settings.landing) == before
    assert landing.fingerprint("impressions") == print_before


def test_repeats_within_a_file_are_dropped_and_counted(landing: Landing, tmp_path: Path) -> None:
    rows = [*impressions(10), *impressions(3), *impressions(2)]
    report = landing.ingest("impressions", csv(tmp_path / "a.csv", "impressions", rows), now=NOW)
    assert (report.accepted, report.duplicates) == (10, 5)
    assert landing.read("impressions").num_rows == 10


def test_rows_that_are_there_are_dropped_and_the_new_ones_land(landing: Landing, tmp_path: Path) -> None:
    landing.ingest_table("impressions", table("impressions", impressions(10)), now=NOW)
    later = NOW + timedelta(hours=2)
    report = landing.ingest_table("impressions", table("impressions", impressions(14)), now=later)
    assert (report.accepted, report.duplicates, report.late) == (4, 10, 0)
    assert sorted(landing.read("impressions")["landed_at"].to_pylist()) == [NOW] * 10 + [later] * 4


def test_late_rows_land_in_their_own_day_and_are_counted(landing: Landing) -> None:
    landing.ingest_table("impressions", table("impressions", impressions(3, day=2)), now=NOW)
    late = [*impressions(2, day=0, start=20), *impressions(1, day=1, start=30), *impressions(4, day=3, start=40)]
    report = landing.ingest_table("impressions", table("impressions", late), now=NOW)
    assert (report.accepted, report.late) == (7, 3)
    assert landing.read("impressions", DAY.date()).num_rows == 2


def test_a_first_load_of_many_days_is_not_late(landing: Landing) -> None:
    rows = [impression(i, day=i) for i in range(5)]
    assert landing.ingest_table("impressions", table("impressions", rows), now=NOW).late == 0


def test_the_order_in_which_rows_come_does_not_matter(tmp_path: Path, new_home: Callable[[Path], Landing]) -> None:
    rows = [impression(i, day=i % 2) for i in range(12)]
    one, other = new_home(tmp_path / "a"), new_home(tmp_path / "b")
    one.ingest_table("impressions", table("impressions", rows), now=NOW)
    for part in (rows[8:], rows[:3], rows[3:9][::-1]):
        other.ingest_table("impressions", table("impressions", part), now=NOW + timedelta(minutes=5))
    assert one.fingerprint("impressions") == other.fingerprint("impressions")
    assert one.version() == other.version()


@pytest.mark.parametrize(
    ("column", "value"), [("price", 0.011), ("placement", None), ("user_id", "u-2"), ("position", 2)]
)
def test_the_fingerprint_changes_with_any_cell(
    tmp_path: Path, new_home: Callable[[Path], Landing], column: str, value: Any
) -> None:
    one, other = new_home(tmp_path / "a"), new_home(tmp_path / "b")
    one.ingest_table("impressions", table("impressions", impressions(5)), now=NOW)
    rows = impressions(5)
    rows[2][column] = value
    other.ingest_table("impressions", table("impressions", rows), now=NOW)
    assert one.fingerprint("impressions") != other.fingerprint("impressions")
    assert one.fingerprint("impressions", DAY.date()) != other.fingerprint("impressions", DAY.date())


def test_replacing_a_day_replaces_exactly_its_rows(landing: Landing) -> None:
    for day in range(3):
        landing.ingest_table("impressions", table("impressions", impressions(5, day, 10 * day)), now=NOW)
    neighbours = [landing.fingerprint("impressions", DAY.date() + timedelta(days=d)) for d in (0, 2)]
    restated = [impression(10, 1), impression(11, 1, price=0.0), impression(19, 1)]
    later = NOW + timedelta(hours=1)
    day = DAY.date() + timedelta(days=1)
    report = landing.ingest_table("impressions", table("impressions", restated), replace=day, now=later)
    assert (report.accepted, report.duplicates, report.replaced, report.days) == (2, 1, 4, (day,))
    found = {r["impression_id"]: r["landed_at"] for r in landing.read("impressions", day).to_pylist()}
    assert found == {"i-10": NOW, "i-11": later, "i-19": later}
    assert [landing.fingerprint("impressions", DAY.date() + timedelta(days=d)) for d in (0, 2)] == neighbours


def test_a_snapshot_is_replaced_whole(landing: Landing, tmp_path: Path) -> None:
    changed = [*users("u-1", "u-4"), {**users("u-2")[0], "consent": False}]
    report = landing.ingest("users", csv(tmp_path / "a.csv", "users", changed), now=NOW)
    assert (report.accepted, report.duplicates, report.replaced, report.days) == (2, 1, 2, ())
    assert {r["user_id"]: r["consent"] for r in contents(landing, "users")} == {"u-1": True, "u-2": False, "u-4": True}


def test_a_click_may_name_an_impression_of_an_earlier_day(landing: Landing) -> None:
    for day in range(3):
        landing.ingest_table("impressions", table("impressions", impressions(5, day, 10 * day)), now=NOW)
    rows = [click(1, day=2), click(12, day=2), click(23, day=2)]
    assert landing.ingest_table("clicks", table("clicks", rows), now=NOW).accepted == 3


def test_nothing_landed_reads_as_no_rows(landing: Landing) -> None:
    assert landing.days("clicks") == ()
    assert landing.read("clicks").num_rows == 0
    assert landing.read("clicks", DAY.date()).schema == schema_of(TABLES["clicks"], landed=True)
    assert landing.fingerprint("clicks") is None
    assert landing.fingerprint("clicks", DAY.date()) is None


def test_parquet_types_that_lose_nothing_are_taken(landing: Landing, tmp_path: Path) -> None:
    whole = table("impressions", impressions(4))
    wide = {
        "position": whole["position"].cast(pa.float64()),
        "placement": whole["placement"].dictionary_encode(),
        "user_id": whole["user_id"].cast(pa.large_string()),
        "price": whole["price"].cast(pa.string()),
        "occurred_at": whole["occurred_at"].cast(pa.timestamp("ns", "Asia/Tokyo")),
        "experiment_id": pa.nulls(4),
    }
    for name, column in wide.items():
        whole = whole.set_column(whole.column_names.index(name), name, column)
    pq.write_table(whole, tmp_path / "a.parquet")
    landing.ingest("impressions", tmp_path / "a.parquet", now=NOW)
    assert contents(landing, "impressions") == impressions(4)


def test_dates_written_as_timestamps_are_taken(landing: Landing) -> None:
    whole = table("campaigns", campaigns())
    at = whole.column_names.index("starts_on")
    landing.ingest_table(
        "campaigns", whole.set_column(at, "starts_on", whole["starts_on"].cast(pa.timestamp("ns"))), now=NOW
    )
    assert contents(landing, "campaigns") == campaigns()


def test_ids_are_looked_up_in_parts_where_days_are_large(landing: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adplatform.store.zone.LOOK_UP", 7)
    for day in range(4):
        landing.ingest_table("impressions", table("impressions", impressions(5, day, 10 * day)), now=NOW)
    again = [impression(10 * day + 2, day) for day in range(4)]
    report = landing.ingest_table("impressions", table("impressions", [*again, impression(99)]), now=NOW)
    assert (report.accepted, report.duplicates, report.late) == (1, 4, 1)
