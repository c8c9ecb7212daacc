"""The template fallback: copy from the brief's own statements, framed by tone and appeal. It keeps the same rules.

Used to fill up what the language model left open, and alone when the model cannot answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from adplatform.contracts.brief import Appeal, Brief, Tone
from adplatform.creative.text import resource, sentences

_BARE = (
    ("Look here", "See it, then decide."), ("Hello", "Say hello to it today."), ("Your turn", "You decide, in your own time."),
    ("See for yourself", "Come closer and take a look."), ("Why wait?", "Make today the day."),
    ("Take a look", "Here is something to see."), ("Curious?", "Go on, be curious."), ("Today", "A good day to find out."),
    ("Meet it", "Come and meet it."), ("A word", "We have something to show."),
)  # fmt: skip
"""(headline, body) for limits so narrow that neither name nor statement fits; at most 17 and 29 characters."""


def as_sentence(fact: str) -> str:
    """A statement as a sentence of its own: capital first, full stop last."""
    text = " ".join(fact.split())
    text = text[:1].upper() + text[1:]
    return text if text[-1:] in {".", "!", "?"} else text.rstrip(",;:") + "."


def statements(brief: Brief) -> list[str]:
    """What templates may state: the facts, then the sentences of the description."""
    return [as_sentence(f) for f in (*brief.product.facts, *sentences(brief.product.description))]


def candidates(brief: Brief, tone: Tone, appeal: Appeal, facts: Sequence[str], limit: int) -> Iterator[tuple[str, str]]:
    """(headline, body without disclaimer) for a tone and appeal, the preferred facts first.

    ``facts``: sentences from ``statements`` in order of preference. ``limit``: characters of body. Only lengths are
    looked at here; every other rule is the rulebook's.
    """
    table, name = resource("templates.yaml")[tone.value], brief.product.name
    headlines = [h.format(name=name) for h in table[appeal.value]["headlines"]]
    closers, openers = list(table[appeal.value]["closers"]), [o.format(name=name) for o in table["openers"]]
    headlines += [f.removesuffix(".") for f in facts]
    fits = [h for h in headlines if len(h) <= brief.guidelines.headline_max]
    for turn, headline in enumerate(fits):
        for at, fact in enumerate(facts):
            for shift in range(len(closers)):
                closer = closers[(turn + at + shift) % len(closers)]
                opener = openers[(turn + at + 2 * shift) % len(openers)]
                body = _longest(opener, fact, closer, headline, name, limit)
                if body:
                    yield headline, body


def bare(brief: Brief, limit: int) -> list[tuple[str, str]]:
    """The last resort, where nothing else fits or differs enough."""
    return [(h, b) for h, b in _BARE if len(h) <= brief.guidelines.headline_max and len(b) <= limit]


def _longest(opener: str, fact: str, closer: str, headline: str, name: str, limit: int) -> str | None:
    """The fullest frame that fits. The product must be named: by the headline or by the body."""
    said = fact.removesuffix(".") == headline
    named = name in headline or len(name) + 5 > limit  # a name too long for the slot can't be asked for
    frames = (
        (opener, closer) if said else (opener, fact, closer),
        (opener, fact),
        (fact, closer),
        (opener, closer),
        (closer,),
        (fact,),
    )
    for frame in frames:
        body = " ".join(frame)
        if len(body) <= limit and not (said and fact in frame) and (named or name in body):
            return body
    return None
