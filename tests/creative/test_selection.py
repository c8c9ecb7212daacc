"""The choice is that of all readings of all candidates, though most readings are never made."""

from __future__ import annotations

import numpy as np
import pytest

from adplatform.contracts.brief import Appeal, Tone
from adplatform.contracts.creative import CopySource
from adplatform.creative.selection import LARGEST_COSINE, Candidate, Selection, Slot

DIMENSION, READINGS, CANDIDATES = 6, 3, 20


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def candidate(rng, name):
    slot = Slot(Tone.PLAYFUL, Appeal.PRICE)
    return Candidate(f"Ad {name}", "It is so.", slot, CopySource.TEMPLATE, float(rng.uniform(0, 1)), 0.5, 0.5)


def exhaustive(kept, candidates, readings):
    """The number of the candidate that the rule names, by all readings of all; None if none may be kept."""
    worth = {}
    for n, (one, vectors) in enumerate(zip(candidates, readings, strict=True)):
        nearest = max((float((vectors * other).sum(-1).max()) for _, other in kept), default=0.0)
        if nearest <= LARGEST_COSINE - 0.015:
            worth[n] = one.quality - 0.5 * nearest - 0.25 * bool(kept)  # every ad has the same one sentence
    return max(worth, key=lambda n: (worth[n], -n)) if worth else None


@pytest.mark.parametrize("seed", range(40))
def test_the_choice_is_that_of_all_readings(seed):
    rng = np.random.default_rng(seed)
    chosen, kept, made = Selection(), [], 0
    for turn in range(6):
        candidates = [candidate(rng, f"{turn}-{n}") for n in range(CANDIDATES)]
        first = rng.normal(size=(CANDIDATES, 1, DIMENSION))
        readings = unit(first + 0.3 * rng.normal(size=(CANDIDATES, READINGS, DIMENSION)))

        def ask(some, readings=readings):
            nonlocal made
            made += len(some)
            return [readings[n] for n in some]

        wanted = exhaustive(kept, candidates, readings)
        assert chosen.take(candidates, readings[:, 0], ask) is (wanted is not None)
        if wanted is not None:
            kept.append((candidates[wanted], readings[wanted]))
        assert chosen.kept == [c for c, _ in kept]
    assert made < 0.6 * 6 * CANDIDATES


def test_ads_that_are_all_alike_are_all_turned_away_but_one():
    rng = np.random.default_rng(1)
    candidates = [candidate(rng, n) for n in range(8)]
    readings = np.repeat(unit(rng.normal(size=(1, 1, DIMENSION))), READINGS, axis=1)
    chosen = Selection()
    for expected in (True, False):
        vectors = np.repeat(readings[:, 0], 8, axis=0)
        assert chosen.take(candidates, vectors, lambda some: [readings[0] for _ in some]) is expected
    assert chosen.turned_away == 8
