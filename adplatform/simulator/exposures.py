"""Exposure counts at the start of a day: what fatigue uses, and what can be known as of time."""

from __future__ import annotations

from collections import deque

import numpy as np

from adplatform.simulator.config import EXPOSURE_DAYS
from adplatform.simulator.streams import Array


class Exposures:
    """Impressions of each (user, creative) over the EXPOSURE_DAYS days before today, in 2 bytes each."""

    def __init__(self, users: int, creatives: int) -> None:
        self._creatives = creatives
        self._counts = np.zeros(users * creatives, dtype=np.uint16)
        self._days: deque[tuple[Array, Array]] = deque()

    def of(self, users: Array, creatives: Array) -> Array:
        """Counts as of the start of today; ``users`` and ``creatives`` broadcast."""
        return np.asarray(self._counts[users.astype(np.int64) * self._creatives + creatives])

    def close_day(self, users: Array, creatives: Array) -> tuple[Array, Array]:
        """Count today's impressions, forget those of EXPOSURE_DAYS days ago; returns today's (pairs, counts)."""
        codes = (users.astype(np.int32) * np.int32(self._creatives) + creatives.astype(np.int32)).astype(np.int32)
        pairs, counts = np.unique(codes, return_counts=True)
        seen = counts.astype(np.uint16)
        self._counts[pairs] += seen
        self._days.append((pairs, seen))
        if len(self._days) > EXPOSURE_DAYS:
            old, times = self._days.popleft()
            self._counts[old] -= times
        return pairs, seen
