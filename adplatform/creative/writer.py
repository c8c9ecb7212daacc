"""The language model's part: headlines and bodies over-generated for every slot, the fluent and true ones paired."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from adplatform.creative.copy_model import CopyModel, Sample
from adplatform.creative.facts import tokens
from adplatform.creative.guidelines import Rulebook
from adplatform.creative.prompts import parse, prompt
from adplatform.creative.selection import Slot
from adplatform.creative.text import examples, fold, sentences, stem, word_list
from adplatform.creative.vocabulary import Vocabulary, Words

LEAST_HEADLINE: Final = -1.6
LEAST_BODY: Final = -0.85
"""Least mean log-probability of a headline and of a body under the unconstrained model; read on development briefs."""
_ARTICLES: Final = frozenset({"a", "an", "the", "one", "1"})
_PLACES: Final = [[w] for w in ["in", "on", "at", "from", "by", "under", "for", "with", "to", "into"]]
_AUXILIARY: Final = frozenset(
    ["a", "an", "the", "is", "are", "has", "have", "can", "will", "that", "which", "you", "it"]
)
_VERBS: Final = frozenset({"has", "can", "will", "does", "lets", "gives", "makes", "comes"})
_SUBJECTS: Final = frozenset({"it", "it's", "this"})
_TEMPERATURE: Final = {False: 0.7, True: 0.5}
"""Headlines should differ, bodies should keep to their fact."""
_MOST_TOKENS: Final = {False: 13, True: 38}
_PLAIN_HEADLINE, _PLAIN_BODY = "Take a look", "Take a look at this."


@dataclass(frozen=True)
class Writer:
    """Writes ``headlines`` and ``bodies`` for every slot."""

    model: CopyModel
    headlines: int = 10
    bodies: int = 6

    def write(
        self, book: Rulebook, wanted: Sequence[Slot], facts: Sequence[Sequence[str]], seed: int, rejected: Counter[str]
    ) -> tuple[list[list[tuple[str, str, float]]], int]:
        """(headline, body, fluency in (0, 1]) that keep the rules, for each slot; and the number of texts written.

        The body argues with a slot's first fact, the headline with its second where there is one. Headline and body
        are written apart, so every good headline may stand over every good body; each pair is checked as a whole.
        """
        heads = self._texts(book, wanted, [f[min(1, len(f) - 1)] for f in facts], seed, False, rejected)
        bodies = self._texts(book, wanted, [f[0] for f in facts], seed, True, rejected)
        pairs = [
            [
                (h, b, float(np.exp((hf + bf) / 2)))
                for h, hf in heads[n].items()
                for b, bf in bodies[n].items()
                if book.brief.product.name in f"{h} {b}"
                and not _echoes(book, h, b)
                and not book.check(h, book.with_disclaimer(b))
            ]
            for n in range(len(wanted))
        ]
        return pairs, len(wanted) * (self.headlines + self.bodies)

    def _texts(
        self,
        book: Rulebook,
        wanted: Sequence[Slot],
        facts: Sequence[str],
        seed: int,
        body: bool,
        rejected: Counter[str],
    ) -> list[dict[str, float]]:
        """For each slot the good headlines or bodies with their mean log-probability."""
        limit = book.copy_limit if body else book.brief.guidelines.headline_max
        vocabulary = Vocabulary(self.model.table, Words.of(book.brief), limit, body)
        name = book.brief.product.name
        samples = self.model.generate(
            [prompt(s.tone, s.appeal, name, f, body=body) for s, f in zip(wanted, facts, strict=True)],
            self.bodies if body else self.headlines, seed=seed, allowed=vocabulary.allowed,
            temperature=_TEMPERATURE[body], most_tokens=_MOST_TOKENS[body],
        )  # fmt: skip
        found: list[dict[str, float]] = [{} for _ in wanted]
        for sample in samples:
            reason = _turned_away(book, sample, body)
            if reason:
                rejected[f"{'body' if body else 'headline'}: {reason}"] += 1
            else:
                found[sample.prompt].setdefault(sample.text, sample.fluency)
        return found


def _turned_away(book: Rulebook, sample: Sample, body: bool) -> str:
    """Why a text is not used, '' if it is. Each is checked with a plain other half; pairs are checked again."""
    if not sample.finished or parse(sample.text) is None:
        return "unparsed"
    if sample.fluency < (LEAST_BODY if body else LEAST_HEADLINE):
        return "fluency"
    if body and not _tells(book, sample.text):
        return "off_brief"
    if fold(sample.text) in {fold(e.body if body else e.headline) for e in examples()}:
        return "prompt_leak"
    if not body and _thin(book, sample.text):
        return "thin"
    if not _verbatim(book, sample.text, body):
        return "misquoted"
    if _misnames(book, sample.text, body):
        return "misnamed"
    halves = (_PLAIN_HEADLINE, sample.text) if body else (sample.text, _PLAIN_BODY)
    broken = [r for r in book.check(halves[0], book.with_disclaimer(halves[1])) if body or r != "partial_claim"]
    return broken[0] if broken else ""


def _tells(book: Rulebook, body: str) -> bool:
    """Whether a body states something of the brief, of the product, in a whole sentence.

    A small model drops the verb ('Granola no added sugar') or hangs the statement on another subject ('Your home is
    made from recycled sails').
    """
    stated, name = book.statements, book.brief.product.name
    quoting = [tokens(s) for s in sentences(body) if stated.own(tokens(s))]
    if not quoting or re.search(rf"{re.escape(name)} (?:no|an?|the|from|with|at|in|of|and|for|to)\b", body):
        return False
    openings = {source[0] for source in stated.sources if source}
    if not all(_is_one(book, part) and _has_verb(book, part) for part in quoting) or "is a one" in body:
        return False
    return all(
        part[0] in openings or any(t in _SUBJECTS or stem(t) in stated.named for t in part[:4]) for part in quoting
    )


def _is_one(book: Rulebook, part: list[str]) -> bool:
    """Whether what follows 'X is' or 'X has' is what the statement allows there.

    'X is a ...' needs a description that says so ('A cabin backpack for ...'); 'X is made ...' a fact that begins with
    the participle; 'X has ...' a thing, so neither a description nor a participle ('cast in Brno').
    """
    names, own = tokens(book.brief.product.name), book.statements.own(part)
    starts = [n + len(names) for n in range(len(part)) if part[n : n + len(names)] == names]
    facts = [tokens(f) for f in book.brief.product.facts]
    described = [tokens(s) for s in sentences(book.brief.product.description)]

    def quoted(sources: list[list[str]]) -> list[list[str]]:
        return [s for s in sources if s and set(own) <= set(book.statements.own(s))]

    for verb, first in ((part[n], part[n + 1]) for n in starts if n + 1 < len(part)):
        thing = first in _ARTICLES or first[0].isdigit()
        if verb in {"is", "are"}:
            if thing and not any(s[0] in _ARTICLES for s in quoted(described)):
                return False
            participle = any(s[0] == first and first[-1] != "s" for s in quoted(facts))
            plural = verb == "are" and any(s[0] == first for s in quoted(described))
            if not (thing or participle or plural):
                return False
        if verb == "has" and (
            quoted(described) or any(s[0] == first and s[1:2] in _PLACES and not thing for s in quoted(facts))
        ):
            return False
    return True


def _has_verb(book: Rulebook, part: list[str]) -> bool:
    """Whether the product's name is followed by a verb: a plain one that fits its number, or the statement's own."""
    names = tokens(book.brief.product.name)
    verbs = _VERBS | {source[0] for source in book.statements.sources if source and source[0].endswith("s")}
    verbs |= {"are"} if names[-1].endswith("s") else {"is"}
    after = [part[n + len(names) :][:2] for n in range(len(part)) if part[n : n + len(names)] == names]
    return all(not two or (two[0] in verbs and two[1:] != ["no"]) or two == ["has", "no"] for two in after)


def _verbatim(book: Rulebook, text: str, body: bool) -> bool:
    """Whether each sentence quotes word for word, articles, auxiliaries and the product's whole name aside.

    A word of the name used alone counts as quoted: 'about a mask' is no quotation of 'about 25 masks'. A headline must
    not stop inside a phrase either ('no ads and no in-game').
    """
    return all(_quotes(book, tokens(s.replace(book.brief.product.name, " ")), body) for s in sentences(text))


def _quotes(book: Rulebook, sentence: list[str], body: bool) -> bool:
    stated = book.statements
    part = [t for t in sentence if t not in _AUXILIARY]
    own = [n for n, t in enumerate(part) if not stated.plain(t)]
    if not own:
        return True
    quoted = [stem(t) for t in part[own[0] : own[-1] + 1]]
    for source in ([t for t in s if t not in _AUXILIARY] for s in stated.sources):
        stems = [stem(t) for t in source]
        for at in range(len(source) - len(quoted) + 1):
            if stems[at : at + len(quoted)] != quoted:
                continue
            end, rest = at + len(quoted), part[own[-1] + 1 :]
            while rest and source[end : end + 1] == rest[:1]:
                end, rest = end + 1, rest[1:]
            following = source[end : end + 1]
            if body or rest or not following or following[0] in word_list("function"):
                return True
    return set(quoted) <= stated.named  # the category or the audience, named by the brief but in no statement


def _thin(book: Rulebook, headline: str) -> bool:
    """Whether a headline is little more than the product's name."""
    names = set(tokens(book.brief.product.name))
    return len(tokens(headline)) < 3 or len([t for t in tokens(headline) if t not in names]) < 2


def _misnames(book: Rulebook, text: str, body: bool) -> bool:
    """Whether a text uses a part of the product's name alone ('Tern back pack'), or hangs a thing on it ('X, a ...')."""
    name = book.brief.product.name
    if not body and re.match(rf"{re.escape(name)}, (?:an?|the)\b", text):
        return True
    if re.search(rf"\b[Aa]n? {re.escape(name)}\b", text):
        return True
    described = set(tokens(book.brief.product.description))
    alone = [t for t in tokens(text.replace(name, " ")) if t in set(tokens(name)) and len(t) > 2]
    return any(t not in described for t in alone)


def _echoes(book: Rulebook, headline: str, body: str) -> bool:
    """Whether a headline says only what the body says again."""
    said = set(book.statements.own(tokens(headline)))
    return len(said) > 1 and said <= set(book.statements.own(tokens(body)))
