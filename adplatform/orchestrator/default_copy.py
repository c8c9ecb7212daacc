"""The creative agent's default rule: the product's own name, description and facts, in plain sentences.

No model and no randomness. The creative room's richer templates can be put in its place (``Orchestrator(copy_rule=...)``).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter

from adplatform.contracts.brief import Appeal, Brief, Tone
from adplatform.contracts.creative import CopySource, CopyVariant, CreativeRequest, CreativeScores, CreativeSet
from adplatform.contracts.errors import InputError
from adplatform.orchestrator.validation import MARKUP
from adplatform.orchestrator.words import shortened, without_phrase

OPENINGS = {
    Tone.PLAYFUL: "Say hello to",
    Tone.PREMIUM: "Discover",
    Tone.URGENT: "Now here:",
    Tone.TRUSTED: "Get to know",
}
ARGUMENTS = {
    Appeal.PRICE: "See the price.",
    Appeal.QUALITY: "See how it is made.",
    Appeal.CONVENIENCE: "Find out more.",
    Appeal.NOVELTY: "See what it does.",
}
CLOSINGS = ("Take a look.", "See more.", "Learn more.", "Read on.", "Have a look.", "See for yourself.")
LEAST_ROOM = 10


class DefaultCopy:
    """Implements CreativeAgent. Scores are cosines of word counts, for want of an embedding."""

    version = "default-copy-1"

    def creatives(self, request: CreativeRequest) -> CreativeSet:
        """``brief.variants`` texts within the guidelines; InputError where these leave no room for any text."""
        brief = request.brief
        tones, appeals = brief.guidelines.tones or tuple(Tone), tuple(Appeal)
        texts: dict[tuple[str, str], tuple[Tone, Appeal]] = {}
        for number in range(len(tones) * len(appeals) * (2 + len(CLOSINGS))):
            turn, which = divmod(number, len(tones))
            tone, appeal = tones[which], appeals[(which + turn) % len(appeals)]
            texts.setdefault(_text(brief, tone, appeal, number), (tone, appeal))
            if len(texts) == brief.variants:
                break
        return CreativeSet(variants=_scored(brief, texts), generated=0, model_version=self.version)


def _scored(brief: Brief, texts: dict[tuple[str, str], tuple[Tone, Appeal]]) -> tuple[CopyVariant, ...]:
    bags = [_bag(f"{headline} {body}") for headline, body in texts]
    wanted = _bag(f"{brief.product.name} {brief.product.description} {' '.join(brief.product.facts)}")
    variants = []
    for i, ((headline, body), (tone, appeal)) in enumerate(texts.items()):
        closest = max((_cosine(bags[i], other) for j, other in enumerate(bags) if j != i), default=0.0)
        variants.append(
            CopyVariant(
                creative_id="text-" + hashlib.sha256(f"{headline}|{body}".encode()).hexdigest()[:12],
                headline=headline,
                body=body,
                tone=tone,
                appeal=appeal,
                source=CopySource.TEMPLATE,
                scores=CreativeScores(relevance=_cosine(bags[i], wanted), diversity=1.0 - closest, brand=1.0),
            )
        )
    return tuple(variants)


def _text(brief: Brief, tone: Tone, appeal: Appeal, number: int) -> tuple[str, str]:
    """Headline and body of text ``number``; later rounds turn the sentences round and close differently."""
    limits = brief.guidelines
    disclaimer = (limits.required_disclaimer or "").strip()
    room = limits.body_max - (len(disclaimer) + 1 if disclaimer else 0)
    if room < LEAST_ROOM:
        problem = f"leaves {max(room, 0)} of body_max {limits.body_max} characters for the copy"
        raise InputError("guidelines.required_disclaimer", problem, "raise body_max or shorten the disclaimer")
    sayings = (brief.product.description, *brief.product.facts)
    saying, turn = sayings[number % len(sayings)], number // (len(limits.tones or tuple(Tone)) * len(Appeal))
    closing = ARGUMENTS[appeal] if turn < 2 else CLOSINGS[turn - 2]
    body = _fitting(brief, (saying, closing) if turn == 0 else (closing, saying), room)
    headline = _fitting(brief, (f"{OPENINGS[tone]} {brief.product.name}",), limits.headline_max, ending="")
    return headline or CLOSINGS[1][:-1], f"{body or CLOSINGS[number % len(CLOSINGS)][:room]} {disclaimer}".strip()


def _fitting(brief: Brief, sentences: tuple[str, ...], room: int, ending: str = ".") -> str:
    """The sentences that fit as a whole, cleaned of what the brand bans; the first one shortened where none does."""
    cleaned = []
    for text in sentences:
        for phrase in (*brief.guidelines.banned_words, *brief.guidelines.banned_claims):
            text = without_phrase(text, phrase)
        text = " ".join(MARKUP.sub(" ", text).split())
        if text:
            cleaned.append(text if text[-1] in ".!?" else text + ending)
    whole = ""
    for text in cleaned:
        if len(whole) + len(text) + bool(whole) <= room:
            whole = f"{whole} {text}".strip()
    return whole or shortened(cleaned[0] if cleaned else "", room)


def _bag(text: str) -> Counter[str]:
    return Counter(re.findall(r"[^\W_]+", text.casefold()))


def _cosine(a: Counter[str], b: Counter[str]) -> float:
    """Cosine of word counts, in [0, 1]."""
    norm = math.sqrt(sum(v * v for v in a.values()) * sum(v * v for v in b.values()))
    return min(1.0, sum(a[w] * b[w] for w in a) / norm) if norm else 0.0
