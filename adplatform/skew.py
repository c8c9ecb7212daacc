"""Whether the endpoints decided on the features that the marts have of that moment, and how old their profiles were."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, NamedTuple

from adplatform.contracts.features import USER_FEATURES
from adplatform.contracts.profiles import Profile
from adplatform.contracts.tables import DECISION_LOG
from adplatform.contracts.targeting import CreativeAttributes
from adplatform.state import State
from adplatform.store.decision_file import bounds, micros, reading
from adplatform.store.profile_snapshot import ATTRIBUTES, manifest_of
from adplatform.store.snapshots import Snapshots
from adplatform.targeting.request import features

MOST_DECISIONS: Final = 20_000
"""Compared of a day; evenly spaced where there are more."""


class Skew(NamedTuple):
    """A day's decisions against the marts. ``lagged`` and ``skewed`` are those whose features differ."""

    decisions: int
    compared: int
    lagged: int
    """Explained: the profile was of a snapshot before the day's marts, or an event came after the decision."""
    skewed: int
    """Not explained: served and recomputed features differ although both knew the same."""
    first: str | None
    """The first of the skewed, with the feature that differs."""
    lag: timedelta | None
    """Largest age of a profile: from the end of its snapshot's data to the decision; None where no snapshot is kept."""


def skew_of(state: State, day: date) -> Skew | None:
    """Compare the landed decisions of ``day``; None where the marts do not reach that day yet."""
    read = state.warehouse.read
    if not read("select 1 from user_features where feature_day = ? limit 1", [day]).num_rows:
        return None
    rows = state.landing.read(DECISION_LOG.name, day).to_pylist()
    some = rows[:: max(1, -(-len(rows) // MOST_DECISIONS))]
    profiles, ends, late = _profiles(state, day), _data_ends(state), _late(state, day)
    lagged, skewed, lag = 0, [], None
    for row in some:
        at = row["decided_at"].astimezone(UTC)
        end = ends.get(row["profile_version"])
        if end is not None:
            lag = max(lag or timedelta(), at - datetime.combine(end, time(), UTC))
        feature = _differs(row, at, profiles.get(row["user_id"]))
        if feature is None:
            continue
        if end is None or end < day or any(came > micros(at) for came in late.get(row["user_id"], ())):
            lagged += 1
        else:
            skewed.append(f"{row['decision_id']}: {feature}")
    return Skew(len(rows), len(some), lagged, len(skewed), skewed[0] if skewed else None, lag)


def _differs(row: dict[str, Any], at: datetime, profile: Profile | None) -> str | None:
    """The first feature that was served otherwise than the marts have it."""
    candidates = json.loads(row["candidates"])
    creatives = [CreativeAttributes(creative_id=c) for c in candidates]
    anew = features(profile, row["placement"], row["position"], at, creatives)
    served, exposures = json.loads(row["context"]), json.loads(row["exposures"])
    for name, value in anew.context.items():
        if served.get(name) != value:
            return f"{name} was {served.get(name)}, the marts have {value}"
    for creative, was, value in zip(candidates, exposures, anew.exposures, strict=True):
        if was != value:
            return f"exposures of {creative} were {was}, the marts have {value}"
    return None


def _profiles(state: State, day: date) -> dict[str, Profile]:
    """Profiles of the day by the marts."""
    read, columns = state.warehouse.read, ", ".join((*ATTRIBUTES, *USER_FEATURES))
    exposures: dict[str, dict[str, int]] = defaultdict(dict)
    for row in read("select * from user_creative_exposures where feature_day = ?", [day]).to_pylist():
        exposures[row["user_id"]][row["creative_id"]] = row["creative_exposures_7d"]
    users = read(
        f"select u.user_id, {columns} from dim_users u left join user_features f "
        "on f.user_id = u.user_id and f.feature_day = ?",
        [day],
    ).to_pylist()
    return {u["user_id"]: Profile(**u, exposures=exposures.get(u["user_id"], {}), version="marts") for u in users}


def _data_ends(state: State) -> dict[str | None, date]:
    """The day after the data of each snapshot that is still kept."""
    snapshots = Snapshots(state.settings.profiles)
    return {version: manifest_of(snapshots.path(version)).as_of for version in snapshots.versions()}


def _late(state: State, day: date) -> dict[str, list[int]]:
    """When events of earlier days came in on this day or later, by user, in microseconds."""
    start, _ = bounds(day)
    found: dict[str, list[int]] = defaultdict(list)
    if state.settings.decisions.exists():
        with reading(state.settings.decisions) as log:
            for user, came in log.execute(
                "select d.user_id, e.received_at from events e join decisions d using (decision_id) "
                "where e.received_at >= ? and (e.occurred_at < ? or d.decided_at < ?) and d.user_id is not null",
                (start, start, start),
            ):
                found[user].append(came)
    return found
