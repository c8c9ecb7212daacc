"""Constrained decoding: the language model may write only words that copy may use.

A 135M model left alone invents numbers, names and offers in most texts, and the rules then remove them. Masking the
next token to the brief's words and words.yaml keeps the model's own phrasing and makes most texts pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from adplatform.contracts.brief import Brief
from adplatform.creative.banned import contains
from adplatform.creative.facts import BODY_SHARE, HEADLINE_SHARE, Statements, tokens
from adplatform.creative.text import word_list

END: Final = "\n"
_EDGES = '.,!?;:()"“”'
_LONG = 24
_CLOSING = 12
"""Characters of headline left at which it ends if it can: else the limit cuts it in mid-phrase."""


@dataclass(frozen=True)
class Words:
    """Spellings that may be written: plain ones anywhere, the brief's own by their stem, in the order of a statement."""

    statements: Statements
    plain: frozenset[str]
    own: dict[str, frozenset[str]]

    @classmethod
    def of(cls, brief: Brief) -> Words:
        """The words of a brief; banned words and claims that it does not state are left out."""
        statements = Statements(brief)
        product = brief.product
        raw = [
            w.strip(_EDGES)
            for text in (product.category, *statements.texts, *brief.audience.audiences)
            for w in text.split()
        ]
        names = set(product.name.split())
        lowered = {w if any(c.isupper() for c in w[1:]) else w[:1].lower() + w[1:] for w in raw}
        inner = {w for text in statements.texts for w in (t.strip(_EDGES) for t in text.split()[1:])}
        spelled = {w for w in inner | (lowered - {i.lower() for i in inner}) if w} - names
        plain = {w for kind in ("function", "plain", "price") for w in word_list(kind) if statements.plain(w)}
        plain = {"I" + w[1:] if w == "i" or w.startswith("i'") else w for w in plain}
        banned = (*brief.guidelines.banned_words, *brief.guidelines.banned_claims)
        kept = {w for w in spelled | plain if not any(contains(w, b) for b in banned)}
        kept |= names | {w + "'s" for w in names if w[-1:].isalpha()}
        own: dict[str, set[str]] = {}
        free = set()
        for word in kept:
            stems = statements.own(tokens(word))
            free |= set() if stems else {word}
            for part in stems[:1]:
                own.setdefault(part, set()).add(word)
        return cls(statements, frozenset(free), {k: frozenset(v) for k, v in own.items()})

    def next(self, sentence: str, share: float) -> tuple[frozenset[str], bool]:
        """(stems of the brief's own words that may follow, whether the sentence may end) after ``sentence``.

        It may end when it has ``share`` of the statement that it quotes.
        """
        said = self.statements.own(tokens(sentence))
        if not said:
            return frozenset(self.own), True
        following: set[str] = set()
        may_end = False
        for source in self.statements.sources:
            run = self.statements.own(source)
            for at in range(len(run) - len(said) + 1):
                if run[at : at + len(said)] == said:
                    following |= set(run[at + len(said) : at + len(said) + 1])
                    may_end = may_end or len(said) >= share * len(run)
        return frozenset(following), may_end


@dataclass
class TokenTable:
    """The texts of a tokenizer's tokens, and the ids of each text."""

    texts: list[str]
    ends: frozenset[int]

    @classmethod
    def of(cls, tokenizer: Any) -> TokenTable:
        """Read once from a byte-level or SentencePiece tokenizer; special tokens have no text."""
        special = set(tokenizer.all_special_ids)
        names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        texts = [("" if i in special or n is None else _token_text(n, tokenizer)) for i, n in enumerate(names)]
        return cls(texts, frozenset(i for i in special if i is not None))

    @cached_property
    def ids(self) -> dict[str, list[int]]:
        """Text -> token ids."""
        table: dict[str, list[int]] = {}
        for index, text in enumerate(self.texts):
            if text:
                table.setdefault(text, []).append(index)
        return table

    @cached_property
    def joins_blanks(self) -> bool:
        """Whether words have tokens that begin with their blank."""
        return any(len(text) > 2 and text[0] == " " and text[1:].isalpha() for text in self.ids)


def _token_text(name: str, tokenizer: Any) -> str:
    plain = name.replace("Ġ", " ").replace("▁", " ").replace("Ċ", "\n")
    if plain.isascii():
        return plain
    lead = " " if plain.startswith(" ") else ""
    return lead + str(tokenizer.convert_tokens_to_string([name])).strip()


