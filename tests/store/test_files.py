"""A file that is no table, or not this one, lands nothing; the line says which file, which line and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from adplatform.store.landing import Landing
from tests.store.world import NOW, csv, impressions, parquet, refused


def test_a_missing_column_is_refused(landing: Landing, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("click_id,occurred_at\nk-1,2026-02-10T00:00:00Z\n")
    assert "column 'impression_id' is missing; add it (string)" in refused(landing, "clicks", path)


def test_an_unknown_column_is_refused(landing: Landing, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("click_id,impression_id,occurred_at,ip\nk-1,i-1,2026-02-10T00:00:00Z,::1\n")
    assert "unknown column 'ip'" in refused(landing, "clicks", path)


def test_a_doubled_column_is_refused(landing: Landing, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("click_id,impression_id,occurred_at,click_id\nk-1,i-1,2026-02-10T00:00:00Z,k-2\n")
    assert "there twice" in refused(landing, "clicks", path)


@pytest.mark.parametrize("content", [b"", b"click_id,impression_id,occurred_at\n", b"\n\n"])
def test_an_empty_file_is_refused(landing: Landing, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert "a.csv" in refused(landing, "clicks", path)


def test_an_empty_parquet_file_is_refused(landing: Landing, tmp_path: Path) -> None:
    assert "no row" in refused(landing, "impressions", parquet(tmp_path / "a.parquet", "impressions", []))


@pytest.mark.parametrize("text", ["Schöne Schuhe", "naïve"])
def test_a_file_that_is_not_utf_8_is_refused_with_its_line(landing: Landing, tmp_path: Path, text: str) -> None:
    rows = impressions(10)
    rows[6]["placement"] = text
    path = csv(tmp_path / "a.csv", "impressions", rows)
    path.write_bytes(path.read_text().encode("latin-1"))
    line = refused(landing, "impressions", path)
    assert "line 8: the file is not UTF-8" in line


def test_a_file_in_utf_16_is_refused(landing: Landing, tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", "impressions", impressions(3))
    path.write_bytes(path.read_text().encode("utf-16"))
    assert "not UTF-8" in refused(landing, "impressions", path)


def test_a_byte_order_mark_is_no_part_of_the_header(landing: Landing, tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", "impressions", impressions(3))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert landing.ingest("impressions", path, now=NOW).accepted == 3


def test_a_row_with_a_cell_too_few_is_named(landing: Landing, tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", "impressions", impressions(10))
    lines = path.read_text().splitlines()
    lines[7] = lines[7].rpartition(",")[0]
    path.write_text("\n".join(lines))
    line = refused(landing, "impressions", path)
    assert "row 7 (line 8)" in line
    assert "12 cells where the header has 13" in line


def test_a_parquet_file_that_was_cut_off_is_refused(landing: Landing, tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", "impressions", impressions(10))
    path.write_bytes(path.read_bytes()[:-20])
    assert "not readable as Parquet" in refused(landing, "impressions", path)


def test_a_file_that_is_not_there_is_refused(landing: Landing, tmp_path: Path) -> None:
    assert "no such file" in refused(landing, "impressions", tmp_path / "none.csv")
    assert "no such file" in refused(landing, "impressions", tmp_path)


def test_an_unknown_table_is_refused_with_the_known_ones(landing: Landing, tmp_path: Path) -> None:
    line = refused(landing, "orders", csv(tmp_path / "a.csv", "clicks", []))
    assert "users, campaigns" in line
