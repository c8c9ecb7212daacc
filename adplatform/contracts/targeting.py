"""What the Targeting agent is asked and answers, and how a policy's value is reported."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from adplatform.contracts.base import Identifier, Interval, Message, Probability
from adplatform.contracts.brief import Appeal, Audience, Tone


class CreativeAttributes(Message):
    """What the models know of a creative. ``None`` where the data has no such column."""

    creative_id: Identifier
    campaign_id: Identifier | None = None
    product_category: str | None = None
    tone: Tone | None = None
    appeal: Appeal | None = None


class Segment(Message):
    """A row of ``dim_segments``: users are consenting members."""

    segment_id: Identifier
    users: Annotated[int, Field(ge=0)]
    audience: str | None = None
    age_band: str | None = None


class RankRequest(Message):
    """Rank the segments that ``audience`` allows, for each creative."""

    creatives: Annotated[tuple[CreativeAttributes, ...], Field(min_length=1, max_length=100)]
    audience: Audience = Audience()
    limit: Annotated[int, Field(ge=1, le=1000)] = 20
    """Segments returned for each creative."""


class SegmentScore(Message):
    """Expected click rate of one creative in one segment, shrunk towards the model, with its interval."""

    creative_id: Identifier
    segment_id: Identifier
    click_rate: Probability
    interval: Interval
    users: Annotated[int, Field(ge=1)]
    impressions: Annotated[int, Field(ge=0)]
    """Matured impressions seen of this creative in this segment; 0 means the model's word alone."""


class SegmentRanking(Message):
    """For each creative its segments, best first."""

    scores: tuple[SegmentScore, ...]
    withheld: Annotated[int, Field(ge=0)] = 0
    """Segments left out because they are under the minimum size."""
    model_version: str


class PolicyValue(Message):
    """Off-policy value of a policy by one estimator: expected reward per decision."""

    estimator: str
    value: float
    standard_error: Annotated[float, Field(ge=0)]
    interval: Interval


class PolicyEvaluation(Message):
    """A candidate policy against the champion on one log."""

    policy_version: str
    champion_version: str
    decisions: Annotated[int, Field(ge=1)]
    values: tuple[PolicyValue, ...]
    """One of each: IPS, SNIPS, DM, DR."""
    champion_value: PolicyValue
    difference: PolicyValue
    """DR of the candidate minus DR of the champion, paired on the same decisions."""
    effective_sample_size: Annotated[float, Field(ge=0)]
    weighted_clicks: Annotated[float, Field(ge=0)]
    mean_weight: Annotated[float, Field(ge=0)]
    mean_weight_standard_error: Annotated[float, Field(ge=0)]
