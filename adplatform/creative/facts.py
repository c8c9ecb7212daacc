"""The factuality rule: copy may claim only what the brief states.

Four tests, on folded words. (1) Every word is in the brief or in words.yaml, whose words claim nothing. (2) In each
sentence the words that only the brief has must come from one statement of the brief, in its order. (3) A number or
claim word ("free", "guarantee", superlatives, comparatives) must be in the brief, and the statement it comes from must
be quoted whole in the ad, because half a statement ("free returns" of "free returns for members") says something else.
(4) A denial must be the brief's own, and may not be dropped.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from adplatform.contracts.brief import Brief
from adplatform.creative.text import (
    NUMBER,
    NUMBER_WORDS,
    canonical_number,
    fold,
    sentences,
    stem,
    word_list,
)

HEADLINE_SHARE: Final = 0.4
BODY_SHARE: Final = 0.75
"""Least share of a statement's words that a sentence quoting it must have, so that it still says the same."""
_MONEY: Final = re.compile(
    r"[€$£¥]|% (?:off|discount)|\b(?:eur|euros?|usd|dollars?|gbp|pounds? a|cents?|francs?|price[ds]?|costs?|fees?|discounts?|save)\b"
)
_TOKEN: Final = re.compile(rf"{NUMBER.pattern}|[^\W\d_]+(?:[-'][^\W_]+)*")


def tokens(text: str) -> list[str]:
    """Folded words and numbers in order; numbers in canonical form ('five' and '5' are one)."""
    found = _TOKEN.findall(fold(text))
    return [canonical_number(t) if t[0].isdigit() or (t in NUMBER_WORDS and t != "one") else t for t in found]


def names_money(text: str) -> bool:
    """Whether a statement speaks of a price, a fee or a discount."""
    return _MONEY.search(fold(text)) is not None


def _is_number(token: str) -> bool:
    return token[0].isdigit()


def is_claim(token: str) -> bool:
    """Whether a folded word claims something by itself: a listed claim word or a superlative."""
    if token in word_list("claims"):
        return True
    return token.endswith("est") and len(token) > 5 and token not in word_list("not_superlative")


def _within(part: list[str], whole: list[str]) -> bool:
    """Whether ``part`` is a contiguous run of ``whole``: leaving words out makes another claim."""
    return any(whole[at : at + len(part)] == part for at in range(len(whole) - len(part) + 1))


