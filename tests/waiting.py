"""Waiting for what takes another process a moment."""

from __future__ import annotations

import time
from collections.abc import Callable


def within(seconds: float, found: Callable[[], bool]) -> bool:
    """Whether it is so before that many seconds have passed."""
    end = time.monotonic() + seconds
    while not found():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
