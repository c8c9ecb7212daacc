"""Random streams: one for each purpose and day, so that a change in one leaves every other draw alone."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def stream(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """A Philox generator (Salmon et al. 2011) that belongs to (seed, purpose, index) alone."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, zlib.crc32(purpose.encode()), *index))))


def pick(generator: np.random.Generator, weights: Array, size: int) -> Array:
    """``size`` draws from 0..len(weights)-1 with probability proportional to ``weights``; int8 or int64."""
    cumulative = np.cumsum(weights)
    drawn = np.searchsorted(cumulative / cumulative[-1], generator.random(size), side="right")
    return np.minimum(drawn, len(weights) - 1).astype(np.int8 if len(weights) < 128 else np.int64)