@dataclass(frozen=True)
class Statements:
    """What a brief states: its facts, its description sentence by sentence, its required disclaimer."""

    brief: Brief

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """Each statement as the brief words it."""
        product, disclaimer = self.brief.product, self.brief.guidelines.required_disclaimer
        return (*product.facts, *sentences(product.description), *([disclaimer] if disclaimer else ()))

    @cached_property
    def sources(self) -> tuple[tuple[str, ...], ...]:
        """Tokens of each statement."""
        return tuple(tuple(tokens(text)) for text in self.texts)

    @cached_property
    def named(self) -> frozenset[str]:
        """Stems that copy may use anywhere: the product's name and category, the audience's names."""
        parts = (self.brief.product.name, self.brief.product.category, *self.brief.audience.audiences)
        return frozenset(stem(t) for part in parts for t in tokens(part))

    @cached_property
    def stated(self) -> frozenset[str]:
        """Stems of everything the brief says, named things included."""
        return self.named | {stem(t) for source in self.sources for t in source}

    @cached_property
    def _denials(self) -> frozenset[tuple[str, str]]:
        return frozenset(
            (first, stem(second))
            for source in self.sources
            for first, second in itertools.pairwise(source)
            if first in word_list("negators")
        )

    def broken(self, headline: str, body: str) -> list[str]:
        """Names of the factuality rules that an ad (disclaimer taken off) breaks."""
        parts = [tokens(s) for text in (headline, body) for s in sentences(text)]
        ad = [t for part in parts for t in part]
        rules = []
        if any(not self._known(t) for t in ad):
            rules.append("unsupported_word")
        in_headline = len(sentences(headline))
        if any(not self._supported(p, HEADLINE_SHARE if n < in_headline else BODY_SHARE) for n, p in enumerate(parts)):
            rules.append("unsupported_claim")
        if any(_is_number(t) and stem(t) not in self.stated for t in ad) or any(map(self._unstated_time, parts)):
            rules.append("unstated_number")
        if any(is_claim(t) and stem(t) not in self.stated for t in ad) or self._comparison(parts):
            rules.append("unstated_claim")
        if not self._whole(ad):
            rules.append("partial_claim")
        if not self._denies_truly(parts):
            rules.append("denial")
        return rules

    def plain(self, token: str) -> bool:
        """Whether a folded word claims nothing; words of money do where the brief states no price."""
        if _is_number(token) or is_claim(token):
            return False
        if token in word_list("function") or token in word_list("plain"):
            return True
        return self.states_price and token in word_list("price")

    @cached_property
    def states_price(self) -> bool:
        """Whether the product's own statements name money: only then may an ad argue with the price.

        A disclaimer ('Prices without tax.') names none.
        """
        product = self.brief.product
        return any(names_money(text) for text in (*product.facts, *sentences(product.description)))

    def _known(self, token: str) -> bool:
        return self.plain(token) or _is_number(token) or is_claim(token) or stem(token) in self.stated

    def own(self, part: Sequence[str]) -> list[str]:
        """Stems of a sentence that only the brief has: neither plain words nor names."""
        return [stem(t) for t in part if not self.plain(t) and stem(t) not in self.named]

    def _supported(self, part: list[str], share: float) -> bool:
        """Whether the brief's words in a sentence are a run of one statement, and at least ``share`` of it."""
        own = self.own(part)
        if own:
            return any(self._quotes(part, own, source, share) for source in self.sources)
        touched = [s for s in self.sources if self._touches(part, s)]
        return not touched or any(self._quotes(part, own, source, share) for source in touched)

    def _content(self, part: Sequence[str]) -> list[str]:
        return [stem(t) for t in part if t not in word_list("function") and stem(t) not in self.named]

    def _touches(self, part: list[str], source: tuple[str, ...]) -> bool:
        """Whether two neighbours of a statement's content words are neighbours in a sentence of plain words too."""
        pairs = set(itertools.pairwise(self._content(source)))
        return any(pair in pairs for pair in itertools.pairwise(self._content(part)))

    def _quotes(self, part: list[str], own: list[str], source: tuple[str, ...], share: float) -> bool:
        content = self._content(source)
        said = [t for t in self._content(part) if t in content]
        enough = len(said) >= share * len(content) or (share == HEADLINE_SHARE and len(said) == 1)
        # 'The rubber comes from old tubes' must not become 'made from old tubes': a body keeps the beginning.
        begins = share == HEADLINE_SHARE or said[:1] == content[:1]
        whole = _within(own, self.own(source)) and _within(said, content)
        return enough and begins and whole and _denies_as(part, said, source)

    def _whole(self, ad: list[str]) -> bool:
        """Whether each number and claim word of the ad stands with all of a statement it comes from."""
        present = {stem(t) for t in ad}
        for token in ad:
            if not (_is_number(token) or is_claim(token)) or stem(token) in self.named:
                continue
            sources = [s for s in self.sources if stem(token) in {stem(t) for t in s}]
            if sources and not any(
                {stem(t) for t in s if t not in word_list("light")} <= present and _units(token, s, ad) for s in sources
            ):
                return False
        return True

    def _denies_truly(self, parts: list[list[str]]) -> bool:
        deniable = word_list("deniable")
        for part in parts:
            for first, second in zip(part, [*part[1:], ""], strict=True):
                if (
                    first in word_list("negators")
                    and second not in deniable
                    and (first, stem(second)) not in self._denials
                ):
                    return False
                if (
                    any(stem(second) == denied for _, denied in self._denials)
                    and first not in word_list("negators")
                    and stem(second) not in self._affirmed
                ):
                    return False
        return True

    @cached_property
    def _affirmed(self) -> frozenset[str]:
        """Stems that the brief uses somewhere without a negator before them, and plain words."""
        said = {
            stem(second)
            for source in self.sources
            for first, second in zip(("", *source), source, strict=False)
            if first not in word_list("negators")
        }
        return frozenset(said | {stem(w) for w in word_list("function")})

    def _unstated_time(self, part: list[str]) -> bool:
        """'a week', 'one minute', 'every month' are numbers too: the brief must have the pair."""
        stated = {pair for source in self.sources for pair in itertools.pairwise(source)}
        units = word_list("time_units")
        return any(
            first in {"a", "an", "one", "every", "each", "per"} and second in units and (first, second) not in stated
            for first, second in itertools.pairwise(part)
        )

    def _comparison(self, parts: list[list[str]]) -> bool:
        """'more ... than' or '-er than' that no statement has."""
        if any("than" in source for source in self.sources):
            return False
        return any(
            "than" in part and any(t == "more" or t == "less" or t.endswith("er") for t in part) for part in parts
        )


def _denies_as(part: Sequence[str], said: Sequence[str], source: Sequence[str]) -> bool:
    """Whether a quotation keeps the negator that stands before its words: of 'no added sugar', 'sugar' is no quotation."""
    denied: set[str] = set()
    for at, token in enumerate(source):
        if token in word_list("negators"):
            denied |= {stem(t) for t in source[at + 1 :]}
    return not denied & set(said) or any(t in word_list("negators") for t in part)


def _units(number: str, source: tuple[str, ...], ad: list[str]) -> bool:
    """Whether a number keeps its neighbours: the qualifier before it ('up to 30') and the unit after it ('30 hours')."""
    if not _is_number(number):
        return True
    at = source.index(number)
    before = source[at - 1] if at else ""
    after = source[at + 1] if at + 1 < len(source) else ""
    for index, token in enumerate(ad):
        if token != number:
            continue
        if before in word_list("qualifiers") and (index == 0 or ad[index - 1] != before):
            return False
        if after and (index + 1 >= len(ad) or stem(ad[index + 1]) != stem(after)):
            return False
    return True
