"""Selection: the best ad of each tone and appeal, no two of them alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from adplatform.contracts.brief import Appeal, Tone
from adplatform.contracts.creative import CopySource
from adplatform.creative.text import fold, sentences

LARGEST_COSINE: Final = 0.9
_MARGIN: Final = 0.015
"""A blank instead of a full stop between headline and body moved a cosine from 0.899 to 0.914 (held-out briefs)."""
_SAMENESS: Final = 0.5
"""Weight of the largest cosine to a kept ad in maximal marginal relevance (Carbonell & Goldstein 1998)."""
_REPEATED_SENTENCE: Final = 0.25
_AT_ONCE: Final = 4
"""Ads whose readings are looked at together."""


@dataclass(frozen=True)
class Slot:
    """A tone and an appeal that one variant is wanted for."""

    tone: Tone
    appeal: Appeal


@dataclass(frozen=True)
class Candidate:
    """An ad that keeps every hard rule. ``body`` as it runs; ``quality`` higher is better."""

    headline: str
    body: str
    slot: Slot
    source: CopySource
    quality: float
    relevance: float
    brand: float


def slots(tones: Sequence[Tone], appeals: Sequence[Appeal], count: int) -> list[Slot]:
    """``count`` slots that use every tone and every appeal as evenly as can be, each pair at most once if enough.

    Walks the tones in turn; the appeal moves on with each, and once more after a round of the tones.
    """
    pairs: list[Slot] = []
    rounds = 0
    while len(pairs) < count:
        turn = [Slot(t, appeals[(n + rounds) % len(appeals)]) for n, t in enumerate(tones)]
        pairs += turn
        rounds += 1
    return pairs[:count]


class Selection:
    """Ads kept so far and their vectors; an ad too near to one of them is turned away."""

    def __init__(self) -> None:
        self.kept: list[Candidate] = []
        self._vectors: list[NDArray[np.float32]] = []
        self.turned_away = 0

    def take(
        self,
        candidates: Sequence[Candidate],
        vectors: NDArray[np.float32],
        readings: Callable[[list[int]], list[NDArray[np.float32]]],
    ) -> bool:
        """Keep the candidate with the best quality less its sameness; whether there was one.

        ``vectors``: (candidates, dimension). An ad has other ``readings``, by its number (with a disclaimer, say), of
        shape (readings, dimension), the one of ``vectors`` first; none may be over the cosine limit. They are asked for
        only while they can change the choice: a further reading brings an ad nearer to others, never farther away.
        """
        hopes = []
        headlines = {fold(k.headline) for k in self.kept}
        for index, candidate in enumerate(candidates):
            if fold(candidate.headline) in headlines or (worth := self._worth(candidate, vectors[index][None])) is None:
                self.turned_away += 1
            else:
                hopes.append((-worth, index))
        hopes.sort()
        best: tuple[float, int] | None = None
        vector = vectors[:0]
        for start in range(0, len(hopes), _AT_ONCE):
            some = [index for hope, index in hopes[start : start + _AT_ONCE] if best is None or hope <= best[0]]
            if not some:
                break
            for index, read in zip(some, readings(some), strict=True):
                worth = self._worth(candidates[index], read)
                if worth is None:
                    self.turned_away += 1
                elif best is None or (-worth, index) < best:
                    best, vector = (-worth, index), read
        if best is None:
            return False
        self.kept.append(candidates[best[1]])
        self._vectors.append(vector)
        return True

    def _worth(self, candidate: Candidate, vectors: NDArray[np.float32]) -> float | None:
        """Quality less sameness, None where it is too near to an ad that was kept. ``vectors``: (readings, dimension)."""
        nearest = max((_nearness(vectors, other) for other in self._vectors), default=0.0)
        if nearest > LARGEST_COSINE - _MARGIN:
            return None
        return candidate.quality - _SAMENESS * nearest - _REPEATED_SENTENCE * self._repeated(candidate)

    def _repeated(self, candidate: Candidate) -> int:
        """How many of its sentences (a disclaimer too, alike for all) kept ads have already."""
        used = {fold(s) for kept in self.kept for s in (kept.headline + ".", *sentences(kept.body))}
        return sum(fold(s) in used for s in (candidate.headline + ".", *sentences(candidate.body)))

    def diversity(self) -> list[float]:
        """1 - largest cosine to another kept ad, for each kept ad, in [0, 1]."""
        found = []
        for n, vector in enumerate(self._vectors):
            others = [_nearness(vector, o) for m, o in enumerate(self._vectors) if m != n]
            found.append(float(np.clip(1.0 - max(others, default=0.0), 0.0, 1.0)))
        return found


def _nearness(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    """Largest cosine of a reading with the same reading of the other."""
    return float((ours * theirs[: len(ours)]).sum(-1).max())
