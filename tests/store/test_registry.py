"""Artefacts are named by their content and never change; the pointer is the one truth of what serves."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from adplatform.contracts.errors import AdPlatformError, InputError, SetupError
from adplatform.contracts.promotion import ModelVersion
from adplatform.store.registry import Registry

AGENT = "response_model"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models")


def artefact(folder: Path, text: str = "trees", **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {"model.txt": text, "encoder/labels.json": "{}", **files}.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    return folder


def published(registry: Registry, text: str) -> str:
    return publish(registry, text).version


def publish(registry: Registry, text: str, **about: Any) -> ModelVersion:
    folder = artefact(registry.root.parent / f"made-{text}", text)
    return registry.publish(AGENT, folder, data_version="d-1", **about)


def test_what_is_published_reads_back_with_its_record(registry: Registry) -> None:
    found = publish(registry, "trees", data_through="2026-02-10", seed=7, metrics={"log_loss": 0.25})
    assert registry.get(AGENT, found.version) == found
    assert registry.versions(AGENT) == [found]
    assert (found.data_version, found.data_through, found.seed, found.metrics) == (
        "d-1",
        "2026-02-10",
        7,
        {"log_loss": 0.25},
    )
    files = registry.path(AGENT, found.version)
    assert (files / "model.txt").read_text() == "trees"
    assert (files / "encoder" / "labels.json").read_text() == "{}"


def test_the_version_is_the_content(registry: Registry, tmp_path: Path) -> None:
    first = published(registry, "trees")
    assert published(registry, "trees") == first
    assert len(registry.versions(AGENT)) == 1
    assert published(registry, "other") != first
    renamed = artefact(tmp_path / "renamed", "trees")
    (renamed / "model.txt").rename(renamed / "trees.txt")
    assert registry.publish(AGENT, renamed, data_version="d-1").version != first


def test_the_same_bytes_keep_their_first_record(registry: Registry) -> None:
    first = publish(registry, "trees", seed=1)
    assert publish(registry, "trees", seed=2) == first


def test_moving_bytes_from_one_file_to_the_next_is_another_version(registry: Registry, tmp_path: Path) -> None:
    one = registry.publish(AGENT, artefact(tmp_path / "a", a="xy", b="z"), data_version="d")
    other = registry.publish(AGENT, artefact(tmp_path / "b", a="x", b="yz"), data_version="d")
    assert one.version != other.version


@pytest.mark.parametrize("damage", ["truncate", "change", "remove", "add", "link"])
def test_a_broken_artefact_is_refused_and_publishing_it_again_mends_it(registry: Registry, damage: str) -> None:
    version = published(registry, "trees")
    registry.promote(AGENT, version, "first")
    model = registry.path(AGENT, version) / "model.txt"
    if damage == "truncate":
        model.write_text("tre")
    elif damage == "change":
        model.write_text("Trees")
    elif damage == "remove":
        model.unlink()
    elif damage == "add":
        (model.parent / "more.txt").write_text("")
    else:
        (model.parent / "kept").write_text("trees")
        model.unlink()
        model.symlink_to("kept")
    with pytest.raises(AdPlatformError, match="is damaged") as caught:
        registry.path(AGENT, version)
    assert caught.value.exit_code == 1
    with pytest.raises(AdPlatformError, match="is damaged"):
        registry.promote(AGENT, version, "again")
    assert published(registry, "trees") == version
    assert registry.path(AGENT, version).is_dir()


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "..", "/etc", "-x", "a\0b", "a\n", "x" * 200])
def test_names_that_leave_the_folder_are_refused(registry: Registry, tmp_path: Path, name: str) -> None:
    folder = artefact(tmp_path / "made")
    with pytest.raises(InputError):
        registry.publish(name, folder, data_version="d")
    with pytest.raises(InputError):
        registry.path(AGENT, name)
    with pytest.raises(InputError):
        registry.champion(name)


def test_a_link_in_an_artefact_is_refused_and_nothing_is_kept(registry: Registry, tmp_path: Path) -> None:
    folder = artefact(tmp_path / "made")
    (folder / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="is a link"):
        registry.publish(AGENT, folder, data_version="d")
    (folder / "passwd").unlink()
    (folder / "outside").symlink_to(tmp_path)
    with pytest.raises(InputError, match="is a link"):
        registry.publish(AGENT, folder, data_version="d")
    assert registry.versions(AGENT) == []


def test_an_empty_or_missing_directory_is_refused(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "none"):
        with pytest.raises(InputError):
            registry.publish(AGENT, folder, data_version="d")


def test_a_metric_that_is_not_a_number_is_refused(registry: Registry) -> None:
    with pytest.raises(ValueError, match="JSON"):
        publish(registry, "trees", metrics={"log_loss": float("nan")})
    assert registry.versions(AGENT) == []


def test_a_full_disk_publishes_nothing(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(SetupError, match="disk is full while publishing"):
            publish(registry, "trees")
    assert registry.versions(AGENT) == []
    assert not (registry.root / ".staging").exists()


def test_there_is_no_champion_before_the_first_promotion(registry: Registry) -> None:
    published(registry, "trees")
    assert registry.champion(AGENT) is None
    assert registry.history(AGENT) == []
    with pytest.raises(AdPlatformError, match="no champion yet"):
        registry.keep(AGENT, "challenger was worse")
    with pytest.raises(AdPlatformError, match="no champion yet"):
        registry.rollback(AGENT)


def test_an_unknown_version_is_refused_with_those_there_are(registry: Registry) -> None:
    version = published(registry, "trees")
    with pytest.raises(AdPlatformError, match=version):
        registry.promote(AGENT, "0" * 16, "typo")
    assert registry.champion(AGENT) is None


def test_promotion_moves_the_pointer_and_keeping_it_is_recorded(registry: Registry) -> None:
    first, second = published(registry, "one"), published(registry, "two")
    registry.promote(AGENT, first, "first")
    kept = registry.keep(AGENT, "calibration failed")
    assert (kept.champion, kept.previous, kept.promoted, kept.reason) == (first, first, False, "calibration failed")
    moved = registry.promote(AGENT, second, "better")
    assert (moved.champion, moved.previous, moved.promoted) == (second, first, True)
    champion = registry.champion(AGENT)
    assert champion is not None
    assert champion.version == second
    assert [(h.champion, h.promoted) for h in registry.history(AGENT)] == [
        (first, True),
        (first, False),
        (second, True),
    ]


def test_promoting_the_champion_again_is_no_promotion(registry: Registry) -> None:
    version = published(registry, "one")
    registry.promote(AGENT, version, "first")
    assert not registry.promote(AGENT, version, "again").promoted


def test_rollback_goes_to_the_previous_distinct_champion_and_further_back(registry: Registry) -> None:
    first, second, third = (published(registry, text) for text in ("one", "two", "three"))
    registry.promote(AGENT, first, "1")
    registry.promote(AGENT, second, "2")
    registry.keep(AGENT, "kept")
    registry.promote(AGENT, second, "again")
    back = registry.rollback(AGENT)
    assert (back.champion, back.previous, back.promoted) == (first, second, True)
    registry.promote(AGENT, third, "3")
    assert registry.rollback(AGENT).champion == first
    with pytest.raises(AdPlatformError, match="nothing to roll back to"):
        registry.rollback(AGENT)


def test_rollback_refuses_a_damaged_predecessor(registry: Registry) -> None:
    first, second = published(registry, "one"), published(registry, "two")
    registry.promote(AGENT, first, "1")
    registry.promote(AGENT, second, "2")
    (registry.path(AGENT, first) / "model.txt").write_text("")
    with pytest.raises(AdPlatformError, match="is damaged"):
        registry.rollback(AGENT)
    champion = registry.champion(AGENT)
    assert champion is not None
    assert champion.version == second


def test_a_crash_between_pointer_and_history_is_mended(registry: Registry) -> None:
    first, second = published(registry, "one"), published(registry, "two")
    registry.promote(AGENT, first, "1")
    registry.promote(AGENT, second, "2")
    log = registry.root / AGENT / "history.jsonl"
    whole = log.read_text().splitlines(keepends=True)
    log.write_text(whole[0] + whole[1][:30])  # the second line was cut off; the pointer had moved
    assert [h.champion for h in registry.history(AGENT)] == [first, second]
    assert registry.rollback(AGENT).champion == first
    assert [h.champion for h in registry.history(AGENT)] == [first, second, first]
    assert all(json.loads(line) for line in log.read_text().splitlines())


def test_a_publish_that_was_killed_leaves_nothing_behind(registry: Registry) -> None:
    left = registry.root / ".staging" / "files"
    left.mkdir(parents=True)
    (left / "half").write_text("x")
    version = published(registry, "one")
    assert sorted(p.name for p in registry.path(AGENT, version).iterdir()) == ["encoder", "model.txt"]
    assert not (registry.root / ".staging").exists()


def _promote_many(root: Path, versions: list[str], times: int) -> None:
    for i in range(times):
        Registry(root).promote(AGENT, versions[i % 2], f"{os.getpid()} {i}")


def test_processes_that_promote_at_once_lose_no_entry(registry: Registry) -> None:
    versions = [published(registry, "one"), published(registry, "two")]
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_promote_many, args=(registry.root, versions, 10)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [w.exitcode for w in workers] == [0, 0]
    history = registry.history(AGENT)
    assert len(history) == 20
    assert all(later.previous == earlier.champion for earlier, later in zip(history, history[1:], strict=False))  # noqa: RUF007
