"""A small world with known truth: training_examples whose click probabilities are written down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from adplatform.contracts.brief import Appeal, Tone
from adplatform.contracts.targeting import CreativeAttributes, Segment

AUDIENCES = ("cooks", "gamers", "runners", "travellers")
AGES = ("18-29", "30-44")
CATEGORIES = ("cooking", "gaming", "sports", "travel")
TONES, APPEALS = tuple(Tone), tuple(Appeal)
FIRST = date(2026, 3, 2)


def creatives(campaigns: int = 2, each: int = 6, offset: int = 0) -> list[CreativeAttributes]:
    return [
        CreativeAttributes(
            creative_id=f"c{k}-{offset + i}",
            campaign_id=f"k{k}",
            product_category=CATEGORIES[k % 4],
            tone=TONES[(offset + i) % 4],
            appeal=APPEALS[((offset + i) // 4 + i) % 4],
        )
        for k in range(campaigns)
        for i in range(each)
    ]


@dataclass(frozen=True)
class World:
    """Tastes: ``tone[audience, tone]``, ``appeal[age, appeal]``, and a match of audience and category."""

    tone: np.ndarray
    appeal: np.ndarray
    own: np.ndarray
    base: float = -2.6

    @classmethod
    def make(cls, seed: int, own: float = 0.0) -> World:
        rng = np.random.default_rng(seed)
        return cls(
            rng.normal(0, 0.7, (4, 4)), rng.normal(0, 0.4, (2, 4)), rng.normal(0, own, 400) if own else np.zeros(400)
        )

    def logits(self, audience: np.ndarray, age: np.ndarray, creative: CreativeAttributes) -> np.ndarray:
        tone, appeal = TONES.index(creative.tone), APPEALS.index(creative.appeal)
        match = np.where(audience == CATEGORIES.index(creative.product_category), 0.6, 0.0)
        return (
            self.base
            + self.tone[audience, tone]
            + self.appeal[age, appeal]
            + match
            + self.own[hash_id(creative.creative_id)]
        )

    def rates(self, ads: list[CreativeAttributes]) -> np.ndarray:
        """True click rate at the mean place by creative and segment (audience x age, in sorted order of ids)."""
        audience, age = np.repeat(np.arange(4), 2), np.tile(np.arange(2), 4)
        place = np.array([0.3, 0.0, -0.3])
        return np.stack(
            [(1 / (1 + np.exp(-(self.logits(audience, age, a)[:, None] + place)))).mean(axis=1) for a in ads]
        )


def hash_id(creative_id: str) -> int:
    return sum(ord(c) * 31**i for i, c in enumerate(creative_id)) % 400


def segments(users: int = 600) -> list[Segment]:
    return [Segment(segment_id=f"{a}|{b}", users=users // 8, audience=a, age_band=b) for a in AUDIENCES for b in AGES]


def examples(
    world: World,
    ads: list[CreativeAttributes],
    *,
    seed: int,
    rows: int = 20_000,
    days: int = 8,
    users: int = 600,
    logging: str = "skewed",
    consent: float = 0.9,
) -> tuple[pa.Table, np.ndarray]:
    """training_examples, and each row's true click probability."""
    rng = np.random.default_rng(seed)
    user = rng.integers(0, users, rows)
    audience, age, region = user % 4, (user // 4) % 2, (user // 8) % 2
    allowed = (user * 7919 % 1000) / 1000 < consent
    campaigns = sorted({a.campaign_id for a in ads})
    campaign = rng.integers(0, len(campaigns), rows)
    position, day = rng.integers(1, 4, rows), np.sort(rng.integers(0, days, rows))
    chosen, propensity, truth = np.zeros(rows, int), np.zeros(rows), np.zeros(rows)
    for k, name in enumerate(campaigns):
        own = [i for i, a in enumerate(ads) if a.campaign_id == name]
        r = np.flatnonzero(campaign == k)
        share = np.ones(len(own)) if logging == "uniform" else 1.0 + np.arange(len(own))[::-1] / len(own)
        share = share / share.sum()
        pick = rng.choice(len(own), len(r), p=share)
        chosen[r], propensity[r] = np.array(own)[pick], share[pick]
        logits = np.stack([world.logits(audience[r], age[r], ads[i]) for i in own])
        truth[r] = 1 / (1 + np.exp(-(logits[pick, np.arange(len(r))] + (2 - position[r]) * 0.3)))
    clicked = (rng.random(rows) < truth).astype(np.int64)
    known = [None if not a else f"u{u}" for u, a in zip(user, allowed, strict=True)]
    ad = [ads[i] for i in chosen]

    def mine(values: list) -> pa.Array:
        return pa.array([v if a else None for v, a in zip(values, allowed, strict=True)])

    table = pa.table(
        {
            "impression_id": [f"i{i}" for i in range(rows)],
            "event_day": pa.array([FIRST + timedelta(int(d)) for d in day], pa.date32()),
            "campaign_id": [a.campaign_id for a in ad],
            "user_id": pa.array(known, pa.string()),
            "segment_id": mine([f"{AUDIENCES[a]}|{AGES[b]}" for a, b in zip(audience, age, strict=True)]),
            "policy_version": ["logging"] * rows,
            "propensity": propensity,
            "experiment_id": pa.nulls(rows, pa.string()),
            "arm": pa.nulls(rows, pa.string()),
            "is_matured": day < days - 2,
            "audience": mine([AUDIENCES[a] for a in audience]),
            "age_band": mine([AGES[a] for a in age]),
            "region": mine([("north", "south")[r] for r in region]),
            "device": mine(["mobile"] * rows),
            "placement": ["feed"] * rows,
            "product_category": [a.product_category for a in ad],
            "tone": [str(a.tone) for a in ad],
            "appeal": [str(a.appeal) for a in ad],
            "creative_id": [a.creative_id for a in ad],
            "hour": rng.integers(0, 24, rows),
            "weekday": day % 7,
            "position": position,
            "tenure_days": mine([int(u) for u in user]),
            "user_impressions_7d": mine([3] * rows),
            "user_clicks_7d": mine([0] * rows),
            "user_clicks_28d": mine([0] * rows),
            "user_conversions_28d": mine([0] * rows),
            "user_days_since_click": pa.nulls(rows, pa.int64()),
            "creative_exposures_7d": mine([0] * rows),
            "clicked": clicked,
            "converted": pa.nulls(rows, pa.int64()),
            "conversion_value": pa.nulls(rows, pa.float64()),
            "price": np.full(rows, 0.002),
        }
    )
    return table, truth


def performance(table: pa.Table) -> pa.Table:
    """segment_performance as the mart has it, from examples."""
    known = table.filter(pa.compute.and_(table["is_matured"], pa.compute.is_valid(table["segment_id"])))
    out = known.group_by(["segment_id", "creative_id"]).aggregate([("clicked", "count"), ("clicked", "sum")])
    return out.rename_columns(["segment_id", "creative_id", "impressions", "clicks"])


def truth(world: World, table: pa.Table, ads: list[CreativeAttributes]) -> np.ndarray:
    """True click probability of each ad in each row (all users must consent), shape (rows, ads)."""
    audience = np.array([AUDIENCES.index(a) for a in table["audience"].to_pylist()])
    age = np.array([AGES.index(a) for a in table["age_band"].to_pylist()])
    place = (2 - table["position"].to_numpy()) * 0.3
    return np.stack([1 / (1 + np.exp(-(world.logits(audience, age, a) + place))) for a in ads], axis=1)


class Planted:
    """A policy that knows the truth: it favours (or, below 0, avoids) what is clicked."""

    trained_through = None

    def __init__(self, world: World, sharpness: float) -> None:
        self.world, self.sharpness, self.version = world, sharpness, f"planted{sharpness}"

    def probabilities(
        self, contexts: pa.Table, ads: list[CreativeAttributes], exposures: pa.Table | None = None
    ) -> np.ndarray:
        score = self.sharpness * np.log(truth(self.world, contexts, ads))
        weight = np.exp(score - score.max(axis=1, keepdims=True))
        return 0.8 * weight / weight.sum(axis=1, keepdims=True) + 0.2 / len(ads)
