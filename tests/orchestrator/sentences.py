"""What the tests of sentences read with: labels of a data set, embeddings of a few words, and a day to read on."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np

from adplatform.contracts.brief import Brief
from adplatform.orchestrator.brief import parse_sentence
from adplatform.orchestrator.language.vocabulary import Vocabulary
from benchmarks.reference_agents import AGE_BANDS, AUDIENCES, market_segments

TODAY = date(2026, 11, 25)  # a Wednesday
CATEGORIES = ("sports", "cooking", "travel", "gaming", "diy", "family", "finance", "music")
KNOWN = Vocabulary(
    CATEGORIES,
    AUDIENCES,
    AGE_BANDS,
    ("north", "south", "east", "west"),
    market_segments(),
    {"AeroRun 2": "sports", "Clay pan": "cooking"},
)
NEAR = {
    "joggers": "runners",
    "home chefs": "cooks",
    "young families": "parents",
    "trail running shoes": "sports products",
    "cast-iron pan": "cooking products",
}


def embed(texts: Any) -> np.ndarray:
    """Words of NEAR point where their label does; every other word has a direction of its own."""
    axes = sorted({NEAR.get(t.lower(), t.lower()) for t in texts})
    return np.array([[float(axes.index(NEAR.get(t.lower(), t.lower())) == i) for i in range(len(axes))] for t in texts])


def read(text: str, **options: Any) -> Brief:
    return parse_sentence(text, today=TODAY, known=KNOWN, embed=embed, **options)
