"""A sentence that is read once: what one reader has understood, the next one no longer sees."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

GAP = "\x00"
"""Stands for every character already understood; no pattern matches across it."""


@dataclass
class Sentence:
    """The text that is left, and what was found wanting: ``missing`` (what, how to say it) and ``unclear`` (in words)."""

    text: str
    missing: list[tuple[str, str]] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, text: str) -> Sentence:
        """Compatibility forms, dashes and blanks made plain; lengths then stay as they are."""
        plain = unicodedata.normalize("NFKC", text)
        plain = re.sub(r"[\u2010-\u2015\u2212]", "-", plain)
        return cls(" ".join(plain.replace(GAP, " ").split()))

    def take(self, match: re.Match[str], group: int | str = 0) -> str:
        """The text of a match's group, blanked from here on."""
        start, end = match.span(group)
        taken = self.text[start:end]
        self.text = self.text[:start] + GAP * (end - start) + self.text[end:]
        return taken

    def lacks(self, what: str, example: str) -> None:
        """Note what the sentence does not say."""
        if (what, example) not in self.missing:
            self.missing.append((what, example))

    def doubts(self, problem: str) -> None:
        """Note what can be read in more than one way, or not at all."""
        if problem not in self.unclear:
            self.unclear.append(problem)
