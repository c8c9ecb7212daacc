"""Taking one person out of the landing zone and out of delivered files: whole files replaced, all or none of a step."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from adplatform.contracts.tables import (
    ASSIGNMENTS,
    CLICKS,
    CONVERSIONS,
    DECISION_LOG,
    IMPRESSIONS,
    USERS,
    Table,
)
from adplatform.settings import Settings
from adplatform.store import journal
from adplatform.store.atomic import disk_errors, write_bytes
from adplatform.store.lock import store_lock
from adplatform.store.zone import Zone, file_bytes

ORDER: Final = (CLICKS, DECISION_LOG, CONVERSIONS, IMPRESSIONS, ASSIGNMENTS, USERS)
"""A row leaves before the one that it names: what a kill leaves is whole, and the rest is found by its user again."""


def erase_landed(settings: Settings, user_id: str) -> dict[str, int]:
    """Remove the person's rows from every landed file; rows removed by table. Raises SetupError on a full disk.

    Each table changes as a whole. A day that loses its last row is a day of which nothing is landed.
    """
    zone, removed = Zone(settings.landing), {}
    with disk_errors("removing a person from the landing zone"), store_lock(settings):
        impressions = _impressions(zone, user_id)
        for spec in ORDER:
            files: dict[str, memoryview | None] = {}
            removed[spec.name] = 0
            for part in zone.parts(spec):
                rows = zone.read(spec, part)
                theirs = _theirs(spec, rows, user_id, impressions)
                if pc.any(theirs).as_py():
                    kept = rows.filter(pc.invert(theirs))
                    gone = part is not None and kept.num_rows == 0
                    files[zone.name(spec, part)] = None if gone else file_bytes(spec, kept)
                    removed[spec.name] += rows.num_rows - kept.num_rows
            if files:
                journal.commit(zone.root, files)
    return removed


def erase_delivered(inbox: Path, user_id: str, impressions: pa.Array) -> int:
    """Remove the person's rows from the files in the inbox, which would land again; how many rows."""
    removed = 0
    for spec, path in _delivered(inbox):
        with disk_errors(f"writing {path}"):
            rewrite = _csv_without if path.suffix == ".csv" else _parquet_without
            removed += rewrite(spec, path, user_id, impressions)
    return removed


def their_impressions(settings: Settings, user_id: str) -> pa.Array:
    """Ids of the person's impressions, landed or delivered: clicks name them alone."""
    zone = Zone(settings.landing)
    found = [_impressions(zone, user_id)]
    for spec, path in _delivered(settings.home / "inbox"):
        if spec is IMPRESSIONS and path.suffix == ".parquet":
            rows = pq.read_table(path, columns=[spec.key, "user_id"])
            found.append(_as_text(rows[spec.key]).filter(pc.equal(_as_text(rows["user_id"]), user_id)).combine_chunks())
        elif spec is IMPRESSIONS:
            with path.open(newline="", encoding="utf-8-sig") as handle:
                ids = [r[spec.key] for r in csv.DictReader(handle) if r.get("user_id") == user_id]
            found.append(pa.array(ids, pa.string()))
    return pa.concat_arrays(found)


def _delivered(inbox: Path) -> Iterator[tuple[Table, Path]]:
    for spec in ORDER:
        for path in sorted([*inbox.glob(f"{spec.name}.*"), *inbox.glob(f"{spec.name}/*")]):
            if path.suffix in (".csv", ".parquet"):
                yield spec, path


def _impressions(zone: Zone, user_id: str) -> pa.Array:
    parts: list[date | None] = list(zone.parts(IMPRESSIONS))
    found = [zone.read(IMPRESSIONS, day, ["impression_id", "user_id"]) for day in parts]
    ids = [t["impression_id"].filter(pc.equal(t["user_id"], user_id)).combine_chunks() for t in found]
    return pa.concat_arrays([pa.array([], pa.string()), *ids])


def _theirs(spec: Table, rows: pa.Table, user_id: str, impressions: pa.Array) -> pa.ChunkedArray:
    """Which rows are the person's, by ``user_id`` or by the impression that they name. Shape (rows,)."""
    if spec is CLICKS:
        return pc.is_in(_as_text(rows["impression_id"]), value_set=impressions)
    return pc.fill_null(pc.equal(_as_text(rows["user_id"]), user_id), False)


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.cast(column, pa.string())


def _parquet_without(spec: Table, path: Path, user_id: str, impressions: pa.Array) -> int:
    column = "impression_id" if spec is CLICKS else "user_id"
    if column not in pq.read_schema(path).names:
        return 0
    rows = pq.ParquetFile(path).read()  # not read_table, which would take folder names for columns
    theirs = _theirs(spec, rows, user_id, impressions)
    gone = int(pc.sum(theirs).as_py() or 0)
    if gone:
        sink = pa.BufferOutputStream()
        pq.write_table(rows.filter(pc.invert(theirs)), sink, compression="zstd")
        write_bytes(path, memoryview(sink.getvalue()))
    return gone


def _csv_without(spec: Table, path: Path, user_id: str, impressions: pa.Array) -> int:
    theirs = set(impressions.to_pylist()) if spec is CLICKS else {user_id}
    column = "impression_id" if spec is CLICKS else "user_id"
    with path.open(newline="", encoding="utf-8-sig") as handle:
        rows = list(csv.reader(handle))
    if not rows or column not in rows[0]:
        return 0
    at = rows[0].index(column)
    kept = [row for row in rows if len(row) <= at or row[at] not in theirs]
    if len(kept) < len(rows):
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(kept)
        write_bytes(path, text.getvalue().encode())
    return len(rows) - len(kept)


def theirs_in_csv(path: Path, user_id: str) -> int:
    """Rows of a delivered CSV file that name the person in ``user_id``."""
    with path.open(newline="", encoding="utf-8-sig") as handle:
        return sum(row.get("user_id") == user_id for row in csv.DictReader(handle))
