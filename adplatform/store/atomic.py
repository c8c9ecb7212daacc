"""Files that are there whole or not at all: written beside, synced, then renamed."""

from __future__ import annotations

import errno
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from adplatform.contracts.errors import SetupError

ROW_GROUP = 122_880
"""Rows of a Parquet row group; DuckDB's own, so that its threads each take whole groups."""


@contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """Turn a full disk, a spent quota or a file-size limit into a SetupError that says so. ``doing`` names the work."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SetupError(
                f"disk is full while {doing}", "free some space and run it again; nothing was kept"
            ) from error
        if error.errno == errno.EFBIG:
            mend = "raise it (ulimit -f) and run it again; nothing was kept"
            raise SetupError(f"the limit on file sizes was reached while {doing}", mend) from error
        if error.errno in (errno.EACCES, errno.EROFS):
            mend = "make ADPLATFORM_HOME writable, or point it elsewhere"
            raise SetupError(f"no permission to write {error.filename} while {doing}", mend) from error
        raise


def sync_directory(directory: Path) -> None:
    """Make the names in ``directory`` durable."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_new(path: Path, data: bytes | memoryview, mode: int = 0o666) -> None:
    """Write and sync a file at ``path``; on any error what was written is removed again."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        view = memoryview(data)
        while len(view):
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes | memoryview, mode: int = 0o666) -> None:
    """Replace ``path`` by ``data`` at one stroke: a reader sees the old bytes or the new, also after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.parent / f".{path.name}.{uuid.uuid4().hex[:12]}.tmp"
    write_new(beside, data, mode)
    try:
        os.replace(beside, path)
    except OSError:
        with suppress(OSError):
            os.unlink(beside)
        raise
    sync_directory(path.parent)


def write_json(path: Path, content: Any) -> None:
    """Replace ``path`` by ``content`` as JSON. Raises ValueError on NaN, which JSON has no word for."""
    write_bytes(path, (json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())


def parquet_bytes(table: pa.Table, dictionary: list[str] | bool = True) -> memoryview:
    """``table`` as one Parquet file in memory; ``dictionary``: columns to encode so. Equal tables give equal bytes."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.combine_chunks(),
        sink,
        compression="zstd",
        compression_level=1,
        row_group_size=ROW_GROUP,
        use_dictionary=dictionary,
    )
    return memoryview(sink.getvalue())


def write_parquet(path: Path, table: pa.Table) -> None:
    """Replace ``path`` by ``table`` as Parquet at one stroke."""
    write_bytes(path, parquet_bytes(table))
