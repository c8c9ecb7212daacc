"""Small text helpers that the orchestrator's rooms share."""

from __future__ import annotations

import re


def contains_phrase(text: str, phrase: str) -> bool:
    """Whether ``phrase`` stands in ``text`` as whole words, in any case and spacing."""
    parts = [re.escape(p) for p in phrase.split()]
    return bool(parts) and re.search(r"(?<!\w)" + r"[\s\-]+".join(parts) + r"(?!\w)", text, re.IGNORECASE) is not None


def without_phrase(text: str, phrase: str) -> str:
    """``text`` with every occurrence of ``phrase`` taken out."""
    parts = [re.escape(p) for p in phrase.split()]
    if not parts:
        return text
    kept = re.sub(r"(?<!\w)" + r"[\s\-]+".join(parts) + r"(?!\w)", " ", text, flags=re.IGNORECASE)
    return " ".join(kept.split())


def shortened(text: str, longest: int) -> str:
    """``text`` cut at a word's end (at a letter where the first word is too long) to ``longest`` characters."""
    text = " ".join(text.split())
    if len(text) <= longest:
        return text
    cut = text[: longest + 1].rsplit(" ", 1)[0] if " " in text[: longest + 1] else text[:longest]
    return cut.rstrip(" ,;:-.")
