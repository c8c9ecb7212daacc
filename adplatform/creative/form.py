"""Form rules: signs, capitals and the grammar a careless writer breaks. They need no brief but its spellings."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from functools import lru_cache
from typing import Final

from adplatform.creative.text import examples, fold, sentences, word_list, words

_PUNCTUATION: Final = frozenset(" .,!?'’\"“”–—-:;%€$£&()/")
_MARKUP: Final = re.compile(r"[<>\[\]{}*`_#|\\~^=]|&[a-z]+;")
_ADDRESS: Final = re.compile(
    r"https?:|www\.|\S@\S|\b[\w-]+\.(?:com|net|org|io|co|de|uk|eu|shop|app|info|biz|ai|fr|store)\b", re.IGNORECASE
)
_LEAK: Final = re.compile(
    r"\b(?:headline|body|product|facts?|ad|tone|appeal|brief|copy)\s*:|\bad about\b", re.IGNORECASE
)
_SPACING: Final = re.compile(r"\s{2,}|\s[.,!?;:%)](?!\d)|[.,!?;:]{2,}|\(\s|[.!?][^\W\d_]|,[^\W\d_]|[\t\n\r]")
_LETTERS: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


def characters(text: str, letters: frozenset[str], spellings: frozenset[str]) -> list[str]:
    """Rules on signs. ``letters``: further characters allowed; ``spellings``: words whose capitals are right as they are."""
    rules = []
    if _MARKUP.search(text):
        rules.append("markup")
    if _ADDRESS.search(text) or _ADDRESS.search(fold(text)):
        rules.append("address")
    if any(not (c in _PUNCTUATION or (c.isascii() and c.isalnum()) or c in letters) for c in text):
        rules.append("characters")
    if any(len(w) > 1 and w.isupper() and w not in spellings for w in re.findall(r"[^\W\d_]+", text)):
        rules.append("capitals")
    if any(_foreign_name(s, spellings) for s in sentences(text)):
        rules.append("name")
    return rules


def _foreign_name(sentence: str, spellings: frozenset[str]) -> bool:
    """A capitalised word that opens no sentence and is spelled so nowhere in the brief."""
    allowed = word_list("names")
    inner = _LETTERS.findall(sentence)[1:]
    return any(
        any(c.isupper() for c in w) and re.split(r"['’]", w)[0] not in spellings and fold(w) not in allowed
        for w in inner
    )


def grammar(headline: str, body: str, names: frozenset[str] = frozenset()) -> list[str]:
    """Rules on form: balanced quotes, proper ends, no word twice, no piece of the prompt. ``names``: folded name words."""
    rules = []
    for text in (headline, body):
        if text.count('"') % 2 or text.count("“") != text.count("”") or text.count("(") != text.count(")"):
            rules.append("unbalanced")
        if _SPACING.search(text) or text != text.strip():
            rules.append("spacing")
        if _LEAK.search(text) or any(name in fold(text) for name in _example_names() if not set(name.split()) <= names):
            rules.append("prompt_leak")
        if any(
            not (s[0].isupper() or s[0].isdigit() or s[0] in "\"“'€$£") and words(s)[:1] and words(s)[0] not in names
            for s in sentences(text)
        ):
            rules.append("small_start")
    if not body or body.rstrip("\"”')")[-1:] not in {".", "!", "?"}:
        rules.append("unfinished")
    if any((words(s) or ["the"])[-1] in word_list("open_ends") for s in (headline, *sentences(body))) or headline[
        -1:
    ] in {
        ",",
        ";",
        ":",
        "-",
        "–",
        "—",
    }:
        rules.append("unfinished")
    if any(w in word_list("open_ends") for text in (headline, body) for w in re.findall(r"([^\W\d_']+),", fold(text))):
        rules.append("unfinished")
    if _repeats(headline, body, names):
        rules.append("repetition")
    return list(dict.fromkeys(rules))


def _repeats(headline: str, body: str, names: frozenset[str]) -> bool:
    """A word twice in a row, a content word three times (twice in the headline), a sentence twice, or a body that opens as the headline does."""
    for text in (headline, body):
        found = words(text)
        if any(a == b for a, b in itertools.pairwise(found)):
            return True
    function = word_list("function")
    opening = [w for w in words(headline) if w not in function and w not in names]
    if len(set(opening)) < len(opening):
        return True
    counted = Counter(w for w in words(f"{headline} {body}") if w not in function and w not in names)
    if counted and counted.most_common(1)[0][1] > 2:
        return True
    whole = [" ".join(words(s)) for s in (headline, *sentences(body))]
    return len(set(whole)) < len(whole) or fold(body).startswith(fold(headline.rstrip(".!?")) + " ")


@lru_cache(maxsize=1)
def _example_names() -> frozenset[str]:
    """Folded product names of the prompt's examples."""
    return frozenset(fold(example.product) for example in examples())
