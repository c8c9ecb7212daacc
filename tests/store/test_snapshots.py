from __future__ import annotations

import json
from pathlib import Path

import pytest

from adplatform.contracts.errors import AdPlatformError, InputError
from adplatform.store.snapshots import Snapshots


def writes(text: str) -> object:
    return lambda folder: (folder / "data.txt").write_text(text)


def test_the_pointer_names_what_was_published_last_and_equal_content_has_one_version(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path / "s")
    assert (snapshots.current(), snapshots.mark()) == (None, None)
    first, second, again = (snapshots.publish(writes(t), keep=5) for t in ("a", "b", "a"))
    assert first.version == again.version != second.version
    assert snapshots.current() == again
    assert (snapshots.path(again.version) / "data.txt").read_text() == "a"
    assert snapshots.versions() == [first.version, second.version]


def test_a_publication_changes_the_mark_even_where_the_content_is_the_same(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    marks = []
    for text in ("a", "a", "b"):
        snapshots.publish(writes(text), keep=5)
        marks.append(snapshots.mark())
        assert snapshots.mark() == marks[-1]
    assert len(set(marks)) == 3


def test_the_last_versions_are_kept_and_older_ones_removed(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    versions = [snapshots.publish(writes(text), keep=3).version for text in "abcde"]
    assert snapshots.versions() == versions[:1:-1]
    snapshots.prune(keep=1)
    assert snapshots.versions() == versions[-1:]


def test_a_write_that_fails_leaves_the_one_that_serves_and_nothing_beside_it(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    held = snapshots.publish(writes("a"), keep=3)

    def fail(folder: Path) -> None:
        (folder / "data.txt").write_text("half")
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        snapshots.publish(fail, keep=3)
    with pytest.raises(InputError, match="no file"):
        snapshots.publish(lambda folder: None, keep=3)
    assert snapshots.current() == held
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", held.version, "current.json"]


@pytest.mark.parametrize("harm", ["changed", "truncated", "removed", "added"])
def test_a_damaged_snapshot_is_refused_and_the_next_publication_mends_it(tmp_path: Path, harm: str) -> None:
    snapshots = Snapshots(tmp_path)
    version = snapshots.publish(writes("content"), keep=3).version
    file = tmp_path / version / "data.txt"
    {
        "changed": lambda: file.write_text("contend"),
        "truncated": lambda: file.write_text("con"),
        "removed": file.unlink,
        "added": lambda: (tmp_path / version / "more.txt").write_text("more"),
    }[harm]()
    with pytest.raises(AdPlatformError, match="damaged"):
        snapshots.path(version)
    assert snapshots.publish(writes("content"), keep=3).version == version
    assert (snapshots.path(version) / "data.txt").read_text() == "content"


def test_a_damaged_pointer_is_named(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    snapshots.publish(writes("a"), keep=3)
    (tmp_path / "current.json").write_text(json.dumps({"version": "x"}))
    with pytest.raises(AdPlatformError, match="json is damaged"):
        snapshots.current()
