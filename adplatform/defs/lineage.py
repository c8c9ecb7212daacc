"""Which columns each column of a dbt model is made from, read from the compiled SQL.

dagster-dbt's own fetch_column_metadata keeps a connection open in this process, and the next dbt can't lock the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import dagster as dg

LANDED: Final = re.compile(r"read_parquet\('[^']*/(\w+)/[^'/]+'\)")
"""A staging model reads files: the folder is the landing table's name."""
Deps = dict[str, set[tuple[str, str]]]


def column_lineage(
    manifest: Mapping[str, Any], target: Path, columns: Mapping[str, Mapping[str, str]]
) -> dict[str, dg.TableColumnLineage]:
    """Lineage of every model by its name. ``columns``: type by column by table, as the warehouse has them."""
    schema = {table: dict(types) for table, types in columns.items()}
    for source in manifest["sources"].values():
        schema[source["name"]] = {name: column["data_type"] for name, column in source["columns"].items()}
    found = {}
    for node in manifest["nodes"].values():
        path = target / "compiled" / node["package_name"] / node["original_file_path"]
        if node["resource_type"] == "model" and path.exists():
            found[node["name"]] = _lineage(dependencies(path.read_text(), schema))
    return found


def dependencies(sql: str, schema: dict[str, dict[str, str]]) -> Deps:
    """(table, column) pairs behind each column that ``sql`` selects."""
    from sqlglot import exp, parse_one
    from sqlglot.lineage import lineage
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.optimizer.scope import build_scope

    query = parse_one(LANDED.sub(r"\1", sql), dialect="duckdb")
    for table in query.find_all(exp.Table):
        table.set("db", None)
        table.set("catalog", None)
    known: dict[str, object] = dict(schema)
    whole = qualify(query, schema=known, dialect="duckdb", validate_qualify_columns=False, identify=False)
    scope = build_scope(whole)
    found: Deps = {}
    assert isinstance(whole, exp.Query)
    for column in whole.named_selects:
        node = lineage(column, whole, schema=known, scope=scope, dialect="duckdb")
        found[column] = {
            (part.source.name, part.name.rsplit(".", 1)[-1])
            for part in node.walk()
            if isinstance(part.source, exp.Table)
        }
    return found


def _lineage(deps: Deps) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(dg.AssetKey(table), name) for table, name in sorted(sources)]
            for column, sources in deps.items()
        }
    )
