"""Few-shot prompts for each slot, tone and appeal, and the strict reading of what comes back."""

from __future__ import annotations

from typing import Final

from adplatform.contracts.brief import Appeal, Tone
from adplatform.creative.text import Example, examples

VERSION: Final = "2"
"""Part of the agent's version: raise it when prompts, rules, templates or sampling change."""
_ASK: Final = {
    Appeal.PRICE: "the price", Appeal.QUALITY: "its quality", Appeal.CONVENIENCE: "how easy it is",
    Appeal.NOVELTY: "trying something different",
}  # fmt: skip
_SHOTS: Final = {True: 3, False: 4}
"""Examples shown for a body and for a headline, which is shorter."""


def prompt(tone: Tone, appeal: Appeal, name: str, fact: str, *, body: bool) -> str:
    """Examples of this tone, those of this appeal last, then the product with its body or headline left open."""
    same_tone = [e for e in examples() if e.tone is tone]
    others = [e for e in same_tone if e.appeal is not appeal]
    own = [e for e in same_tone if e.appeal is appeal]
    shown = (others[::2] + others[1::2])[: max(_SHOTS[body] - len(own), 0)] + own
    asked = Example(tone, appeal, name, fact, "", "")
    return "\n".join((*(_line(e, body) + "\n" for e in shown), _line(asked, body).rstrip()))


def _line(e: Example, body: bool) -> str:
    what, text = ("text", e.body) if body else ("headline", e.headline)
    return f"Product: {e.product}\nFact: {e.fact}\n{e.tone.value.capitalize()} {what} about {_ASK[e.appeal]}: {text}"


def parse(text: str) -> str | None:
    """One line without a separator or a label; None for anything else."""
    line = text.strip()
    return line if line and not set(line) & set("|\n:") else None
