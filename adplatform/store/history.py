"""The registry's history: one JSON line for each entry, synced; a line cut off by a crash counts as never written."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from adplatform.contracts.promotion import Promotion
from adplatform.store.atomic import sync_directory


def entries(path: Path) -> list[tuple[str, Promotion]]:
    """(kind, entry) of each whole line, oldest first; kind is promote, keep or rollback."""
    if not path.exists():
        return []
    records = [json.loads(line) for line in _whole(path.read_bytes()).splitlines()]
    return [(record.pop("kind"), Promotion.model_validate(record)) for record in records]


def append(path: Path, added: Sequence[tuple[str, Promotion]]) -> None:
    """Add entries and sync. Raises OSError on a full disk; the history is as it was then."""
    if not added:
        return
    text = "".join(json.dumps({"kind": kind, **entry.model_dump(mode="json")}) + "\n" for kind, entry in added)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as handle:
        size = len(_whole(path.read_bytes()))
        handle.truncate(size)
        try:
            handle.write(text.encode())
            handle.flush()
            os.fsync(handle.fileno())
        except OSError:
            os.truncate(path, size)
            raise
    sync_directory(path.parent)


def _whole(content: bytes) -> bytes:
    return content[: content.rfind(b"\n") + 1]
