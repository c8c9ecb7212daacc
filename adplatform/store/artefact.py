"""A model's directory of files: copied without links, hashed by names and bytes."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from adplatform.contracts.errors import InputError
from adplatform.store.atomic import sync_directory

BLOCK = 1 << 20


def artefact_files(directory: Path) -> list[str]:
    """Relative names (with ``/``) of the plain files under ``directory``, sorted.

    Raises InputError on a link, a device or a socket, and when there is no file.
    """
    names = sorted(_walk(directory, directory))
    if not names:
        raise InputError(str(directory), "the artefact has no file", "save the model there first")
    return names


def _walk(root: Path, folder: Path) -> Iterator[str]:
    for entry in os.scandir(folder):
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            yield from _walk(root, Path(entry.path))
        elif stat.S_ISREG(mode):
            yield Path(entry.path).relative_to(root).as_posix()
        else:
            raise InputError(entry.path, "is a link or no plain file", "copy the file itself into the artefact")


def artefact_hash(directory: Path) -> str:
    """First 16 hex digits of SHA-256 over each file's name, size and bytes, in the order of names."""
    digest = hashlib.sha256()
    for name in artefact_files(directory):
        path = directory / name
        digest.update(f"{len(name.encode())}:{name}:{path.stat().st_size}:".encode())
        with path.open("rb") as handle:
            while block := handle.read(BLOCK):
                digest.update(block)
    return digest.hexdigest()[:16]


def copy_artefact(source: Path, target: Path) -> None:
    """Copy the files of ``source`` to ``target``, which must not exist, and sync them. Raises InputError as above."""
    if not source.is_dir():
        raise InputError(str(source), "there is no such directory", "save the model there first")
    names = artefact_files(source)
    target.mkdir()
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        with (source / name).open("rb") as reading, (target / name).open("xb") as writing:
            while block := reading.read(BLOCK):
                writing.write(block)
            writing.flush()
            os.fsync(writing.fileno())
    for folder in {
        target,
        *(parent for name in names for parent in (target / name).parents if target in parent.parents),
    }:
        sync_directory(folder)
