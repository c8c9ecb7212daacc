"""What the endpoints read: versions that never change, and one pointer to the one that serves.

<root>/<version>/...     files, named by the hash of their names and bytes
<root>/current.json      the pointer, replaced atomically

The registry holds models, which are kept for ever and promoted by a verdict; a snapshot is data, of which the last few
versions are kept.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from adplatform.contracts.errors import AdPlatformError, InputError
from adplatform.store.artefact import artefact_hash, copy_artefact
from adplatform.store.atomic import disk_errors, sync_directory, write_json
from adplatform.store.lock import file_lock

LOCK_SECONDS: Final = 60.0
POINTER: Final = "current.json"


class Pointed(NamedTuple):
    """The version that serves, and when it was published."""

    version: str
    published_at: datetime


class Snapshots:
    """The snapshots under ``root``. Every method may be called by several processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def publish(self, write: Callable[[Path], object], keep: int) -> Pointed:
        """Have ``write`` fill a directory, point to it, and remove all versions but the ``keep`` published last.

        The same content has the same version. Raises InputError where nothing was written, SetupError on a full disk;
        the pointer stays then.
        """
        staging = self.root / ".staging"
        with disk_errors(f"publishing {self.root.name}"), file_lock(self.root / ".lock", LOCK_SECONDS):
            shutil.rmtree(staging, ignore_errors=True)  # what a killed publish left
            try:
                (staging / "work").mkdir(parents=True)
                write(staging / "work")
                copy_artefact(staging / "work", staging / "files")
                version = artefact_hash(staging / "files")
                if not self._is_whole(version):
                    shutil.rmtree(self.root / version, ignore_errors=True)
                    os.rename(staging / "files", self.root / version)
                os.utime(self.root / version)
                sync_directory(self.root)
                found = Pointed(version, datetime.now(UTC))
                write_json(self.root / POINTER, {"version": version, "published_at": found.published_at.isoformat()})
            finally:
                shutil.rmtree(staging, ignore_errors=True)
            self._prune(keep)
        return found

    def prune(self, keep: int) -> None:
        """Remove all versions but the ``keep`` (at least 1) published last; the one that serves stays."""
        with file_lock(self.root / ".lock", LOCK_SECONDS):
            self._prune(keep)

    def current(self) -> Pointed | None:
        """The version that serves, None before the first. Raises AdPlatformError on a damaged pointer."""
        path = self.root / POINTER
        try:
            found = json.loads(path.read_bytes())
            return Pointed(str(found["version"]), datetime.fromisoformat(found["published_at"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise AdPlatformError(f"{path} is damaged; publish {self.root.name} again") from error

    def mark(self) -> tuple[int, int, int] | None:
        """What changes whenever the pointer does, at the cost of one ``stat``; None before the first."""
        try:
            found = os.stat(self.root / POINTER)
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def path(self, version: str) -> Path:
        """The version's files. Raises AdPlatformError unless they are byte for byte those published."""
        if not self._is_whole(version):
            raise AdPlatformError(f"{self.root / version} is damaged or gone; publish {self.root.name} again")
        return self.root / version

    def versions(self) -> list[str]:
        """Versions that are kept, last published first."""
        found = [p for p in self.root.glob("*") if p.is_dir() and not p.name.startswith(".")]
        return [p.name for p in sorted(found, key=lambda p: (-p.stat().st_mtime_ns, p.name))]

    def _is_whole(self, version: str) -> bool:
        try:
            return artefact_hash(self.root / version) == version
        except (OSError, InputError):
            return False

    def _prune(self, keep: int) -> None:
        pointed = self.current()
        for version in self.versions()[max(keep, 1) :]:
            if pointed is None or version != pointed.version:
                shutil.rmtree(self.root / version, ignore_errors=True)
