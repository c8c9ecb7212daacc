"""Finds a banned word or claim however it is spelled: case, accents, look-alike letters, signs, spacing, stretching."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from adplatform.creative.text import NUMBER_WORDS, WORD, fold, stem, unmasked

_TAILS: Final = ("", "s", "es", "d", "ed", "ing", "ly")
_LONGEST: Final = 40
"""Letters of a run of words that are joined when one banned word is looked for ('c u r e', 'mira cle')."""


def _canonical(word: str) -> str:
    return NUMBER_WORDS.get(word, word)


def _squeezed(text: str) -> tuple[str, ...]:
    """The text, and with stretched letters ('cuuure') cut to one and to two."""
    once, twice = re.sub(r"(.)\1{2,}", r"\1", text), re.sub(r"(.)\1{2,}", r"\1\1", text)
    return tuple(dict.fromkeys((text, once, twice)))


@lru_cache(maxsize=512)
def _targets(banned: str) -> tuple[str, frozenset[str], frozenset[str]]:
    """(folded text without blanks if it has signs, joined forms with common endings, stem of a single word)."""
    folded = fold(banned)
    found = [part for w in WORD.findall(folded) for part in re.split(r"[-']", w) if part]
    joined = "".join(_canonical(w) for w in found)
    signs = re.sub(r"\s+", "", folded) if re.sub(r"[\w\s'-]", "", folded) else ""
    forms = frozenset(joined + tail for tail in _TAILS) if len(joined) > 1 else frozenset[str]()
    stems = frozenset({stem(found[0])}) if len(found) == 1 and len(found[0]) > 3 else frozenset[str]()
    return signs, forms, stems


@lru_cache(maxsize=4096)
def _readings(text: str) -> tuple[tuple[str, ...], ...]:
    """Every way to read the words: as written, unmasked, squeezed; hyphens split as blanks do."""
    readings = [squeezed for reading in unmasked(text) for squeezed in _squeezed(reading)]
    split = ([part for w in WORD.findall(r) for part in re.split(r"[-']", w) if part] for r in readings)
    return tuple(dict.fromkeys(tuple(_canonical(part) for part in parts) for parts in split))


def contains(text: str, banned: str) -> bool:
    """Whether ``text`` has the banned word or phrase in any reading. A blank phrase is never found."""
    signs, forms, stems = _targets(banned)
    if signs and signs in re.sub(r"\s+", "", fold(text)):
        return True
    if not forms:
        return False
    longest = max(len(form) for form in forms)
    for reading in _readings(text):
        if stems and any(stem(word) in stems for word in reading):
            return True
        for start in range(len(reading)):
            joined = ""
            for word in reading[start : start + _LONGEST]:
                joined += word
                if joined in forms:
                    return True
                if len(joined) > longest:
                    break
    return False
