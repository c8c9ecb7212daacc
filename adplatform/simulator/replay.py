"""The market run once more, kept as codes: what the oracle looks up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from adplatform.contracts.errors import InputError
from adplatform.simulator.config import Faults
from adplatform.simulator.history import ExposureHistory, History
from adplatform.simulator.market import Market
from adplatform.simulator.streams import Array

_LARGEST = 20_000_000
"""Impressions; 60 bytes each are kept."""


@dataclass(frozen=True)
class Pool:
    """Every impression of the market in order, as codes."""

    user: Array
    campaign: Array
    creative: Array
    at_us: Array
    placement: Array
    position: Array
    test: Array
    clicked: Array
    first: Array
    """(days + 1,) index of the first impression of each day."""

    def rows(self, index: Array) -> dict[str, Array]:
        """The columns of those impressions, with their day."""
        found = {n: getattr(self, n)[index] for n in ("user", "campaign", "creative", "at_us", "placement", "position")}
        found["day"] = np.searchsorted(self.first, index, side="right") - 1
        return found


def replay(market: Market, faults: Faults) -> tuple[Pool, ExposureHistory, History]:
    """Every impression, and exposures and history as of each day. InputError above 20 million impressions."""
    if market.config.impressions > _LARGEST:
        raise InputError(
            "scale", f"a replay of {market.config.impressions} impressions needs too much memory", "take small"
        )
    exposures, history = ExposureHistory(len(market.world.tone)), History(market.config)
    names = ("user", "campaign", "creative", "at_us", "placement", "position", "test", "clicked")
    kept: dict[str, list[Array]] = {name: [] for name in names}
    first = [0]
    for day, trace in enumerate(market.traces(faults)):
        for name in names:
            kept[name].append(np.concatenate([getattr(h, name) for h in trace.hours]))
        user = kept["user"][-1]
        history.add(day, user, user[kept["clicked"][-1]], trace.purchases.user)
        exposures.add(trace.pairs, trace.seen)
        first.append(first[-1] + len(user))
    columns = {name: np.concatenate(parts) for name, parts in kept.items()}
    return Pool(**columns, first=np.array(first)), exposures, history
