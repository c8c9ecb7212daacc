"""What a file holds, before any rule: CSV as strings, Parquet as it is typed. Errors name the row."""

from __future__ import annotations

import codecs
import csv
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq

from adplatform.contracts.errors import InputError
from adplatform.contracts.tables import Table

CSV_MEND = "write the file again as comma-separated UTF-8 with one header line"


class Source(NamedTuple):
    """A table as it was read, and how to name a place in it."""

    name: str
    table: pa.Table
    lines: bool
    """Whether row ``i`` (from 1) stands on line ``i + 1`` of a text file."""

    def place(self, row: int | None = None, column: str | None = None) -> str:
        """Where something is: file, row (from 1, header not counted) and column."""
        parts = [self.name]
        if row is not None:
            parts.append(f"row {row} (line {row + 1})" if self.lines else f"row {row}")
        if column is not None:
            parts.append(f"column {column}")
        return ", ".join(parts)


def read_source(spec: Table, path: Path) -> Source:
    """Read ``path`` (CSV, or Parquet by its magic bytes). Raises InputError when it is no such file of that table."""
    if not path.is_file():
        raise InputError(str(path), "there is no such file", "give the path of a CSV or Parquet file")
    try:
        with path.open("rb") as handle:
            magic = handle.read(4)
    except PermissionError as error:
        raise InputError(str(path), "the file may not be read", "give it read permission") from error
    if not magic:
        raise InputError(str(path), "the file is empty", f"give a header line and rows for {spec.name}")
    source = _read_parquet(path) if magic == b"PAR1" else _read_csv(spec, path)
    return checked_columns(spec, source)


def checked_columns(spec: Table, source: Source) -> Source:
    """The source with the table's columns in order. Raises InputError on a missing, unknown or doubled column, or no row."""
    names = source.table.column_names
    known = ", ".join(spec.names)
    for name in names:
        if names.count(name) > 1:
            raise InputError(source.place(column=name), f"column {name!r} is there twice", "remove one of them")
        if name not in spec.names:
            raise InputError(
                source.place(column=name), f"unknown column {name!r}", f"remove it; {spec.name} has {known}"
            )
    for column in spec.columns:
        if column.name not in names:
            cells = "; leave its cells empty where unknown" if column.nullable else ""
            raise InputError(
                source.place(column=column.name), f"column {column.name!r} is missing", f"add it ({column.kind}){cells}"
            )
    if source.table.num_rows == 0:
        raise InputError(source.name, "the file has no row", f"give rows for {spec.name}")
    return source._replace(table=source.table.select(list(spec.names)))


def _read_parquet(path: Path) -> Source:
    try:
        with pq.ParquetFile(path) as file:
            return Source(str(path), file.read(), lines=False)
    except (pa.ArrowException, OSError) as error:
        problem = f"the file is not readable as Parquet ({_first_line(error)})"
        raise InputError(str(path), problem, "write it again; it may have been cut off") from error


def _read_csv(spec: Table, path: Path) -> Source:
    convert = pc_csv.ConvertOptions(
        column_types={name: pa.string() for name in spec.names}, strings_can_be_null=True, null_values=[""]
    )
    # No invalid_row_handler: a reader thread that lets go of a Python callable while the interpreter ends aborts it.
    parse = pc_csv.ParseOptions(newlines_in_values=True)
    read = pc_csv.ReadOptions(block_size=8 << 20)
    try:
        table = pc_csv.read_csv(path, read_options=read, parse_options=parse, convert_options=convert)
    except pa.ArrowException as error:
        _refuse_encoding(path)
        _refuse_width(spec, path)
        raise InputError(str(path), f"the file is not readable as CSV ({_first_line(error)})", CSV_MEND) from error
    return Source(str(path), table, lines=_line_count(path) == table.num_rows + 1)


def _refuse_encoding(path: Path) -> None:
    """Raise InputError at the first byte that is not UTF-8, if there is one."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    with path.open("rb") as handle:
        while True:
            block = handle.read(1 << 20)
            try:
                line += decoder.decode(block, final=not block).count("\n")
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                where = f"{path}, line {line}"
                byte = error.object[error.start]
                raise InputError(
                    where, f"the file is not UTF-8 (byte 0x{byte:02x})", "save it again as UTF-8"
                ) from None
            if not block:
                return


def _refuse_width(spec: Table, path: Path) -> None:
    """Raise InputError at the first row that has not as many cells as the header, if there is one."""
    with path.open(encoding="utf-8", newline="") as handle:
        reader = csv.reader(handle)
        header = next(reader, [])
        for number, cells in enumerate(reader, start=1):
            if cells and len(cells) != len(header):
                where = f"{path}, row {number} (line {reader.line_num})"
                problem = f"{len(cells)} cells where the header has {len(header)}: {','.join(cells)[:60]!r}"
                raise InputError(
                    where, problem, f"give one cell for each column of {spec.name}; quote values that hold commas"
                )


def _line_count(path: Path) -> int:
    count, last = 0, b"\n"
    with path.open("rb") as handle:
        while block := handle.read(1 << 22):
            count += block.count(b"\n")
            last = block[-1:]
    return count + (last != b"\n")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or ["unknown error"])[0][:120]
