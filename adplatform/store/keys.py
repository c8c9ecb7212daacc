"""Keys of callers: 256 random bits, shown once and kept as a hash, with scopes, an end and a way to revoke them.

A key is random, so its plain SHA-256 cannot be guessed back; a slow hash is for words that people choose.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from adplatform.contracts.base import Identifier, Message, Text
from adplatform.contracts.errors import AdPlatformError, InputError, SetupError
from adplatform.store.atomic import write_bytes
from adplatform.store.lock import file_lock

LOCK_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 0.5
"""A running server looks this often whether the file has changed."""
_log = logging.getLogger(__name__)


class Scope(StrEnum):
    """What a key may be used for; ``admin``: everything."""

    READ = "read"
    DECIDE = "decide"
    INGEST = "ingest"
    ADMIN = "admin"


class KeyRecord(Message):
    """A key without its secret."""

    key_id: Identifier
    name: Text
    scopes: tuple[Scope, ...]
    sha256: str
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    revoked_at: AwareDatetime | None = None


class KeyRefused(AdPlatformError):
    """The key is unknown, expired or revoked (401), or has not the scope (403)."""

    def __init__(self, status: int, detail: str) -> None:
        self.status, self.detail = status, detail
        super().__init__(detail)


_RECORDS: Final = TypeAdapter(list[KeyRecord])


class Keys:
    """The keys in the file at ``path``; several processes may read and change it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, KeyRecord] = {}
        self._seen: tuple[int, int, int] | None = None
        self._looked = 0.0

    def add(
        self, name: str, scopes: Iterable[Scope | str], expires_at: datetime | None = None
    ) -> tuple[KeyRecord, str]:
        """Make a key. Returns its record and its secret, which is shown this once. Raises InputError on a wrong field."""
        try:
            wanted = tuple(sorted({Scope(s) for s in scopes}))
        except ValueError as error:
            raise InputError("scope", str(error), f"give some of {', '.join(Scope)}") from None
        if not wanted:
            raise InputError("scope", "there is none", f"give some of {', '.join(Scope)}")
        key_id = secrets.token_hex(4)
        secret = f"adp_{key_id}_{secrets.token_urlsafe(32)}"
        try:
            record = KeyRecord(
                key_id=key_id, name=name, scopes=wanted, sha256=_hash(secret), created_at=datetime.now(UTC), expires_at=expires_at
            )  # fmt: skip
        except ValidationError as error:
            wrong = error.errors()[0]
            raise InputError(
                f"key's {wrong['loc'][0]}", wrong["msg"], "give a name, and an end with its zone"
            ) from None
        with file_lock(self.path.with_suffix(".lock"), LOCK_SECONDS):
            self._write([*self.records(), record])
        return record, secret

    def records(self) -> list[KeyRecord]:
        """Every key, revoked ones too, oldest first. Raises SetupError on a damaged file."""
        try:
            return _RECORDS.validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return []
        except ValidationError as error:
            raise SetupError(
                f"{self.path} is damaged", "restore it from a backup, or remove it and add keys"
            ) from error

    def revoke(self, key_id: str) -> KeyRecord:
        """End a key now; one that was revoked keeps the time it was. Raises InputError where there is none of that id."""
        with file_lock(self.path.with_suffix(".lock"), LOCK_SECONDS):
            records = self.records()
            at = next((i for i, r in enumerate(records) if r.key_id == key_id), None)
            if at is None:
                raise InputError(f"key {key_id}", "there is none", "see adplatform keys list")
            if records[at].revoked_at is None:
                records[at] = records[at].model_copy(update={"revoked_at": datetime.now(UTC)})
                self._write(records)
        return records[at]

    def authenticate(self, secret: str | None, scope: str, now: datetime | None = None) -> KeyRecord:
        """The key's record. Raises KeyRefused: 401 where it is none, unknown, expired or revoked, 403 without the scope."""
        self._look()
        if secret is None:
            raise KeyRefused(401, "Authorization: is missing; send 'Bearer' and a key")
        parts = secret.split("_", 2)
        record = self._known.get(parts[1]) if len(parts) == 3 else None
        if not hmac.compare_digest(_hash(secret), record.sha256 if record else "0" * 64) or record is None:
            raise KeyRefused(401, "Authorization: the key is unknown; ask for one (adplatform keys add)")
        now = now or datetime.now(UTC)
        if record.revoked_at is not None:
            raise KeyRefused(401, f"Authorization: key {record.key_id} was revoked; ask for another")
        if record.expires_at is not None and record.expires_at <= now:
            raise KeyRefused(401, f"Authorization: key {record.key_id} has expired; ask for another")
        if scope not in record.scopes and Scope.ADMIN not in record.scopes:
            raise KeyRefused(403, f"Authorization: key {record.key_id} has not the scope {scope}; ask for one that has")
        return record

    def _look(self) -> None:
        """Read the file again where it has changed. A damaged one is logged, and the keys that were good stay."""
        if time.monotonic() < self._looked + LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        try:
            found = self.path.stat() if self.path.exists() else None
            seen = found and (found.st_ino, found.st_size, found.st_mtime_ns)
            if seen == self._seen:
                return
            known = {r.key_id: r for r in self.records()}
        except SetupError as error:
            _log.error("the keys of before stay: %s", " ".join(str(error).split()))
        except OSError as error:
            _log.error("the keys of before stay, the file cannot be read: %s", error)
            return  # and look again
        else:
            self._known = known
        self._seen = seen

    def _write(self, records: list[KeyRecord]) -> None:
        write_bytes(self.path, _RECORDS.dump_json(records, indent=1), mode=0o600)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
