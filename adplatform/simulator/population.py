"""The people: what is known of them, and the tastes that nobody knows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from adplatform.simulator.arrow import build, ids, words
from adplatform.simulator.config import (
    AGE_BANDS,
    APPEALS,
    AUDIENCES,
    CATEGORIES,
    DEVICES,
    GROUPS,
    REGIONS,
    TASTES,
    TONES,
    MarketConfig,
)
from adplatform.simulator.streams import Array, pick, stream

DAY_US = 86_400_000_000
_TASTE_SD = np.concatenate([np.full(len(TONES), 0.43), np.full(len(APPEALS), 0.43), np.full(len(CATEGORIES), 0.35)])
"""Standard deviation of a taste over users (log-odds), before the liking of the own audience's category."""
_OWN_CATEGORY = 0.6


def midnight_us(config: MarketConfig) -> int:
    """First instant of the market, microseconds since 1970."""
    first = config.first_day
    return int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp()) * 1_000_000


@dataclass(frozen=True)
class Population:
    """Users in columns, all of length ``users``; ``taste`` is (users, TASTES) in log-odds, tones then appeals then categories.

    ``activity`` is an integer from 1 to 40: a user's chance to be behind a request is proportional to it.
    """

    audience: Array
    age: Array
    region: Array
    device: Array
    consent: Array
    registered_us: Array
    activity: Array
    taste: Array
    group_mean: Array
    """(GROUPS, TASTES): mean taste of each audience and age band."""
    drift: Array
    """(GROUPS, TASTES): what taste drift adds."""

    @property
    def size(self) -> int:
        """Number of users."""
        return len(self.group)

    @property
    def group(self) -> Array:
        """Index of each user's segment in SEGMENT_IDS, whether or not the user consents."""
        return (self.audience * len(AGE_BANDS) + self.age).astype(np.int8)

    def table(self) -> pa.Table:
        """The landing table ``users``. Labels stand there without consent too: not to use them is the warehouse's duty."""
        return build(
            "users",
            {
                "user_id": ids("u", np.arange(self.size), 6),
                "registered_at": self.registered_us,
                "consent": self.consent,
                "audience": words(AUDIENCES, self.audience),
                "age_band": words(AGE_BANDS, self.age),
                "region": words(REGIONS, self.region),
                "device": words(DEVICES, self.device),
            },
        )


def group_tastes(config: MarketConfig) -> tuple[Array, Array]:
    """Mean taste of each group, and its change under taste drift; both (GROUPS, TASTES).

    Audience carries half of the variance between groups, age band 30 % and the pair the rest: neighbours resemble each other.
    """
    generator = stream(config.seed, "group tastes")
    between = _TASTE_SD * np.sqrt(1.0 - config.personal_share)
    by_audience = generator.standard_normal((len(AUDIENCES), 1, TASTES))
    by_age = generator.standard_normal((1, len(AGE_BANDS), TASTES))
    own = generator.standard_normal((len(AUDIENCES), len(AGE_BANDS), TASTES))
    mean = (np.sqrt(0.5) * by_audience + np.sqrt(0.3) * by_age + np.sqrt(0.2) * own).reshape(GROUPS, TASTES) * between
    audience_of_group = np.repeat(np.arange(len(AUDIENCES)), len(AGE_BANDS))
    mean[np.arange(GROUPS), len(TONES) + len(APPEALS) + audience_of_group] += _OWN_CATEGORY
    other = mean.reshape(len(AUDIENCES), len(AGE_BANDS), TASTES)
    shifted = np.roll(np.roll(other, 3, axis=0), 2, axis=1).reshape(GROUPS, TASTES)
    return mean, 0.8 * (shifted - mean)


def draw_population(config: MarketConfig) -> Population:
    """The users of this seed."""
    generator = stream(config.seed, "users")
    size = config.users
    audience = pick(generator, generator.dirichlet(np.full(len(AUDIENCES), 30.0)), size)
    age = pick(generator, generator.dirichlet(np.full(len(AGE_BANDS), 30.0)), size)
    mobile = np.array([0.8, 0.7, 0.55, 0.4])[age]
    activity = np.clip(np.rint(np.exp(generator.normal(1.9, 0.7, size))), 1, 40).astype(np.int16)
    mean, drift = group_tastes(config)
    personal = generator.standard_normal((size, TASTES), dtype=np.float32)
    personal *= (_TASTE_SD * np.sqrt(config.personal_share)).astype(np.float32)
    personal += mean.astype(np.float32)[audience.astype(np.int64) * len(AGE_BANDS) + age]
    first = midnight_us(config)
    return Population(
        audience=audience,
        age=age,
        region=pick(generator, np.array([0.3, 0.25, 0.25, 0.2]), size),
        device=(generator.random(size) >= mobile).astype(np.int8),
        consent=generator.random(size) < config.consent_share,
        registered_us=first - 1 - (generator.exponential(200.0, size) * DAY_US).astype(np.int64),
        activity=activity,
        taste=personal,
        group_mean=mean,
        drift=drift,
    )
