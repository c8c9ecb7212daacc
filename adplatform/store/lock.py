"""The one lock that keeps writers of landing zone and warehouse apart.

A kernel lock (flock): freed when its process ends, however it ends. Within a thread it may be taken again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from adplatform.contracts.errors import SetupError
from adplatform.settings import Settings
from adplatform.store import journal
from adplatform.store.atomic import disk_errors


@contextmanager
def file_lock(path: Path, timeout: float) -> Iterator[None]:
    """Hold the lock at ``path``. Raises SetupError when another process still holds it after ``timeout`` seconds."""
    with disk_errors(f"taking the lock {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        # No soft fallback: a lock that is only a file outlives a killed process.
        lock = FileLock(path, is_singleton=True, fallback_to_soft=False)
        try:
            lock.acquire(timeout=timeout)
        except Timeout:
            mend = f"wait for it to end (fuser {path} names it), or raise ADPLATFORM_LOCK_SECONDS"
            raise SetupError(f"another process has held the lock {path} for {timeout:g} s", mend) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def store_lock(settings: Settings, timeout: float | None = None) -> Iterator[None]:
    """Hold ``settings.lock``; a commit to the landing zone that was cut off is completed or discarded first."""
    with file_lock(settings.lock, settings.lock_seconds if timeout is None else timeout):
        journal.recover(settings.landing)
        yield
