"""Selection: the best ad of each tone and appeal, no two of them alike."""

from __future__ import annotations

from collections.abc import Sequence
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

    def take(self, candidates: Sequence[Candidate], vectors: Sequence[NDArray[np.float32]]) -> bool:
        """Keep the candidate with the best quality less its sameness. ``vectors``: (readings, dimension) for each.

        An ad has several readings (with and without its disclaimer); none may be over the cosine limit.
        """
        order = []
        for index, (candidate, vector) in enumerate(zip(candidates, vectors, strict=True)):
            nearest = max((float((vector * other).sum(-1).max()) for other in self._vectors), default=0.0)
            if nearest > LARGEST_COSINE - _MARGIN or any(
                fold(candidate.headline) == fold(k.headline) for k in self.kept
            ):
                self.turned_away += 1
                continue
            worth = candidate.quality - _SAMENESS * nearest - _REPEATED_SENTENCE * self._repeated(candidate)
            order.append((-worth, index))
        if not order:
            return False
        best = min(order)[1]
        self.kept.append(candidates[best])
        self._vectors.append(vectors[best])
        return True

    def _repeated(self, candidate: Candidate) -> int:
        """How many of its sentences (a disclaimer too, alike for all) kept ads have already."""
        used = {fold(s) for kept in self.kept for s in (kept.headline + ".", *sentences(kept.body))}
        return sum(fold(s) in used for s in (candidate.headline + ".", *sentences(candidate.body)))

    def diversity(self) -> list[float]:
        """1 - largest cosine to another kept ad, for each kept ad, in [0, 1]."""
        found = []
        for n, vector in enumerate(self._vectors):
            others = [float((vector * o).sum(-1).max()) for m, o in enumerate(self._vectors) if m != n]
            found.append(float(np.clip(1.0 - max(others, default=0.0), 0.0, 1.0)))
        return found
