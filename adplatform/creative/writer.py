"""The language model's part: prompts for every slot, one batch, strict reading, recombination of the fluent parts."""

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
from adplatform.creative.text import examples, fold, sentences, stem
from adplatform.creative.vocabulary import SEPARATOR, Vocabulary

LEAST_HEADLINE: Final = -1.6
LEAST_BODY: Final = -0.65
"""Least mean log-probability of a headline and of a body under the unconstrained model; read on development briefs."""
_SUBJECTS: Final = frozenset({"it", "it's", "this"})
_HEADLINE_TEMPERATURE: Final = 0.75
_BODY_TEMPERATURE: Final = 0.4
"""Headlines should differ, bodies should copy their fact: at 0.7 a third of the bodies garbled it."""


@dataclass
class Writer:
    """Writes ``each`` texts for every slot."""

    model: CopyModel
    each: int

    def write(
        self, book: Rulebook, wanted: Sequence[Slot], facts: Sequence[str], seed: int, rejected: Counter[str]
    ) -> tuple[list[list[tuple[str, str, float]]], int]:
        """(headline, body, fluency in (0, 1]) that keep the rules, for each slot; and the number of texts written.

        A slot's headlines and bodies were written for the same prompt, so every fluent headline may stand over every
        fluent body; each pair is checked as a whole.
        """
        name, brief = book.brief.product.name, book.brief
        vocabulary = Vocabulary.of(brief, self.model.table, book.copy_limit)
        prompts = [prompt(s.tone, s.appeal, name, f) for s, f in zip(wanted, facts, strict=True)]
        samples = self.model.generate(
            prompts, self.each, seed=seed, allowed=vocabulary.allowed, temperature=_temperature
        )
        found = []
        for index in range(len(wanted)):
            mine = [s for s in samples if s.prompt == index]
            found.append(self._pairs(book, mine, rejected))
        return found, len(samples)

    def _pairs(self, book: Rulebook, samples: Sequence[Sample], rejected: Counter[str]) -> list[tuple[str, str, float]]:
        headlines: dict[str, float] = {}
        bodies: dict[str, float] = {}
        for sample in samples:
            parts = parse(sample.text) if sample.finished else None
            if parts is None:
                rejected["unparsed"] += 1
                continue
            at = len(sample.text[: sample.text.index(SEPARATOR.strip())])
            high, low = sample.fluency_of(0, at), sample.fluency_of(at, None)
            if high < LEAST_HEADLINE or low < LEAST_BODY:
                rejected["fluency"] += 1
            else:
                rejected.update(book.check(parts[0], book.with_disclaimer(parts[1])))
            if high >= LEAST_HEADLINE and not _is_example(parts[0]):
                headlines[parts[0]] = max(high, headlines.get(parts[0], high))
            if low >= LEAST_BODY and self._tells(book, parts[1]):
                bodies[parts[1]] = max(low, bodies.get(parts[1], low))
        return [
            (h, b, float(np.exp((hf + bf) / 2)))
            for h, hf in headlines.items()
            for b, bf in bodies.items()
            if not self._echoes(book, h, b) and not book.check(h, book.with_disclaimer(b))
        ]

    @staticmethod
    def _tells(book: Rulebook, body: str) -> bool:
        """Whether a body states something of the brief, of the product, in a whole sentence.

        A small model drops the verb ('Granola no added sugar') or hangs the statement on another subject ('Your home
        is made from recycled sails').
        """
        stated, name = book.statements, book.brief.product.name
        quoting = [tokens(s) for s in sentences(body) if stated.own(tokens(s))]
        if not quoting or re.search(rf"{re.escape(name)} (?:no|an?|the|from|with|at|in|of|and|for|to)\b", body):
            return False
        openings = {source[0] for source in stated.sources if source}
        return all(
            part[0] in openings or any(t in _SUBJECTS or stem(t) in stated.named for t in part[:4]) for part in quoting
        )

    @staticmethod
    def _echoes(book: Rulebook, headline: str, body: str) -> bool:
        """Whether a headline says only what the body says again."""
        said = set(book.statements.own(tokens(headline)))
        return len(said) > 1 and said <= set(book.statements.own(tokens(body)))


def _temperature(text: str) -> float:
    return _BODY_TEMPERATURE if SEPARATOR in text else _HEADLINE_TEMPERATURE


def _is_example(headline: str) -> bool:
    return fold(headline) in {fold(e.headline) for e in examples()}
