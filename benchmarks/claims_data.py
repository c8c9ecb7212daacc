"""Claims about the data of a home: features know nothing of the future, and no mart knows who withheld consent."""

from __future__ import annotations

import shutil
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from adplatform.contracts.claims import Claim
from adplatform.contracts.errors import SetupError
from adplatform.contracts.tables import TABLES
from adplatform.settings import Settings
from adplatform.store.lock import store_lock
from benchmarks.dbt_build import dbt

_AS_OF = "select * from {db}.main.user_features where feature_day = date '{day}'"
_EXPOSURES = "select * from {db}.main.user_creative_exposures where feature_day = date '{day}'"
_LEAKY = """
    select user_id, count(*) as impressions_7d, sum(clicked) as clicks_7d
    from {db}.main.fct_impressions
    where user_id is not null and event_day <= date '{day}' and event_day > date '{day}' - 7
    group by user_id
"""


def cut_landing(landing: Path, into: Path, before: date) -> None:
    """Link a landing zone into ``into`` without any event of ``before`` or later. Snapshots stay whole."""
    for table in TABLES.values():
        for file in sorted((landing / table.name).glob("*.parquet")):
            if table.daily and file.stem >= before.isoformat():
                continue
            (into / table.name).mkdir(parents=True, exist_ok=True)
            (into / table.name / file.name).symlink_to(file.resolve())


def _differences(connection: Any, query: str, day: date) -> int:
    """Rows of ``query`` that are in one of the two warehouses only."""
    known, cut = (query.format(db=db, day=day) for db in ("known", "cut"))
    count = connection.execute(
        f"select count(*) from (({known} except all {cut}) union all ({cut} except all {known}))"
    ).fetchone()
    return int(count[0])


def _attach(connection: Any, path: Path, name: str) -> None:
    quoted = str(path).replace("'", "''")
    connection.execute(f"attach '{quoted}' as {name} (read_only)")


def _cut_days(settings: Settings, cuts: int) -> list[date]:
    """Days spread over the data: the features as of their beginning exist in both warehouses."""
    days = sorted(date.fromisoformat(f.stem) for f in (settings.landing / "impressions").glob("*.parquet"))
    if len(days) < 3 or not settings.warehouse.exists():
        raise SetupError(f"{settings.home} has no warehouse over three days", "run adplatform demo first")
    steps = [round((k + 1) * (len(days) - 1) / cuts) for k in range(cuts)]
    return sorted({days[s] for s in steps})


def leak(settings: Settings, cuts: int = 2) -> Claim:
    """Features as of a day are the same when nothing from that day on has happened.

    For each of ``cuts`` days T the landing zone is linked without the events of T and later, built elsewhere, and every
    row of user_features and user_creative_exposures as of T compared. ``figure``: rows that differ; ``n``: rows
    compared. The twin counts the day itself, as a build without the as-of condition would: it must find differences.
    """
    different, compared, leaky = 0, 0, 0
    days = _cut_days(settings, cuts)
    with tempfile.TemporaryDirectory(prefix="adplatform-leak-") as name:
        scratch = Path(name)
        warehouse, landing = scratch / "warehouse.duckdb", scratch / "landing"
        for day in days:
            shutil.rmtree(landing, ignore_errors=True)
            warehouse.unlink(missing_ok=True)
            cut_landing(settings.landing, landing, day)
            dbt(
                "run", "--quiet", "--select", "+user_features", "+user_creative_exposures",
                landing=landing, warehouse=warehouse, scratch=scratch,
                attribution_days=settings.attribution_days, threads=settings.dbt_threads,
            )  # fmt: skip
            with store_lock(settings), duckdb.connect() as connection:
                _attach(connection, settings.warehouse, "known")
                _attach(connection, warehouse, "cut")
                for query in (_AS_OF, _EXPOSURES):
                    different += _differences(connection, query, day)
                    rows = connection.execute(f"select count(*) from ({query.format(db='known', day=day)})").fetchone()
                    compared += int(rows[0])
                leaky += _differences(connection, _LEAKY, day)
    return Claim(
        name="leak",
        claim="features as of a day are the same when every event from that day on is removed",
        figure=float(different), holds=(different == 0 and leaky > 0) if compared else None, n=compared,
        detail={"cut_days": [d.isoformat() for d in days], "twin_leaky_rows_that_differ": leaky},
    )  # fmt: skip


def _text_columns(connection: Any) -> list[tuple[str, str]]:
    """Every text column of every table. Views over the landing zone hold nothing and are left out."""
    found: list[tuple[str, str]] = connection.execute("""
        select tables.table_name, columns.column_name
        from duckdb_tables() as tables
        inner join duckdb_columns() as columns using (database_name, schema_name, table_name)
        where columns.data_type = 'VARCHAR' and tables.database_name = 'warehouse'
        order by all
    """).fetchall()
    return found


def consent(settings: Settings) -> Claim:
    """No table of the warehouse holds the id of a user who has not consented.

    ``figure``: occurrences of their ids in any text column of any table; ``n``: such users. The twin is the raw
    landing zone, which does hold events of theirs: a search that finds nothing anywhere would prove nothing.
    """
    if not settings.warehouse.exists():
        raise SetupError(f"{settings.warehouse} is missing", "run adplatform demo first")
    landing = str(settings.landing).replace("'", "''")
    with store_lock(settings), duckdb.connect() as connection:
        _attach(connection, settings.warehouse, "warehouse")
        connection.execute(f"""
            create temp table withheld as
            select user_id from read_parquet('{landing}/users/current.parquet') where not coalesce(consent, false)
        """)

        def occurrences(relation: str, column: str) -> int:
            found = connection.execute(
                f'select count(*) from {relation} where "{column}" in (from withheld)'
            ).fetchone()
            return int(found[0])

        columns = _text_columns(connection)
        where = {f"{t}.{c}": n for t, c in columns if (n := occurrences(f'warehouse.main."{t}"', c))}
        raw = occurrences(f"read_parquet('{landing}/impressions/????-??-??.parquet')", "user_id")
        users = int(connection.execute("select count(*) from withheld").fetchone()[0])
    total = sum(where.values())
    return Claim(
        name="consent",
        claim="no table of the warehouse holds the id of a user without consent",
        figure=float(total), holds=(total == 0) if users and raw else None, n=users,
        detail={"columns_searched": len(columns), "found_in": where, "twin_events_in_landing": raw},
    )  # fmt: skip
