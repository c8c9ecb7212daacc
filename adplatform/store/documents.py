"""Answers of agents as JSON documents: one file each, replaced atomically."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from adplatform.contracts.errors import InputError
from adplatform.store.atomic import write_bytes

T = TypeVar("T")


class Documents:
    """``root/<collection>/<key>.json``; keys may hold any character, the file name is safe."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, collection: str, key: str) -> Path:
        """Where the document lies, whether it is there or not."""
        plain = "".join(c if c.isalnum() or c in "-_." else "_" for c in key)
        name = plain if plain == key else f"{plain}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
        return self.root / collection / f"{name.lstrip('.')}.json"

    def put(self, collection: str, key: str, value: object) -> Path:
        """Write a message (or a list or dict of messages); readers see the old one or the new one."""
        path = self.path(collection, key)
        write_bytes(path, TypeAdapter(type(value)).dump_json(value, indent=1, fallback=str))
        return path

    def get(self, collection: str, key: str, kind: type[T]) -> T:
        """Read it back as ``kind``. Raises InputError when there is none."""
        path = self.path(collection, key)
        if not path.exists():
            raise InputError(f"{collection}/{key}", "no such document", f"materialize the asset {collection} first")
        return TypeAdapter(kind).validate_json(path.read_bytes())

    def find(self, collection: str, key: str, kind: type[T]) -> T | None:
        """The document, or None."""
        return self.get(collection, key, kind) if self.path(collection, key).exists() else None

    def keys(self, collection: str) -> list[str]:
        """File names of the collection, sorted."""
        return sorted(p.stem for p in (self.root / collection).glob("*.json"))
