"""Many files change together: staged, then named in a journal, then renamed into place.

The journal's own rename is the commit. Before it, what was staged is thrown away at the next open; after it, the
renames that are missing are done at the next open. Call all of these under the store's lock.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from adplatform.store.atomic import sync_directory, write_new

JOURNAL = ".journal.json"
STAGING = ".staging"
REMOVED = "-"
"""Before the number of an entry whose file goes."""


def pending(root: Path) -> bool:
    """Whether a commit is under way, or was cut off after its journal was written."""
    return (root / JOURNAL).exists()


def commit(root: Path, files: Mapping[str, bytes | memoryview | None]) -> None:
    """Put ``files`` (path relative to ``root`` -> content, None to remove it) in place, all or none.

    Raises OSError when the disk is full; then nothing has changed.
    """
    staging = root / STAGING
    staging.mkdir(parents=True, exist_ok=True)
    entries = {}
    try:
        for number, (name, content) in enumerate(files.items()):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            if content is not None:
                write_new(staging / str(number), content)
            entries[str(number) if content is not None else f"{REMOVED}{number}"] = name
        write_new(staging / JOURNAL, json.dumps(entries).encode())
        sync_directory(staging)
        sync_directory(root)
        os.replace(staging / JOURNAL, root / JOURNAL)
        sync_directory(root)
    except BaseException:
        if not pending(root):
            shutil.rmtree(staging, ignore_errors=True)
        raise
    _roll_forward(root)


def recover(root: Path) -> None:
    """Complete a commit that was cut off after its journal was written; discard one that was cut off before."""
    if pending(root):
        _roll_forward(root)
    elif (root / STAGING).exists():
        shutil.rmtree(root / STAGING)


def _roll_forward(root: Path) -> None:
    entries: dict[str, str] = json.loads((root / JOURNAL).read_text())
    for number, name in entries.items():
        staged = root / STAGING / number
        if number.startswith(REMOVED):
            (root / name).unlink(missing_ok=True)
        elif staged.exists():
            os.replace(staged, root / name)
    for directory in {(root / name).parent for name in entries.values()}:
        sync_directory(directory)
    os.unlink(root / JOURNAL)
    sync_directory(root)
    shutil.rmtree(root / STAGING, ignore_errors=True)
