"""What a marketer asks for: a brief, its product, audience, flight and brand guidelines."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, field_validator, model_validator

from adplatform.contracts.base import Identifier, Message, Money, Text


class Objective(StrEnum):
    """What the campaign is paid to bring."""

    CLICKS = "clicks"
    CONVERSIONS = "conversions"


class Tone(StrEnum):
    """How the copy speaks; a creative attribute whose effect depends on the user's taste."""

    PLAYFUL = "playful"
    PREMIUM = "premium"
    URGENT = "urgent"
    TRUSTED = "trusted"


class Appeal(StrEnum):
    """What the copy argues with; a creative attribute whose effect depends on the user's taste."""

    PRICE = "price"
    QUALITY = "quality"
    CONVENIENCE = "convenience"
    NOVELTY = "novelty"


class Product(Message):
    """The thing advertised. ``facts`` are the only claims that copy may make about it."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    category: Annotated[str, Field(min_length=1, max_length=40)]
    description: Text
    facts: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = ()


class BrandGuidelines(Message):
    """Rules that every variant must keep. Lengths are in characters."""

    headline_max: Annotated[int, Field(ge=10, le=200)] = 40
    body_max: Annotated[int, Field(ge=20, le=500)] = 120
    banned_words: tuple[str, ...] = ()
    banned_claims: tuple[str, ...] = (
        "guaranteed",
        "risk-free",
        "miracle",
        "cure",
        "number one",
        "#1",
        "best in the world",
    )
    required_disclaimer: Annotated[str, Field(max_length=120)] | None = None
    tones: tuple[Tone, ...] = tuple(Tone)


class Flight(Message):
    """First and last day on air, both included, in the campaign's own zone."""

    starts_on: date
    ends_on: date
    timezone: str = "UTC"

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"unknown time zone {value!r}; give an IANA name such as Europe/Berlin")
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.ends_on < self.starts_on:
            raise ValueError(f"ends_on {self.ends_on} is before starts_on {self.starts_on}; swap the flight dates")
        return self

    @property
    def days(self) -> int:
        """Number of days on air."""
        return (self.ends_on - self.starts_on).days + 1

    @property
    def zone(self) -> ZoneInfo:
        """The campaign's zone, in which its budget days are counted."""
        return ZoneInfo(self.timezone)


class Audience(Message):
    """Who should see it. Empty means anyone. ``segments`` are ids of ``dim_segments``."""

    segments: tuple[Identifier, ...] = ()
    audiences: tuple[str, ...] = ()
    age_bands: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    excluded_segments: tuple[Identifier, ...] = ()


class Brief(Message):
    """A campaign request, complete: what ``adplatform plan`` needs to answer."""

    campaign_id: Identifier
    product: Product
    objective: Objective
    budget: Annotated[Money, Field(gt=0)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "EUR"
    flight: Flight
    audience: Audience = Audience()
    guidelines: BrandGuidelines = BrandGuidelines()
    target_cost: Annotated[Money, Field(gt=0)] | None = None
    """Most that one click or conversion (by objective) may cost on average."""
    variants: Annotated[int, Field(ge=5, le=10)] = 6
    combinations: Annotated[int, Field(ge=1, le=50)] = 10
    """How many creative x segment combinations the plan may spend on (the k of top k)."""
