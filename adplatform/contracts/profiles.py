"""What is known of a user when a decision is made."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from adplatform.contracts.serving import EventKind


class Profile(NamedTuple):
    """A consenting user, as the row of ``user_features`` and the rows of ``user_creative_exposures`` of one day say.

    Everything that happened strictly before the day counts, nothing of the day itself. Counts are ``None`` as in the
    mart: all of them until the day after registration, conversions as long as no conversion of anyone was ever seen.
    """

    user_id: str
    segment_id: str | None
    audience: str | None
    age_band: str | None
    region: str | None
    device: str | None
    tenure_days: int | None
    user_impressions_7d: int | None
    user_clicks_7d: int | None
    user_clicks_28d: int | None
    user_conversions_28d: int | None
    user_days_since_click: int | None
    exposures: Mapping[str, int]
    """Impressions of each creative in the 7 days before; one that is not in it was not shown."""
    version: str
    """The snapshot that it came from."""


class Outcome(NamedTuple):
    """An event with what its decision knew: what changes a profile. ``user_id`` is None where nothing personal was used."""

    event_id: str
    kind: EventKind
    decision_id: str
    user_id: str | None
    creative_id: str
    decided_at: datetime
    occurred_at: datetime
