"""A file is there whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adplatform.contracts.errors import SetupError
from adplatform.store.atomic import disk_errors, parquet_bytes, write_bytes, write_json, write_parquet


def test_a_write_replaces_the_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    write_json(path, {"x": 1})
    write_json(path, {"x": 2})
    assert path.read_text() == '{\n "x": 2\n}\n'
    assert [p.name for p in path.parent.iterdir()] == ["b.json"]


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")

    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(SetupError, match="disk is full while saving"), disk_errors("saving"):
        write_bytes(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_a_short_write_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, bytes(data[:3])))
    write_bytes(tmp_path / "a", b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_not_a_number_has_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize(
    ("code", "said"),
    [(errno.EDQUOT, "disk is full"), (errno.EFBIG, "limit on file sizes"), (errno.EROFS, "no permission")],
)
def test_errors_of_the_disk_say_what_to_do(code: int, said: str) -> None:
    with pytest.raises(SetupError, match=said) as caught, disk_errors("saving"):
        raise OSError(code, os.strerror(code), "file")
    assert caught.value.mend
    with pytest.raises(OSError, match="Interrupted"), disk_errors("saving"):
        raise OSError(errno.EINTR, os.strerror(errno.EINTR))


def test_equal_tables_are_equal_files(tmp_path: Path) -> None:
    whole = pa.table({"n": [1, 2, 3], "s": ["a", None, "c"]})
    pieces = pa.concat_tables([whole.slice(0, 1), whole.slice(1)])
    assert bytes(parquet_bytes(whole)) == bytes(parquet_bytes(pieces))
    write_parquet(tmp_path / "a.parquet", pieces)
    assert pq.read_table(tmp_path / "a.parquet").equals(whole)
