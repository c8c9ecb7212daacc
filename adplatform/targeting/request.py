"""A request's features: what the endpoint knows when it is asked, as ``training_examples`` would have it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from adplatform.contracts.errors import InputError
from adplatform.contracts.profiles import Profile
from adplatform.contracts.targeting import CreativeAttributes
from adplatform.targeting.features import RequestFeatures


def features(
    profile: Profile | None,
    placement: str | None,
    position: int | None,
    at: datetime,
    creatives: Sequence[CreativeAttributes],
) -> RequestFeatures:
    """The features of one request: of its place and time (hour and weekday in UTC, Monday is 0), and of its user.

    Without a profile (nobody known, or no consent) everything personal is unknown, exposures included. Raises
    InputError without a creative, or on a time without a zone.
    """
    if at.tzinfo is None:
        raise InputError("at", f"{at} has no time zone", "give the time with its zone")
    utc = at.astimezone(UTC)
    known = _NOBODY if profile is None else profile
    context: dict[str, str | float | None] = {
        "audience": known.audience,
        "age_band": known.age_band,
        "region": known.region,
        "device": known.device,
        "placement": placement,
        "hour": utc.hour,
        "weekday": utc.weekday(),
        "position": position,
        "tenure_days": known.tenure_days,
        "user_impressions_7d": known.user_impressions_7d,
        "user_clicks_7d": known.user_clicks_7d,
        "user_clicks_28d": known.user_clicks_28d,
        "user_conversions_28d": known.user_conversions_28d,
        "user_days_since_click": known.user_days_since_click,
    }
    exposures: list[float | None]
    if profile is None:
        exposures = [None] * len(creatives)
    else:
        seen = profile.exposures
        exposures = [float(seen.get(c.creative_id, 0)) for c in creatives]
    return RequestFeatures(context, creatives, exposures)


_NOBODY = Profile("", None, None, None, None, None, None, None, None, None, None, None, {}, "")
