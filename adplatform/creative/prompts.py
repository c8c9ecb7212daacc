"""Few-shot prompts for each tone and appeal, and the strict reading of what comes back."""

from __future__ import annotations

from typing import Final

from adplatform.contracts.brief import Appeal, Tone
from adplatform.creative.text import examples

VERSION: Final = "1"
"""Part of the agent's version: raise it when prompts, rules, templates or sampling change."""
_ASK: Final = {
    Appeal.PRICE: "its price", Appeal.QUALITY: "its quality", Appeal.CONVENIENCE: "how easy it is",
    Appeal.NOVELTY: "trying something different",
}  # fmt: skip
_LINE: Final = "Product: {name}\nFact: {fact}\n{tone} ad about {ask}: "


def prompt(tone: Tone, appeal: Appeal, name: str, fact: str, shots: int = 3) -> str:
    """Examples of this tone, those of this appeal last, then the product with the ad left open."""
    same_tone = [e for e in examples() if e.tone is tone]
    chosen = [e for e in same_tone if e.appeal is not appeal][: max(shots - 2, 0)]
    chosen += [e for e in same_tone if e.appeal is appeal]
    shown = [_line(e.tone, e.appeal, e.product, e.fact) + f"{e.headline} | {e.body}\n" for e in chosen[-shots:]]
    return "\n".join((*shown, _line(tone, appeal, name, fact).rstrip()))


def _line(tone: Tone, appeal: Appeal, name: str, fact: str) -> str:
    return _LINE.format(name=name, fact=fact, tone=tone.value.capitalize(), ask=_ASK[appeal])


def parse(text: str) -> tuple[str, str] | None:
    """(headline, body) of 'headline | body' on one line, None for anything else."""
    parts = text.strip().split("|")
    if len(parts) != 2 or "\n" in text.strip():
        return None
    headline, body = parts[0].strip().removesuffix("."), parts[1].strip()
    return (headline, body) if headline and body else None
