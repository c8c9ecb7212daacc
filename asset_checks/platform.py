"""What every check reads from: the home's state (the checks take no resource, so that they run alone)."""

from __future__ import annotations

from adplatform.state import State


def state() -> State:
    """The home that the environment names."""
    return State.current()
