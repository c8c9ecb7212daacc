"""The model registry: artefacts named by their content, one pointer to the champion, a history that only grows.

<root>/<agent>/<version>/files/...      the artefact, never changed
<root>/<agent>/<version>/version.json   what it was trained on
<root>/<agent>/champion.json            the pointer: the one truth of what serves, replaced atomically
<root>/<agent>/shadow.json              the challenger that runs on live requests and is only logged, if one does
<root>/<agent>/history.jsonl            every promotion, refusal and rollback, oldest first
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from adplatform.contracts.base import IDENTIFIER_PATTERN
from adplatform.contracts.errors import AdPlatformError, InputError
from adplatform.contracts.promotion import ModelVersion, Promotion
from adplatform.store.artefact import artefact_hash, copy_artefact
from adplatform.store.atomic import disk_errors, sync_directory, write_json, write_new
from adplatform.store.history import append, entries
from adplatform.store.lock import file_lock

LOCK_SECONDS: Final = 60.0
_NAME = re.compile(IDENTIFIER_PATTERN)


class Registry:
    """The registry under ``root``. Every method may be called by several processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def publish(
        self,
        agent: str,
        directory_of_files: Path,
        *,
        data_version: str,
        data_through: str | date | None = None,
        seed: int = 0,
        metrics: Mapping[str, Any] | None = None,
        trained_on: tuple[date, ...] | None = None,
        judged_on: tuple[date, ...] | None = None,
    ) -> ModelVersion:
        """Copy an artefact in. Its version is the hash of its files' names and bytes.

        Bytes that are there already keep their first record. Raises InputError on a link or an empty directory,
        ValueError on a metric that is NaN, SetupError on a full disk; nothing is kept then.
        """
        _checked("agent", agent)
        json.dumps(dict(metrics or {}), allow_nan=False, default=str)  # pydantic would write NaN as null
        staging = self.root / ".staging"
        with disk_errors(f"publishing {agent}"), self._lock():
            shutil.rmtree(staging, ignore_errors=True)  # what a killed publish left
            try:
                staging.mkdir(parents=True)
                copy_artefact(directory_of_files, staging / "files")
                version = artefact_hash(staging / "files")
                target = self.root / agent / version
                if (target / "version.json").exists():
                    self._repair(target, staging / "files")
                    return self.get(agent, version)
                record = ModelVersion(
                    agent=agent,
                    version=version,
                    created_at=_now(),
                    data_version=data_version,
                    data_through=str(data_through) if data_through else None,
                    seed=seed,
                    metrics=dict(metrics or {}),
                    trained_on=trained_on,
                    judged_on=judged_on,
                )
                content = json.dumps(record.model_dump(mode="json"), indent=1, allow_nan=False)
                write_new(staging / "version.json", content.encode())
                sync_directory(staging)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.rename(staging, target)
                sync_directory(target.parent)
                return record
            finally:
                shutil.rmtree(staging, ignore_errors=True)

    @staticmethod
    def _repair(target: Path, files: Path) -> None:
        """Put ``files`` in place of a published copy of them that was damaged since."""
        try:
            whole = artefact_hash(target / "files") == target.name
        except (OSError, InputError):
            whole = False
        if not whole:
            shutil.rmtree(target / "files", ignore_errors=True)
            os.rename(files, target / "files")
            sync_directory(target)

    def get(self, agent: str, version: str) -> ModelVersion:
        """The record of a version. Raises AdPlatformError when there is none."""
        path = self._folder(agent, version) / "version.json"
        try:
            return ModelVersion.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            known = ", ".join(v.version for v in self.versions(agent)) or "none yet"
            raise AdPlatformError(f"{agent} has no version {version}; there is: {known}") from None
        except ValueError as error:
            raise AdPlatformError(f"{path} is damaged; publish {agent} again") from error

    def path(self, agent: str, version: str, verify: bool = True) -> Path:
        """Directory of a version's files. With ``verify``, AdPlatformError unless they are byte for byte those published."""
        files = self._folder(agent, version) / "files"
        self.get(agent, version)
        if verify:
            try:
                found = artefact_hash(files)
            except (OSError, InputError) as error:
                raise AdPlatformError(f"{files} is damaged ({error}); {_mend(agent)}") from error
            if found != version:
                raise AdPlatformError(f"{files} is damaged (its content is {found}, not {version}); {_mend(agent)}")
        return files

    def versions(self, agent: str) -> list[ModelVersion]:
        """All versions of an agent, oldest first."""
        folder = self.root / _checked("agent", agent)
        found = [self.get(agent, path.parent.name) for path in folder.glob("*/version.json")]
        return sorted(found, key=lambda v: (v.created_at, v.version))

    def champion(self, agent: str) -> ModelVersion | None:
        """The version that serves, None before the first promotion."""
        pointer = self._pointer(agent)
        return self.get(agent, pointer.champion) if pointer else None

    def shadow(self, agent: str) -> ModelVersion | None:
        """The challenger that runs in shadow, None where none does."""
        try:
            version = json.loads((self.root / _checked("agent", agent) / "shadow.json").read_bytes())["version"]
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise AdPlatformError(f"shadow.json of {agent} is damaged; run adplatform shadow {agent} off") from error
        return self.get(agent, version)

    def set_shadow(self, agent: str, version: str | None) -> None:
        """Run ``version`` in shadow, its files verified first; None ends it. Raises AdPlatformError."""
        path = self.root / _checked("agent", agent) / "shadow.json"
        with self._lock(), disk_errors(f"setting the shadow of {agent}"):
            if version is None:
                path.unlink(missing_ok=True)
            else:
                self.path(agent, version, verify=True)
                write_json(path, {"version": version, "since": _now()})

    def mark(self, agent: str, pointer: str = "champion") -> tuple[int, int] | None:
        """What changes whenever that pointer of ``agent`` moves, for one ``stat``; None where there is none."""
        try:
            found = (self.root / _checked("agent", agent) / f"{pointer}.json").stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    def promote(self, agent: str, version: str, reason: str) -> Promotion:
        """Point to ``version``; its files are verified first. The present champion stays if it is that version."""
        with self._lock():
            self.path(agent, version, verify=True)
            return self._move(agent, "promote", version, reason)

    def keep(self, agent: str, reason: str) -> Promotion:
        """Record that the champion stays, and why. Raises AdPlatformError when there is no champion."""
        with self._lock():
            return self._move(agent, "keep", self._champion_version(agent), reason)

    def rollback(self, agent: str) -> Promotion:
        """Point to the champion before the present one; a second rollback goes one further back.

        Raises AdPlatformError when there is none before, or its files are damaged.
        """
        with self._lock():
            present = self._champion_version(agent)
            line = self._succession(self._history(agent))
            if len(line) < 2:
                raise AdPlatformError(f"{agent} has had no champion before {present}; there is nothing to roll back to")
            self.path(agent, line[-2], verify=True)
            return self._move(agent, "rollback", line[-2], f"rolled back from {present}")

    def remove(self, agent: str, version: str) -> None:
        """Remove a version's files for good; the history keeps its name. Raises AdPlatformError where it serves."""
        with self._lock():
            pointer = self._pointer(agent)
            if pointer is not None and pointer.champion == version:
                raise AdPlatformError(f"{agent} {version} serves; promote another first")
            shutil.rmtree(self._folder(agent, version))

    def discard(self) -> None:
        """Throw away what a publish that was killed left."""
        with self._lock():
            shutil.rmtree(self.root / ".staging", ignore_errors=True)

    def history(self, agent: str) -> list[Promotion]:
        """Every promotion, refusal and rollback, oldest first."""
        return [promotion for _, promotion in self._history(agent)]

    def champions(self, agent: str) -> list[str]:
        """Champions from the present to the first, without those rolled back from; a damaged pointer is left out."""
        try:
            return self._succession(self._history(agent))[::-1]
        except AdPlatformError:
            return self._succession(entries(self._log(agent)))[::-1]

    def _move(self, agent: str, kind: str, version: str, reason: str) -> Promotion:
        """Replace the pointer, then append to the history; a crash between the two is mended by ``_history``."""
        recorded = self._history(agent)
        append(self._log(agent), recorded[len(entries(self._log(agent))) :])
        pointer = self._pointer(agent)
        previous = pointer.champion if pointer else None
        if previous == version and kind == "promote":
            kind = "keep"
        entry = Promotion(
            agent=agent, champion=version, previous=previous, promoted=kind != "keep", reason=reason, at=_now()
        )
        with disk_errors(f"recording a promotion of {agent}"):
            number = len(recorded)
            write_json(
                self.root / agent / "champion.json", {"number": number, "kind": kind, **entry.model_dump(mode="json")}
            )
            append(self._log(agent), [(kind, entry)])
        return entry

    def _history(self, agent: str) -> list[tuple[str, Promotion]]:
        """The log; where a crash kept the pointer's own entry from it, that entry too."""
        record = self._pointer_record(agent)  # before the log, which another process may lengthen meanwhile
        logged = entries(self._log(agent))
        if record is not None and record["number"] >= len(logged):
            logged.append((str(record["kind"]), self._pointer_entry(record)))
        return logged

    @staticmethod
    def _succession(recorded: Sequence[tuple[str, Promotion]]) -> list[str]:
        """Champions from the first to the present, without those rolled back from."""
        line: list[str] = []
        for kind, entry in recorded:
            if kind == "rollback":
                line.pop()
            elif kind == "promote":
                line.append(entry.champion)
        return line

    def _champion_version(self, agent: str) -> str:
        pointer = self._pointer(agent)
        if pointer is None:
            raise AdPlatformError(f"{agent} has no champion yet; materialize {agent}_champion first")
        return pointer.champion

    def _pointer(self, agent: str) -> Promotion | None:
        record = self._pointer_record(agent)
        return self._pointer_entry(record) if record else None

    @staticmethod
    def _pointer_entry(record: Mapping[str, Any]) -> Promotion:
        return Promotion.model_validate({k: v for k, v in record.items() if k not in ("number", "kind")})

    def _pointer_record(self, agent: str) -> dict[str, Any] | None:
        path = self.root / _checked("agent", agent) / "champion.json"
        try:
            record = json.loads(path.read_bytes())
            self._pointer_entry(record)
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise AdPlatformError(f"{path} is damaged; restore it from the last line of history.jsonl") from error
        return dict(record)

    def _folder(self, agent: str, version: str) -> Path:
        return self.root / _checked("agent", agent) / _checked("version", version)

    def _log(self, agent: str) -> Path:
        return self.root / _checked("agent", agent) / "history.jsonl"

    def _lock(self) -> Any:
        return file_lock(self.root / ".lock", LOCK_SECONDS)


def _checked(what: str, name: str) -> str:
    """The name, if it is safe as a path's part. Raises InputError."""
    if len(name) > 128 or not _NAME.fullmatch(name):
        raise InputError(
            what, f"{name[:60]!r} is no {what} name", "use letters, digits and . _ | : + -, a letter or digit first"
        )
    return name


def _mend(agent: str) -> str:
    return f"roll {agent} back or train it again"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
