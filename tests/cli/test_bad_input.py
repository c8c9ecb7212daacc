"""Must show: each bad input is one clear line and exit code 2, and nothing half-written stays."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from tests.homes import adplatform

HEADER = "impression_id,user_id,campaign_id,creative_id,occurred_at,placement,position,policy_version,propensity,experiment_id,arm,bid,price"


def digest(home: Path) -> str:
    """Hash of every landed byte, so that 'nothing half-written' can be told."""
    found = hashlib.sha256()
    for path in sorted((home / "landing").rglob("*")):
        if path.is_file():
            found.update(path.relative_to(home).as_posix().encode() + path.read_bytes())
    return found.hexdigest()


def row(home: Path, n: int, **changed: str) -> str:
    """An impression that refers to what is landed."""
    import pyarrow.parquet as pq

    first = pq.read_table(next((home / "landing" / "impressions").glob("*.parquet"))).slice(0, 1).to_pylist()[0]
    values = {
        "impression_id": f"new{n}", "user_id": first["user_id"], "campaign_id": first["campaign_id"],
        "creative_id": first["creative_id"], "occurred_at": "2026-11-20T10:00:00Z", "placement": "feed", "position": "1",
        "policy_version": "p1", "propensity": "0.5", "experiment_id": "", "arm": "", "bid": "0.01", "price": "0.005",
    } | changed  # fmt: skip
    return ",".join(values[c] for c in HEADER.split(","))


def refused(home: Path, arguments: list[str], *words: str) -> None:
    """The command ends with 2 and one line that has all the words, and lands nothing."""
    before = digest(home)
    ran = adplatform(home, *arguments)
    assert ran.code == 2, (ran.out, ran.err)
    assert len(ran.error.splitlines()) == 1, ran.err
    for word in words:
        assert word in ran.error
    assert digest(home) == before


def test_a_csv_without_a_column_is_refused(demo_home: Path, tmp_path: Path) -> None:
    path = tmp_path / "short.csv"
    path.write_text(HEADER.replace(",price", "") + "\n" + row(demo_home, 1).rsplit(",", 1)[0] + "\n")
    refused(demo_home, ["ingest", "impressions", str(path)], "short.csv", "price")


def test_a_wrong_type_names_its_row_and_column(demo_home: Path, tmp_path: Path) -> None:
    rows = [row(demo_home, n) for n in range(1, 9)]
    rows[6] = row(demo_home, 7, position="third")
    path = tmp_path / "typed.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    refused(demo_home, ["ingest", "impressions", str(path)], "typed.csv", "row 7", "position", "third")


def test_a_negative_price_is_refused(demo_home: Path, tmp_path: Path) -> None:
    path = tmp_path / "price.csv"
    path.write_text(f"{HEADER}\n{row(demo_home, 1, price='-0.01')}\n")
    refused(demo_home, ["ingest", "impressions", str(path)], "row 1", "price", "-0.01")


def test_a_known_id_with_other_bytes_is_refused(demo_home: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    known = (
        pq.read_table(sorted((demo_home / "landing" / "impressions").glob("*.parquet"))[-1]).slice(0, 1).to_pylist()[0]
    )
    path = tmp_path / "again.csv"
    path.write_text(f"{HEADER}\n{row(demo_home, 1, impression_id=known['impression_id'], price='0.00912')}\n")
    refused(demo_home, ["ingest", "impressions", str(path)], known["impression_id"], "--replace")


def test_a_timestamp_more_than_an_hour_ahead_is_refused(demo_home: Path, tmp_path: Path) -> None:
    ahead = (datetime.now(UTC) + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    path = tmp_path / "ahead.csv"
    path.write_text(f"{HEADER}\n{row(demo_home, 1, occurred_at=ahead)}\n")
    refused(demo_home, ["ingest", "impressions", str(path)], "row 1", "occurred_at")


def test_an_empty_file_is_refused(demo_home: Path, tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.write_text("")
    refused(demo_home, ["ingest", "impressions", str(path)], "empty.csv", "empty")


def test_a_file_that_is_not_utf8_is_refused(demo_home: Path, tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes(f"{HEADER}\n{row(demo_home, 1, placement='caf')}\n".encode().replace(b"caf", b"caf\xe9"))
    refused(demo_home, ["ingest", "impressions", str(path)], "latin.csv", "UTF-8")


def brief(demo_home: Path) -> dict:
    return yaml.safe_load(sorted((demo_home / "briefs").glob("*.yaml"))[0].read_text())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"product": None}, ["product"]),
        ({"budget": "0"}, ["budget"]),
        ({"flight": {"starts_on": "2026-12-14", "ends_on": "2026-12-01"}}, ["flight", "before"]),
        ({"audience": {"segments": ["astronauts|18-29"]}}, ["astronauts|18-29"]),
    ],
    ids=["no product", "budget 0", "flight dates reversed", "unknown segment"],
)
def test_a_wrong_brief_names_its_field(demo_home: Path, tmp_path: Path, change: dict, words: list[str]) -> None:
    wrong = {**brief(demo_home), **change}
    path = tmp_path / "brief.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in wrong.items() if v is not None}))
    refused(demo_home, ["plan", str(path)], *words)


def test_a_sentence_without_a_budget_is_asked_for_it(demo_home: Path) -> None:
    refused(demo_home, ["plan", "Sell our trail running shoes to runners from 1 to 14 December 2026"], "budget")
