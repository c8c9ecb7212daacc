"""Conversions per click and their value, by product category and segment, each cell drawn to its group."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from adplatform.measurement.shrinkage import GroupMeans, Value, prior_strength, shrink_means

Floats = NDArray[np.float64]
Key = TypeVar("Key", bound=Hashable)


class Conversion(NamedTuple):
    """Conversions per click, and currency per conversion."""

    rate: Value
    value: Value


class Conversions(NamedTuple):
    """Rates by (group, segment), drawn to the group's rate, which is drawn to the overall rate."""

    cells: dict[tuple[str, str], Value]
    groups: dict[str, Value]
    """For a segment never seen with the group."""
    other: Value
    """For a group never seen."""
    values: GroupMeans

    @classmethod
    def of(
        cls, groups: Sequence[str], segments: Sequence[str], clicks: Sequence[int],
        conversions: Sequence[int | None], values: Sequence[float | None],
    ) -> Self | None:  # fmt: skip
        """From cells' sums, all (cells,); None where the data has no conversion."""
        known = [i for i, x in enumerate(conversions) if x is not None]
        labels = [groups[i] for i in known]
        n = np.array([clicks[i] for i in known], dtype=np.float64)
        # Each conversion is attributed to one click, so a restated count is at most the clicks.
        x = np.minimum(np.array([conversions[i] for i in known], dtype=np.float64), n)
        means = shrink_means(labels, x, np.array([values[i] or 0.0 for i in known]))
        if means is None:
            return None
        overall = _mean(float(x.sum()), float(n.sum()))
        by_group, new_group = _drawn(labels, n, x, lambda _: overall)
        keys = [(g, segments[i]) for g, i in zip(labels, known, strict=True)]
        by_cell, new_cell = _drawn(keys, n, x, lambda key: by_group[key[0]])
        return cls(by_cell, {g: new_cell(v) for g, v in by_group.items()}, new_group(overall), means)

    def of_cell(self, group: str, segment: str) -> Conversion:
        """The best that is known of a group's products in a segment."""
        rate = self.cells.get((group, segment), self.groups.get(group, self.other))
        return Conversion(rate, self.values.groups.get(group, self.values.other))


def _drawn(
    keys: Sequence[Key], trials: Floats, successes: Floats, parent: Callable[[Key], Value]
) -> tuple[dict[Key, Value], Callable[[Value], Value]]:
    """Posterior rate of each key, and the rate of a key never seen under a parent.

    Beta posterior under Beta(k m, k (1 - m)), k by maximum marginal likelihood, m the parent's rate, whose own error
    is carried over with the weight k / (k + n) that the parent has in the cell.
    """
    order = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    index = np.array([order[key] for key in keys])
    n, x = np.bincount(index, trials), np.bincount(index, successes)
    parents = [parent(key) for key in order]
    k = prior_strength(x, n, [p.mean for p in parents])

    def rate(p: Value, successes: float, trials: float) -> Value:
        mean = (k * p.mean + successes) / (k + trials)
        own = mean * (1 - mean) / (k + trials + 1)
        return Value(mean, float(np.sqrt(own + (k / (k + trials) * p.standard_error) ** 2)))

    cells = {key: rate(p, float(x[i]), float(n[i])) for (key, i), p in zip(order.items(), parents, strict=True)}
    return cells, lambda p: rate(p, 0.0, 0.0)


def _mean(successes: float, trials: float) -> Value:
    rate = (successes + 0.5) / (trials + 1)
    return Value(rate, float(np.sqrt(rate * (1 - rate) / (trials + 1))))
