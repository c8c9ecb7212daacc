"""Any valid table lands and reads back as it was; any one bad cell is named by its row and column."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adplatform.contracts.errors import InputError
from adplatform.contracts.tables import TABLES, Column, Kind
from adplatform.store.landing import Landing
from adplatform.store.rows import content_hash
from tests.store.world import NOW, csv, parquet, table

quick = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))

LABEL = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,12}", fullmatch=True)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1, max_size=12)
MOMENT = st.datetimes(datetime(2026, 2, 8), datetime(2026, 2, 12)).map(lambda t: t.replace(tzinfo=UTC))
REFERENCES = {
    "users.user_id": ("u-1", "u-2", "u-3"), "campaigns.campaign_id": ("c-1",), "campaigns.product_id": ("p-1",),
    "creatives_library.creative_id": ("k-1", "k-2"), "experiments.experiment_id": ("e-1",),
}  # fmt: skip
EVENTS = ("impressions", "conversions", "users")


def cell(column: Column) -> st.SearchStrategy[Any]:
    """A valid value of the column."""
    if column.references:
        values: st.SearchStrategy[Any] = st.sampled_from(REFERENCES[column.references])
    elif column.choices:
        values = st.sampled_from(column.choices)
    elif column.kind is Kind.STRING:
        values = LABEL if column.name.endswith("_id") or column.name in ("audience", "age_band") else TEXT
    elif column.kind is Kind.INTEGER:
        values = st.integers(int(column.low or 0), int(column.high or 1000))
    elif column.kind is Kind.NUMBER:
        values = st.floats(column.low, column.high, allow_nan=False, allow_subnormal=False)
    elif column.kind is Kind.BOOLEAN:
        values = st.booleans()
    else:
        values = MOMENT
    return st.none() | values if column.nullable else values


def rows_of(name: str, least: int = 1) -> st.SearchStrategy[list[dict[str, Any]]]:
    spec = TABLES[name]
    row = st.fixed_dictionaries({c.name: cell(c) for c in spec.columns}).map(arm_with_experiment)
    return st.lists(row, min_size=least, max_size=12, unique_by=lambda r: r[spec.key])


def arm_with_experiment(row: dict[str, Any]) -> dict[str, Any]:
    if "arm" in row and (row["arm"] is None or row["experiment_id"] is None):
        row["arm"] = row["experiment_id"] = None
    return row


@pytest.mark.parametrize("name", EVENTS)
@given(data=st.data())
@quick
def test_any_valid_table_reads_back_as_it_was(
    new_home: Callable[[Path], Landing], name: str, data: st.DataObject
) -> None:
    rows = data.draw(rows_of(name))
    spec = TABLES[name]
    with tempfile.TemporaryDirectory() as folder:
        landing = new_home(Path(folder) / "home")
        for write in (csv, parquet):
            report = landing.ingest(name, write(Path(folder) / "file", name, rows), now=NOW)
        assert report.duplicates == len(rows)
        found = landing.read(name).drop_columns(["landed_at"]).to_pylist()
    key = lambda row: row[spec.key]  # noqa: E731
    assert sorted(found, key=key) == sorted(rows, key=key)


def bad_cell(column: Column) -> st.SearchStrategy[str]:
    """Text that the column may not hold."""
    bad = [] if column.nullable else [st.just("")]
    if column.references:
        bad.append(st.just("nobody-1"))
    if column.choices:
        bad.append(st.just("neither"))
    if column.name.endswith("_id") and not column.references:
        bad.append(st.sampled_from(["a b", "-x", "../x", "é", "x" * 129]))
    if column.kind is not Kind.STRING:
        bad.append(st.sampled_from(["word", "1;2", "--", "2026-13-01T00:00:00Z", "0x", "1e999x"]))
    if column.low is not None:
        bad.append(st.floats(max_value=column.low - 1, allow_nan=False).map(lambda v: str(int(max(v, -1e15)) - 1)))
    if column.kind is Kind.TIMESTAMP:
        ahead = st.integers(3601, 10**8).map(lambda s: (NOW + timedelta(seconds=s)).isoformat())
        bad.append(ahead)
    return st.one_of(bad)


@pytest.mark.parametrize("name", EVENTS)
@given(data=st.data())
@quick
def test_any_one_bad_cell_is_named_by_row_and_column(
    new_home: Callable[[Path], Landing], name: str, data: st.DataObject
) -> None:
    rows = data.draw(rows_of(name))
    columns = [c for c in TABLES[name].columns if c.name not in ("region", "device", "placement", "policy_version")]
    column = data.draw(st.sampled_from(columns))
    at = data.draw(st.integers(0, len(rows) - 1))
    rows[at][column.name] = data.draw(bad_cell(column))
    if column.name in ("experiment_id", "arm"):
        rows[at] = {"experiment_id": "e-1", "arm": "control", **{k: v for k, v in rows[at].items() if k == column.name or k not in ("experiment_id", "arm")}}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        landing = new_home(Path(folder) / "home")
        before = landing.version()
        with pytest.raises(InputError) as caught:
            landing.ingest(name, csv(Path(folder) / "file.csv", name, rows), now=NOW)
        assert landing.version() == before
    assert f"file.csv, row {at + 1}" in caught.value.where
    assert caught.value.where.endswith(f"column {column.name}")


@given(rows=rows_of("impressions", least=2), cuts=st.lists(st.integers(0, 12), max_size=4))
@quick
def test_the_content_hash_does_not_depend_on_chunks(rows: list[dict[str, Any]], cuts: list[int]) -> None:
    whole = table("impressions", rows)
    bounds = sorted({0, len(rows), *(c for c in cuts if c <= len(rows))})
    pieces = [whole.slice(a, b - a) for a, b in itertools.pairwise(bounds)]
    assert content_hash(pa.concat_tables(pieces)) == content_hash(whole)
    assert content_hash(whole.slice(1)) != content_hash(whole)
