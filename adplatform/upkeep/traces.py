"""Where a person is still to be found under the home: each place is read as what it is, not as bytes alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from adplatform.state import State
from adplatform.store.landed_erase import theirs_in_csv
from adplatform.store.text_erase import is_sqlite, mentions
from adplatform.store.tokens import names

FACTORS: Final = "interaction_factors"


def traces(state: State, user_id: str) -> dict[str, int]:
    """File (relative to the home) -> in how many rows or places the person is in it."""
    found: dict[str, int] = {}
    for path in files(state.settings.home):
        n = _in_file(state, path, user_id)
        if n:
            found[path.relative_to(state.settings.home).as_posix()] = n
    return found


def files(home: Path) -> Iterator[Path]:
    """Every file under the home but locks and SQLite's own journals."""
    for path in sorted(home.rglob("*")):
        if path.is_file() and not path.name.endswith(("-wal", "-shm", "-journal", ".lock")):
            yield path


def _in_file(state: State, path: Path, user_id: str) -> int:
    if path == state.settings.warehouse:
        return in_warehouse(state, user_id)
    if path.suffix == ".parquet" and state.settings.snapshots in path.parents:
        return 0  # its user_id is a number that stands for nobody (inputs.TargetingInputs)
    if path.suffix == ".parquet":
        return _in_parquet(path, user_id)
    if path.suffix == ".csv" and state.settings.home / "inbox" in path.parents:
        return theirs_in_csv(path, user_id)
    if is_sqlite(path):
        return mentions(path, user_id)
    if path.name == "ids.json" and FACTORS in path.parts:
        return int(user_id in json.loads(path.read_bytes())["users"])
    return int(names(path.read_bytes(), user_id))


def _in_parquet(path: Path, user_id: str) -> int:
    with pq.ParquetFile(path) as file:
        if "user_id" not in file.schema_arrow.names:
            return 0
        column = file.read(columns=["user_id"])["user_id"]
    return int(pc.sum(pc.equal(pc.cast(column, pa.string()), user_id)).as_py() or 0)


def in_warehouse(state: State, user_id: str) -> int:
    """Rows of tables of the warehouse that are the person's."""
    tables = state.warehouse.read(
        "select c.table_name from information_schema.columns c join information_schema.tables t using (table_name) "
        "where c.column_name = 'user_id' and t.table_type = 'BASE TABLE'"
    )["table_name"].to_pylist()
    return sum(
        int(state.warehouse.read(f'select count(*) as n from "{t}" where user_id = ?', [user_id])["n"][0].as_py())
        for t in tables
    )
