"""Agents that fail in every way a plan must survive: they wrap a sound one and spoil its answer.

Spoilt answers go round pydantic (``model_construct``), as an answer from another process or a careless agent would.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from adplatform.contracts.base import Message

METHODS = {"creative": "creatives", "targeting": "rank", "measurement": "expect", "budget": "allocate"}
KINDS = ("raises", "hangs", "nan", "negative", "unknown ids", "shares", "length", "markup")
FIRST = {"creative": "variants", "targeting": "scores", "measurement": "combinations", "budget": "shares"}
FIGURE = {"creative": "scores", "targeting": "click_rate", "measurement": "clicks_per_unit", "budget": "share"}
IDENTIFIER = {"creative": "creative_id", "targeting": "segment_id", "measurement": "segment_id", "budget": "option_id"}


def changed(message: Message, **fields: Any) -> Any:
    """A copy with fields set past validation."""
    return type(message).model_construct(**{**{k: getattr(message, k) for k in type(message).model_fields}, **fields})


def _figure(agent: str, item: Any, value: float) -> Any:
    if agent == "creative":
        return changed(item, scores=changed(item.scores, relevance=value))
    return changed(item, **{FIGURE[agent]: value})


def _shares(agent: str, item: Any) -> Any:
    """Shares that don't add to 1: for the budget its shares, for the others a rate or score over 1."""
    if agent == "measurement":
        return changed(item, click_rate=1.7)
    return changed(item, share=min(1.0, item.share + 0.5)) if agent == "budget" else _figure(agent, item, 1.7)


def _negative(agent: str, item: Any) -> Any:
    return changed(item, budget=Decimal("-1.00")) if agent == "budget" else _figure(agent, item, -0.1)


def _unknown(agent: str, item: Any) -> Any:
    # a creative agent makes its own ids: the fault there is one id for two texts, put on by ``spoil``
    return changed(item, **{IDENTIFIER[agent]: "nobody-knows-this"})


def _markup(agent: str, item: Any) -> Any:
    if agent == "creative":
        return changed(item, body="<script>alert(1)</script>")
    return changed(item, **{IDENTIFIER[agent]: "<b>bold</b>"})


SPOIL: dict[str, Callable[[str, Any], Any]] = {
    "nan": lambda agent, item: _figure(agent, item, float("nan")),
    "negative": _negative,
    "unknown ids": _unknown,
    "shares": _shares,
    "markup": _markup,
}


def spoil(agent: str, kind: str, answer: Any) -> Any:
    """The answer with one fault of ``kind``."""
    field = FIRST[agent]
    items = list(getattr(answer, field))
    if kind == "length":
        return (
            changed(answer, **{field: tuple(items[:1] if agent == "creative" else items[:-1])})
            if agent != "targeting"
            else changed(answer, **{field: ()})
        )
    items[0] = SPOIL[kind](agent, items[0])
    if agent == "creative" and kind == "unknown ids":
        items[1] = changed(items[1], creative_id="nobody-knows-this")
    return changed(answer, **{field: tuple(items)})


class Broken:
    """The agent ``name`` with a failure of ``kind``; ``sound`` is the agent it spoils."""

    def __init__(self, name: str, kind: str, sound: Any) -> None:
        self._name, self._kind, self._sound = name, kind, sound
        self.version = f"broken-{name}"

    def __getattr__(self, method: str) -> Callable[[Any], Any]:
        if method != METHODS[self._name]:
            raise AttributeError(method)
        return self._answer

    def _answer(self, request: Any) -> Any:
        if self._kind == "raises":
            raise RuntimeError("the model's file is gone")
        if self._kind == "hangs":
            threading.Event().wait()
        return spoil(self._name, self._kind, getattr(self._sound, METHODS[self._name])(request))
