"""Brand guidelines as hard rules: a text that breaks one is removed, whoever wrote it.

``Rulebook.check`` returns the names of the rules broken; an empty tuple means that the ad may run.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from adplatform.contracts.brief import Brief
from adplatform.contracts.errors import InputError
from adplatform.creative.banned import contains
from adplatform.creative.facts import Statements
from adplatform.creative.form import characters, grammar
from adplatform.creative.text import words

MINIMUM_COPY: Final = 20
"""Characters that a required disclaimer must leave for the copy itself."""


@dataclass(frozen=True)
class Rulebook:
    """The hard rules of one brief. Raises InputError if its disclaimer leaves no room for copy."""

    brief: Brief

    def __post_init__(self) -> None:
        limit = self.brief.guidelines.body_max
        if self.copy_limit < MINIMUM_COPY:
            raise InputError(
                "guidelines.required_disclaimer",
                f"leaves {max(self.copy_limit, 0)} of body_max {limit} characters for the copy",
                f"raise body_max to at least {limit + MINIMUM_COPY - self.copy_limit} or shorten the disclaimer",
            )

    @cached_property
    def statements(self) -> Statements:
        """What the brief states."""
        return Statements(self.brief)

    @property
    def disclaimer(self) -> str:
        """The required disclaimer, '' where none is."""
        return self.brief.guidelines.required_disclaimer or ""

    @property
    def copy_limit(self) -> int:
        """Characters of the body that are left when the disclaimer (and a blank) stands at its end."""
        return self.brief.guidelines.body_max - (len(self.disclaimer) + 1 if self.disclaimer else 0)

    def with_disclaimer(self, copy: str) -> str:
        """The body as it runs: the copy, then the disclaimer."""
        return f"{copy} {self.disclaimer}".strip()

    def without_disclaimer(self, body: str) -> str:
        """The copy of a body."""
        return body.removesuffix(self.disclaimer).strip() if self.disclaimer else body

    def check(self, headline: str, body: str) -> tuple[str, ...]:
        """Names of the rules that this ad breaks; ``body`` as it would run, with the disclaimer."""
        copy, rules = self.without_disclaimer(body), self.lengths(headline, body)
        if self.disclaimer and not body.endswith(self.disclaimer):
            rules.append("disclaimer")
        rules += self.banned(f"{headline} . {copy}")
        for text in (headline, copy):
            rules += characters(text, self._letters, self._spellings)
        rules += grammar(headline, copy, self._names)
        rules += self.statements.broken(headline, copy)
        return tuple(dict.fromkeys(rules))

    def lengths(self, headline: str, body: str) -> list[str]:
        """Length rules: characters of each slot, the disclaimer counted in the body."""
        limits = self.brief.guidelines
        rules = [] if 0 < len(headline) <= limits.headline_max else ["headline_length"]
        return rules if 0 < len(body) <= limits.body_max else [*rules, "body_length"]

    def banned(self, text: str) -> list[str]:
        """Banned words and claims in any spelling."""
        limits = self.brief.guidelines
        groups = (("banned_word", limits.banned_words), ("banned_claim", limits.banned_claims))
        return [rule for rule, group in groups if any(contains(text, banned) for banned in group)]

    @cached_property
    def _text(self) -> str:
        product = self.brief.product
        return " ".join((product.name, product.category, *self.statements.texts, *self.brief.audience.audiences))

    @cached_property
    def _letters(self) -> frozenset[str]:
        """Letters, digits and currency signs of the brief; its emoji and markup are not for copy."""
        return frozenset(
            c for c in self._text if unicodedata.category(c)[0] in "LN" or unicodedata.category(c) in {"Mn", "Sc"}
        )

    @cached_property
    def _spellings(self) -> frozenset[str]:
        return frozenset(re.findall(r"[^\W\d_]+", self._text))

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(words(self.brief.product.name))


def check(headline: str, body: str, brief: Brief) -> tuple[str, ...]:
    """Names of the rules of ``brief`` that an ad breaks. Raises InputError as ``Rulebook`` does."""
    return Rulebook(brief).check(headline, body)
