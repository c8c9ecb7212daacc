"""Days of statistics drawn by hand: six creatives in two campaigns, three audiences, a model that is right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from adplatform.monitoring.statistics import BANDS, POPULATION, SCORES, Day, Library

LIBRARY = Library(np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 2, 0, 1, 2]), np.array([0, 0, 1, 1, 0, 1]))
LEVELS = dict.fromkeys(POPULATION, ("a", "b", "c"))
SHARES = np.array([0.5, 0.3, 0.2])


@dataclass
class World:
    """One day's truth; a test changes what it wants."""

    rows: int = 20_000
    rate: float = 0.05
    shares: np.ndarray | None = None
    slope: float = 1.0
    """Of the true log rate on the model's score."""
    mix: tuple[float, ...] = (1, 1, 1, 1, 1, 1)
    """How often each creative is shown, relative."""
    late: float = 1.0
    """Share of clicks that have come in."""


def day(rng: np.random.Generator, world: World) -> Day:
    """Counts of that day."""
    mix = np.array(world.mix, dtype=float) / sum(world.mix)
    shown = rng.multinomial(world.rows, mix).astype(float)
    shares = SHARES if world.shares is None else world.shares
    population = {}
    for name in POPULATION:
        own = shares if name == "audience" else SHARES
        population[name] = np.stack(
            [rng.multinomial(int(shown[:3].sum()), own), rng.multinomial(int(shown[3:].sum()), own)]
        ).astype(float)
    taste = 1 + 0.2 * np.arange(6) / 6
    by_band = np.outer(shown * world.rate * taste, [0.4, 0.3, 0.2, 0.1, 0.0, 0.0])
    bell = np.exp(-(SCORES**2) / 0.3)
    score = np.outer(shown * world.rate * taste, bell * np.exp(SCORES) / (bell * np.exp(SCORES)).sum())
    true_score = score * np.exp((world.slope - 1) * SCORES)
    true_score *= score.sum() / true_score.sum()
    audience = np.outer(shown * world.rate * taste, SHARES)
    weight = np.zeros((6, BANDS, 2))
    weight[:, 0, :] = (shown / mix)[:, None] / 2
    clicks = rng.poisson(weight * world.rate * taste[:, None, None] * world.late * mix[:, None, None])
    clicked = rng.poisson(by_band * world.late)
    return Day(
        population=population,
        clicks_by_exposure=clicked.astype(float), predicted_by_exposure=by_band,
        clicks_by_score=rng.poisson(true_score * world.late).astype(float), predicted_by_score=score,
        clicks_by_audience=rng.poisson(audience * world.late).astype(float), predicted_by_audience=audience,
        weight=weight, weighted_clicks=clicks / mix[:, None, None], squared_clicks=clicks / mix[:, None, None] ** 2,
        clicks=np.array([clicked[:3].sum(), clicked[3:].sum()], dtype=float),
        conversions=rng.binomial([clicked[:3].sum(), clicked[3:].sum()], 0.1).astype(float),
        reported=np.array(world.late),
    )  # fmt: skip