@dataclass
class Vocabulary:
    """Which tokens may follow in one slot, for one brief and tokenizer; a newline ends the text.

    ``limit``: characters of the slot. A headline is one phrase or question, a body one or two sentences.
    """

    table: TokenTable
    words: Words
    limit: int
    body: bool
    _known: dict[tuple, dict[str, frozenset[str]]] = field(default_factory=dict)
    _next: dict[str, tuple[frozenset[str], bool]] = field(default_factory=dict)
    _cache: dict[tuple, list[int]] = field(default_factory=dict)

    def allowed(self, text: str) -> list[int]:
        """Ids of the tokens that may follow ``text``, what the row has so far; none where it has run into its limit."""
        room = self.limit - len(text.lstrip())
        word = text[text.rfind(" ") + 1 :]
        before = text[: len(text) - len(word)].strip()
        sentence = re.split(r"[.!?]", before)[-1].strip()
        fresh = not before or before[-1] in ".!?"
        stems, _ = self._following(sentence)
        after, may_end = self._following(f"{sentence} {word}")
        count, ends = min(len(sentence.split()) + 1, 3), min(len(re.findall(r"[.!?]", text)), 2)
        state = (fresh, word, stems, after, may_end, count, ends, not text)
        if state not in self._cache:
            self._cache[state] = self._compute(*state)
        ids = self._cache[state]
        if room > _LONG:
            return ids
        if not self.body and room <= _CLOSING and may_end and (closing := self._closing(ids)):
            return closing
        return [i for i in ids if len(self.table.texts[i]) <= room or self.table.texts[i] == END]

    def _closing(self, ids: Sequence[int]) -> list[int]:
        return [i for i in ids if self.table.texts[i] in {END, "?"}]

    def _following(self, sentence: str) -> tuple[frozenset[str], bool]:
        if sentence not in self._next:
            self._next[sentence] = self.words.next(sentence, BODY_SHARE if self.body else HEADLINE_SHARE)
        return self._next[sentence]

    def _compute(
        self, fresh: bool, word: str, stems: frozenset[str], after: frozenset[str], may_end: bool, count: int,
        ends: int, start: bool,
    ) -> list[int]:  # fmt: skip
        if word[-1:] in {".", "!", "?"}:
            more = self._starts(True, frozenset(self.words.own)) if self.body and ends < 2 else set()
            return self._ids({END} | more)
        if word.endswith(","):
            return self._ids(self._starts(False, after))
        if not word:
            lead = " " if start else ""
            return self._ids({lead + t.strip() for t in self._starts(fresh, stems)})
        known = self._prefixes(fresh, stems)
        texts = {t for w in known.get(word, ()) for t in (w[len(word) :][:n] for n in range(1, len(w) - len(word) + 1))}
        if word in known.get(word, ()):
            texts |= self._starts(False, after) | {","}
            if may_end and count >= 2:
                texts |= {".", "!", "?"} if self.body else {"?", END}
        return self._ids(texts)

    def _prefixes(self, fresh: bool, stems: frozenset[str]) -> dict[str, frozenset[str]]:
        """Every beginning of a word that may stand here -> the words that begin so."""
        key = (fresh, stems)
        if key not in self._known:
            spelled = self.words.plain | {w for s in stems for w in self.words.own.get(s, ())}
            found: dict[str, set[str]] = {}
            for w in {w[0].upper() + w[1:] for w in spelled} if fresh else spelled:
                for n in range(1, len(w) + 1):
                    found.setdefault(w[:n], set()).add(w)
            self._known[key] = {k: frozenset(v) for k, v in found.items()}
        return self._known[key]

    def _starts(self, fresh: bool, stems: frozenset[str]) -> set[str]:
        return {" " + prefix for prefix in self._prefixes(fresh, stems)}

    def _ids(self, texts: Iterable[str]) -> list[int]:
        """Ids of texts; a tokenizer that writes its blanks alone gets the blank of a text that it has no token for."""
        found = [i for text in sorted(texts) for i in self.table.ids.get(text, ())]
        if not self.table.joins_blanks and any(text.startswith(" ") for text in texts):
            found += self.table.ids.get(" ", [])
        return found
