"""The warehouse is held shortly, by one at a time; it says what it was built from."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import date
from pathlib import Path

import duckdb
import pytest

from adplatform.contracts.errors import SetupError
from adplatform.settings import Settings
from adplatform.store.landing import Landing
from adplatform.store.warehouse import Warehouse
from tests.store.world import NOW, impressions, table


@pytest.fixture
def warehouse(landing: Landing) -> Warehouse:
    return Warehouse(landing.settings)


def test_what_is_written_is_read_with_parameters(warehouse: Warehouse) -> None:
    with warehouse.write() as connection:
        connection.execute("create table t as select range as n from range(5)")
    assert warehouse.read("select n from t where n >= ? order by n", [3])["n"].to_pylist() == [3, 4]
    assert warehouse.read("select count(*) as c from t where n < $most", {"most": 2})["c"].to_pylist() == [2]


def test_reading_before_the_first_build_names_the_mend(warehouse: Warehouse) -> None:
    for ask in (lambda: warehouse.read("select 1"), warehouse.data_version, warehouse.data_through):
        with pytest.raises(SetupError, match="is not built yet; run adplatform demo"):
            ask()
    with warehouse.write() as connection:
        connection.execute("create table t as select 1 as n")
    with pytest.raises(SetupError, match="is not built yet"):
        warehouse.data_version()


def test_no_connection_stays_open(warehouse: Warehouse) -> None:
    # dbt runs in a process of its own and must be able to lock the file after any read or write.
    with warehouse.write() as connection:
        connection.execute("create table t as select 1 as n")
    warehouse.read("select * from t")
    with pytest.raises(duckdb.Error):
        warehouse.read("select * from nowhere")
    with pytest.raises(ZeroDivisionError), warehouse.write():
        raise ZeroDivisionError
    code = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute('insert into t values (2)')"
    subprocess.run([sys.executable, "-c", code, str(warehouse.settings.warehouse)], check=True)
    assert warehouse.read("select sum(n)::int as s from t")["s"].to_pylist() == [3]


def test_a_reader_within_a_write_sees_it(warehouse: Warehouse) -> None:
    with warehouse.write() as connection:
        connection.execute("create table t as select 1 as n")
        assert warehouse.read("select n from t")["n"].to_pylist() == [1]


def test_readers_wait_their_turn(warehouse: Warehouse) -> None:
    with warehouse.write() as connection:
        connection.execute("create table t as select 1 as n")
    found: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: found.append(warehouse.read("select n from t")["n"].to_pylist()))
        for _ in range(4)
    ]
    with warehouse.write() as connection:
        for thread in threads:
            thread.start()
        connection.execute("insert into t values (2)")
    for thread in threads:
        thread.join()
    assert found == [[1, 2]] * 4


def test_a_program_that_is_not_ours_and_holds_the_file_is_named_as_the_cause(landing: Landing) -> None:
    warehouse = Warehouse(Settings(home=landing.settings.home, lock_seconds=0.3))
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.readline()"
    command = [sys.executable, "-c", code, str(warehouse.settings.warehouse)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(SetupError, match="another program holds"):
        warehouse.read("select 1")
    holder.communicate("\n")
    assert warehouse.read("select 1 as n")["n"].to_pylist() == [1]


def test_a_file_that_is_no_warehouse_is_a_setup_error(warehouse: Warehouse) -> None:
    warehouse.settings.warehouse.write_bytes(b"x" * 5000)
    with pytest.raises(SetupError, match="does not open"):
        warehouse.read("select 1")


def test_a_build_records_what_it_was_built_from(landing: Landing, warehouse: Warehouse) -> None:
    with warehouse.lock():
        empty = warehouse.record_build()
    assert warehouse.data_through() is None
    for day in range(2):
        landing.ingest_table("impressions", table("impressions", impressions(3, day, 10 * day)), now=NOW)
    assert warehouse.data_version() == empty, "what is landed since is not in the marts"
    built = warehouse.record_build()
    assert built == warehouse.data_version() != empty
    assert warehouse.data_through() == date(2026, 2, 11)
    assert warehouse.record_build() == built
    assert warehouse.record_build(code="another model") != built
    landing.ingest_table("impressions", table("impressions", impressions(1, 0, 50)), now=NOW)
    assert warehouse.record_build() != built


def test_the_data_version_is_the_data_and_not_the_place_or_time(landing: Landing, tmp_path: Path) -> None:
    rows = impressions(6)
    landing.ingest_table("impressions", table("impressions", rows), now=NOW)
    other = Landing(Settings(home=tmp_path / "other"))
    for name in ("users", "campaigns", "creatives_library", "experiments"):
        other.ingest_table(name, landing.read(name).drop_columns(["landed_at"]))
    for part in (rows[4:], rows[:4]):
        other.ingest_table("impressions", table("impressions", part))
    assert Warehouse(landing.settings).record_build() == Warehouse(other.settings).record_build()
