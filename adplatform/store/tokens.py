"""An id within text: as a word of its own, so that ``u1`` is not found in ``u10``."""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=8)
def pattern(word: str) -> re.Pattern[bytes]:
    """Matches the id where no letter, digit, ``_`` or ``-`` stands beside it."""
    return re.compile(rb"(?<![A-Za-z0-9_-])" + re.escape(word.encode()) + rb"(?![A-Za-z0-9_-])")


def names(content: bytes, word: str) -> bool:
    """Whether ``content`` names ``word``."""
    return word.encode() in content and pattern(word).search(content) is not None


def masked(content: bytes, word: str) -> bytes:
    """``content`` with the id overwritten by as many ``x``: no offset in a file moves."""
    return pattern(word).sub(b"x" * len(word.encode()), content)
