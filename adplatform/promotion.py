"""The one gate between a challenger and what serves."""

from __future__ import annotations

from adplatform.contracts.promotion import Promotion, Verdict
from adplatform.store.registry import Registry


def promote(registry: Registry, verdict: Verdict) -> Promotion:
    """Move the pointer to the challenger if its verdict passed, else keep the champion and record why.

    A registry without a champion is given none by default: the caller publishes and promotes the first champion
    (the logging policy or the base rate) before any challenger is judged.
    """
    if verdict.passed and verdict.challenger != verdict.champion:
        return registry.promote(verdict.agent, verdict.challenger, verdict.reason)
    return registry.keep(verdict.agent, verdict.reason)
