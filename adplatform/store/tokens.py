"""An id within text: as a word of its own, so that ``u1`` is not found in ``u10``.

A short id without a digit (``feed``) or a bare number may be anything: it counts only where it stands in quotes.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

DISTINCT: Final = 6
"""From this length on, an id with a letter and a digit is taken for itself wherever it stands."""
_WORD: Final = rb"[A-Za-z0-9_]"


@lru_cache(maxsize=8)
def pattern(word: str) -> re.Pattern[bytes]:
    """Matches the id, and nothing beside it."""
    text = re.escape(word.encode())
    mixed = any(c.isdigit() for c in word) and any(c.isalpha() for c in word)
    if mixed and len(word) >= DISTINCT:
        return re.compile(rb"(?<!" + _WORD + rb")" + text + rb"(?!" + _WORD + rb")")
    return re.compile(rb"(?<=[\"'])" + text + rb"(?=\\?[\"'])")


def names(content: bytes, word: str) -> bool:
    """Whether ``content`` names the id ``word``."""
    return word.encode() in content and pattern(word).search(content) is not None


def masked(content: bytes, word: str) -> bytes:
    """``content`` with the id overwritten by as many ``x``: no offset in a file moves."""
    return pattern(word).sub(b"x" * len(word.encode()), content)
