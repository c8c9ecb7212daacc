"""A bad file lands nothing, and one line says where, what and the mend."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adplatform.contracts.errors import AdPlatformError
from adplatform.store.landing import Landing
from tests.store.world import (
    DAY,
    NOW,
    campaigns,
    click,
    csv,
    experiments,
    impression,
    impressions,
    parquet,
    refused,
    table,
    users,
)


def with_row_7(**changed: Any) -> list[dict[str, Any]]:
    rows = impressions(10)
    rows[6].update(changed)
    return rows


BAD_CELLS = [
    ("price", "cheap", "is not of type number"),
    ("position", "1.5", "is not of type integer"),
    ("occurred_at", "yesterday", "is not of type timestamp"),
    ("occurred_at", "2026-02-10", "is not of type timestamp"),
    ("price", "-0.01", "is below the least allowed, 0"),
    ("price", "nan", "is not a finite number"),
    ("bid", "inf", "is not a finite number"),
    ("price", "1000000", "is above the most allowed, 10"),
    ("propensity", "0", "is below the least allowed"),
    ("propensity", "1.01", "is above the most allowed, 1"),
    ("position", "0", "is below the least allowed, 1"),
    ("user_id", "u-9", "is no user_id of users"),
    ("creative_id", "k-9", "is no creative_id of creatives_library"),
    ("impression_id", "../../etc/passwd", "cannot be an id"),
    ("impression_id", "i" * 129, "cannot be an id"),
    ("arm", "placebo", "is not control or treatment"),
]


@pytest.mark.parametrize(("column", "value", "problem"), BAD_CELLS)
@pytest.mark.parametrize("write", [csv, parquet])
def test_a_bad_cell_is_named_by_file_row_column_value_and_mend(
    landing: Landing, tmp_path: Path, write: Callable[..., Path], column: str, value: str, problem: str
) -> None:
    rows = with_row_7(**{column: value, **({"experiment_id": "e-1"} if column == "arm" else {})})
    if write is parquet:
        good = table("impressions", impressions(10))
        texts = [str(row[column]) if row[column] is not None else None for row in rows]
        path = tmp_path / "bad.file"
        pq.write_table(good.set_column(good.column_names.index(column), column, pa.array(texts)), path)
        if column == "arm":
            pq.write_table(_experiment_in_row_7(good, texts), path)
    else:
        path = csv(tmp_path / "bad.file", "impressions", rows)
    line = refused(landing, "impressions", path)
    assert "bad.file, row 7" in line
    assert f"column {column}" in line
    assert f"{value[:50]}" in line
    assert problem in line


def _experiment_in_row_7(good: pa.Table, arms: list[str | None]) -> pa.Table:
    names = pa.array(["e-1" if arm else None for arm in arms])
    changed = good.set_column(good.column_names.index("experiment_id"), "experiment_id", names)
    return changed.set_column(changed.column_names.index("arm"), "arm", pa.array(arms))


def test_the_line_of_a_csv_is_named_beside_the_row(landing: Landing, tmp_path: Path) -> None:
    line = refused(landing, "impressions", csv(tmp_path / "a.csv", "impressions", with_row_7(price="x")))
    assert "row 7 (line 8)" in line


def test_lines_are_not_named_where_a_cell_spans_two(landing: Landing, tmp_path: Path) -> None:
    rows = with_row_7(price="x")
    rows[0]["placement"] = "feed\ntop"
    line = refused(landing, "impressions", csv(tmp_path / "a.csv", "impressions", rows))
    assert "row 7," in line
    assert "(line" not in line


def test_the_first_bad_row_is_named_when_there_are_several(landing: Landing, tmp_path: Path) -> None:
    rows = impressions(10)
    rows[8]["user_id"] = None
    rows[3]["price"] = "-1"
    assert "row 4" in refused(landing, "impressions", csv(tmp_path / "a.csv", "impressions", rows))


@pytest.mark.parametrize("write", [csv, parquet])
def test_a_missing_value_is_refused_where_the_contract_wants_one(
    landing: Landing, tmp_path: Path, write: Callable[..., Path]
) -> None:
    line = refused(landing, "impressions", write(tmp_path / "a", "impressions", with_row_7(creative_id=None)))
    assert "row 7" in line
    assert "column creative_id: a value is missing" in line


def test_a_timestamp_too_far_ahead_is_refused(landing: Landing, tmp_path: Path) -> None:
    ahead = NOW + timedelta(hours=1, seconds=1)
    line = refused(landing, "impressions", csv(tmp_path / "a.csv", "impressions", with_row_7(occurred_at=ahead)))
    assert "row 7" in line
    assert "more than 1 h ahead" in line
    late = csv(tmp_path / "b.csv", "impressions", with_row_7(occurred_at=NOW + timedelta(hours=1)))
    assert landing.ingest("impressions", late, now=NOW).accepted == 10


def test_a_known_id_with_other_values_is_refused_and_replacing_the_day_is_the_mend(
    landing: Landing, tmp_path: Path
) -> None:
    landing.ingest_table("impressions", table("impressions", impressions(10)), now=NOW)
    path = csv(tmp_path / "a.csv", "impressions", with_row_7(price=0.5))
    line = refused(landing, "impressions", path)
    assert "row 7" in line
    assert "'i-6' is landed on 2026-02-10 with other values" in line
    assert "--replace 2026-02-10" in line
    report = landing.ingest("impressions", path, replace=DAY.date(), now=NOW)
    assert (report.accepted, report.duplicates, report.replaced) == (1, 9, 1)


def test_a_known_id_is_refused_on_another_day_too(landing: Landing, tmp_path: Path) -> None:
    for day in range(4):
        rows = impressions(10, day=day, start=100 * day)
        landing.ingest_table("impressions", table("impressions", rows), now=NOW)
    path = csv(tmp_path / "a.csv", "impressions", [*impressions(6, 5, 900), impression(203, day=5)])
    line = refused(landing, "impressions", path)
    assert "row 7" in line
    assert "'i-203' is landed on 2026-02-12" in line


def test_one_id_with_two_contents_in_a_file_is_refused(landing: Landing, tmp_path: Path) -> None:
    rows = with_row_7(impression_id="i-2")
    line = refused(landing, "impressions", csv(tmp_path / "a.csv", "impressions", rows))
    assert "row 7" in line
    assert "'i-2' is in row 3 with other values" in line


def test_replacing_a_day_refuses_rows_of_another(landing: Landing, tmp_path: Path) -> None:
    rows = [*impressions(6), impression(50, day=1)]
    line = refused(landing, "impressions", csv(tmp_path / "a.csv", "impressions", rows), replace=DAY.date())
    assert "row 7" in line
    assert "is not on 2026-02-10" in line


def test_replacing_a_day_refuses_an_id_of_another_day(landing: Landing, tmp_path: Path) -> None:
    landing.ingest_table("impressions", table("impressions", impressions(5)), now=NOW)
    landing.ingest_table("impressions", table("impressions", impressions(5, day=1, start=10)), now=NOW)
    path = csv(tmp_path / "a.csv", "impressions", [impression(12, day=0)])
    assert "is landed on 2026-02-11" in refused(landing, "impressions", path, replace=DAY.date())


def test_a_snapshot_has_no_day_to_replace(landing: Landing, tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", "users", users())
    assert "no days to replace" in refused(landing, "users", path, replace=date(2026, 2, 10))


def test_an_id_in_use_may_not_vanish_from_a_snapshot(landing: Landing, tmp_path: Path) -> None:
    landing.ingest_table("impressions", table("impressions", impressions(3)), now=NOW)
    line = refused(landing, "users", csv(tmp_path / "a.csv", "users", users("u-2", "u-3")))
    assert "'u-1' is left out but in use by impressions of 2026-02-10" in line
    assert "consent false" in line
    assert landing.ingest("users", csv(tmp_path / "b.csv", "users", users("u-1", "u-4")), now=NOW).replaced == 2


def test_a_product_in_use_may_not_vanish_though_it_is_no_key(landing: Landing, tmp_path: Path) -> None:
    bought = {"conversion_id": "v-1", "user_id": "u-1", "product_id": "p-1", "occurred_at": DAY, "value": 9.5}
    landing.ingest_table("conversions", table("conversions", [bought]), now=NOW)
    renamed = [{**campaigns()[0], "product_id": "p-2"}]
    assert "in use by conversions" in refused(landing, "campaigns", csv(tmp_path / "a.csv", "campaigns", renamed))


def test_a_clicked_impression_may_not_vanish_before_its_click(landing: Landing, tmp_path: Path) -> None:
    landing.ingest_table("impressions", table("impressions", impressions(5)), now=NOW)
    landing.ingest_table("clicks", table("clicks", [click(1), click(3)]), now=NOW)
    path = csv(tmp_path / "a.csv", "impressions", [r for r in impressions(5) if r["impression_id"] != "i-3"])
    line = refused(landing, "impressions", path, replace=DAY.date())
    assert "ingest clicks with --replace 2026-02-10 without it first" in line
    landing.ingest_table("clicks", table("clicks", [click(1)]), replace=DAY.date(), now=NOW)
    assert landing.ingest("impressions", path, replace=DAY.date(), now=NOW).replaced == 1


def test_a_click_of_no_landed_impression_is_refused(landing: Landing, tmp_path: Path) -> None:
    landing.ingest_table("impressions", table("impressions", impressions(6)), now=NOW)
    line = refused(landing, "clicks", csv(tmp_path / "a.csv", "clicks", [click(i) for i in range(7)]))
    assert "row 7" in line
    assert "ingest impressions first" in line


@pytest.mark.parametrize(
    ("name", "rows", "problem"),
    [
        ("campaigns", [{**campaigns()[0], "timezone": "Mars/Olympus"}], "no IANA time zone"),
        ("campaigns", [{**campaigns()[0], "currency": "euro"}], "no ISO 4217 code"),
        ("campaigns", [{**campaigns()[0], "ends_on": date(2026, 1, 1)}], "before starts_on"),
        ("users", [{**users()[0], "audience": "<script>"}], "cannot be an id"),
        ("users", [{**users()[0], "consent": "maybe"}], "is not of type boolean"),
        ("experiments", [{**experiments()[0], "kind": "abc"}], "is not creative_ab or holdout"),
        ("impressions", [impression(1, arm="control")], "give both experiment_id and arm"),
    ],
)
def test_rules_of_single_columns_and_of_two(
    landing: Landing, tmp_path: Path, name: str, rows: list[dict[str, Any]], problem: str
) -> None:
    assert problem in refused(landing, name, csv(tmp_path / "a.csv", name, rows))


def test_a_landed_file_that_is_damaged_is_an_error_and_not_missing_rows(landing: Landing) -> None:
    landing.ingest_table("impressions", table("impressions", impressions(5)), now=NOW)
    path = landing.settings.landing / "impressions" / "2026-02-10.parquet"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(AdPlatformError, match="damaged"):
        landing.read("impressions")
    assert DAY.tzinfo is UTC
