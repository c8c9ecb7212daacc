"""Words, numbers and look-alikes: one way to read text for every rule, so that no spelling trick slips past one of them."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Final

import yaml

from adplatform.contracts.brief import Appeal, Tone

# Letters of other alphabets that look Latin; NFKC leaves them as they are.
_LOOK_ALIKES: Final = str.maketrans(
    "аеорсухікмтвнԁѕјԛԝһӏαβεικνορτυχγωıłøđ",
    "aeopcyxikmtbhdsjqwhlabeiknoptuxywilod",
)
_LEET: Final = str.maketrans("0134578@$!|+€£", "oieastbasiltel")
_LEET_ONE_L: Final = str.maketrans("0134578@$!|+€£", "oleastbasiltel")
WORD: Final = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
NUMBER: Final = re.compile(r"\d+(?:[.,:]\d+)*")
_SPELLED: Final = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
]
NUMBER_WORDS: Final = {word: str(value) for value, word in enumerate(_SPELLED)} | {
    "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90",
    "hundred": "100", "hundreds": "100", "thousand": "1000", "thousands": "1000", "million": "1000000",
    "millions": "1000000", "dozen": "12", "dozens": "12", "double": "2x", "twice": "2x", "triple": "3x", "half": "1/2",
    "third": "1/3", "quarter": "1/4",
}  # fmt: skip


@lru_cache(maxsize=4)
def resource(name: str) -> dict[str, Any]:
    """A YAML file of this room."""
    return dict(yaml.safe_load(resources.files("adplatform.creative").joinpath(name).read_text("utf-8")))


@lru_cache(maxsize=32)
def word_list(kind: str) -> frozenset[str]:
    """One list of words.yaml, as folded words."""
    return frozenset(str(resource("words.yaml")[kind]).split())


@dataclass(frozen=True)
class Example:
    """One few-shot example: an ad for an invented product, and the fact it argues with."""

    tone: Tone
    appeal: Appeal
    product: str
    fact: str
    headline: str
    body: str


@lru_cache(maxsize=1)
def examples() -> tuple[Example, ...]:
    """All examples of exemplars.yaml."""
    return tuple(
        Example(Tone(tone), Appeal(appeal), *(part.strip() for part in row.split(" | ")))
        for tone, appeals in resource("exemplars.yaml").items()
        for appeal, rows in appeals.items()
        for row in rows
    )


def fold(text: str) -> str:
    """Lower case, compatibility forms and accents resolved, invisible characters dropped, look-alikes made Latin."""
    decomposed = unicodedata.normalize("NFKD", text)
    kept = (c for c in decomposed if unicodedata.category(c) not in {"Mn", "Cf", "Cc"} or c in "\n\t")
    return "".join(kept).casefold().translate(_LOOK_ALIKES).replace("’", "'").replace("‘", "'")


def words(text: str) -> list[str]:
    """Folded words of ``text``, hyphens and apostrophes inside a word kept."""
    return WORD.findall(fold(text))


def compact(text: str) -> str:
    """Folded letters and digits alone: what is left when spacing and punctuation tricks are undone."""
    return "".join(c for c in fold(text) if c.isalnum())


def unmasked(text: str) -> tuple[str, ...]:
    """Folded text with digits and signs read as the letters they stand for; '1' may stand for i or l."""
    folded = fold(text)
    bare = re.sub(r"!+(?=\s|$|[.,?])", " ", folded)  # an exclamation mark, not an i
    return tuple(dict.fromkeys(text.translate(table) for text in (folded, bare) for table in ({}, _LEET, _LEET_ONE_L)))


@lru_cache(maxsize=20000)
def stem(word: str) -> str:
    """A crude stem: enough that 'arrives', 'arrived' and 'arriving' meet."""
    base = word.removesuffix("'s").removesuffix("'")
    for ending in (
        "iness",
        "ingly",
        "edly",
        "ings",
        "ing",
        "ies",
        "ied",
        "ely",
        "ily",
        "ers",
        "ed",
        "es",
        "er",
        "ly",
        "s",
        "y",
    ):
        if base.endswith(ending) and len(base) - len(ending) >= 3:
            base = base[: -len(ending)]
            break
    if len(base) > 3 and base[-1] == base[-2] and base[-1] not in "ls":
        base = base[:-1]
    return base.removesuffix("e") if len(base) > 3 else base


def sentences(text: str) -> list[str]:
    """Sentences with their closing mark."""
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+", text.strip()) if part.strip()]


def canonical_number(raw: str) -> str:
    """'1,200' and '1200' are one number, so are '9.90' and '9.9', and so are 'five' and '5'."""
    if raw in NUMBER_WORDS:
        return NUMBER_WORDS[raw]
    plain = re.sub(r"[.,](?=\d{3}\b)", "", raw).replace(",", ".")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain.lstrip("0") or "0"
