"""What the gateway is asked and answers: decisions with their propensity, and the events that follow them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, Field, model_validator

from adplatform.contracts.base import Identifier, Message, NumberOnly, Probability

MOST_CANDIDATES = 100
MOST_EVENTS = 1000


class DecideRequest(Message):
    """Choose one creative for one slot. Without ``user_id``, or for a user who is unknown, nothing personal is used."""

    candidates: Annotated[
        tuple[Identifier, ...],
        Field(min_length=1, max_length=MOST_CANDIDATES, json_schema_extra={"uniqueItems": True}),
    ]
    """Ids of creatives in the library, each once."""
    user_id: Identifier | None = None
    placement: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    position: Annotated[int, Field(ge=1, le=100), NumberOnly] = 1

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.candidates)) < len(self.candidates):
            raise ValueError("candidates: an id is there twice; send each once")
        return self


class Decision(Message):
    """One choice. ``propensity`` is exact: ``policy_version`` gives it again for what was logged of the request."""

    decision_id: Identifier
    decided_at: datetime
    creative_id: Identifier
    propensity: Annotated[float, Field(gt=0, le=1)]
    policy_version: Identifier
    profile_version: Identifier | None = None
    """Snapshot of user profiles that features came from; absent where none was used."""
    reasons: tuple[str, ...]
    """Why: the policy or the default rule, and what was known of the user."""


class Shadow(Message):
    """What a challenger that runs in shadow would have said of the same request and features. It is never answered."""

    policy_version: Identifier
    creative_id: Identifier
    """Its own draw."""
    probabilities: tuple[Probability, ...]
    """Of each candidate."""


class LoggedDecision(Message):
    """A decision with everything that it takes to compute it again."""

    decision: Decision
    request: DecideRequest
    personal: bool
    """Whether features of the user were used; without it no user id is kept."""
    context: dict[str, str | float | None]
    """Features of the request and the user (contracts.features), without the creative's own."""
    exposures: tuple[float | None, ...]
    """``creative_exposures_7d`` of each candidate; null without a known user."""
    probabilities: tuple[Probability, ...]
    """Of each candidate, under ``decision.policy_version``."""
    shadow: Shadow | None = None
    """Absent where none ran, or where it failed."""


class EventKind(StrEnum):
    """What may follow a decision."""

    IMPRESSION = "impression"
    CLICK = "click"
    CONVERSION = "conversion"


class Event(Message):
    """One outcome of a decision. The same ``event_id`` and content again is a duplicate, and harmless."""

    event_id: Identifier
    kind: EventKind
    decision_id: Identifier
    occurred_at: AwareDatetime
    value: Annotated[float, Field(ge=0, le=100_000)] | None = None
    """Of a conversion, in the campaign's currency."""

    @model_validator(mode="after")
    def _value_of_conversions(self) -> Self:
        if (self.value is not None) != (self.kind is EventKind.CONVERSION):
            raise ValueError("value: a conversion has one, and no other event has; add or remove it")
        return self


class EventBatch(Message):
    """Events in any order. Each is judged for itself: see ``EventReport``."""

    events: Annotated[tuple[Event | Any, ...], Field(min_length=1, max_length=MOST_EVENTS)]
    """One that is no valid ``Event`` is rejected alone."""


class Rejection(Message):
    """An event that was not accepted. It is kept, and can be replayed once its cause is mended."""

    index: Annotated[int, Field(ge=0)]
    event_id: str | None = None
    reason: str


class EventReport(Message):
    """``accepted + duplicates + len(rejected)`` is the size of the batch. All of it is durable before the answer."""

    accepted: Annotated[int, Field(ge=0)]
    duplicates: Annotated[int, Field(ge=0)]
    held: Annotated[int, Field(ge=0)]
    """Accepted events, of ``accepted``, whose decision is not known yet; they join when it comes."""
    rejected: tuple[Rejection, ...] = ()


class WorkState(StrEnum):
    """Where a brief is on its way to its texts."""

    WAITING = "waiting"
    WRITING = "writing"


class CreativeWork(Message):
    """A brief that the creative service words or will word. Who asked may have gone: it is worded to the end and kept."""

    request_id: str
    """``X-Request-Id`` of whoever asked."""
    campaign_id: Identifier
    state: WorkState
    seconds: Annotated[float, Field(ge=0)]
    """Since it came."""


class CreativeProgress(Message):
    """What the creative service is at, in its order: one is written at a time."""

    work: tuple[CreativeWork, ...]
    finished: Annotated[int, Field(ge=0)]
    """Briefs since the service started, those whose texts were kept from before included."""
    longest_seconds: Annotated[float, Field(ge=0)]
    """Of those, from the beginning of its writing to its end."""


class AgentVersion(Message):
    """The model with which an agent's service would answer now."""

    version: str
