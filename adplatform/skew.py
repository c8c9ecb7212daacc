"""Whether the endpoints decided on the features that the marts have of that moment, and how old their profiles were."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, NamedTuple

from adplatform.contracts.features import USER_FEATURES
from adplatform.contracts.profiles import Outcome, Profile
from adplatform.contracts.serving import EventKind
from adplatform.contracts.tables import DECISION_LOG
from adplatform.contracts.targeting import CreativeAttributes
from adplatform.state import State
from adplatform.store.decision_file import micros, reading
from adplatform.store.decision_rows import outcomes
from adplatform.store.profile_snapshot import ATTRIBUTES, ProfileSnapshot, manifest_of
from adplatform.store.profiles import Profiles
from adplatform.store.snapshots import Snapshots
from adplatform.targeting.request import features

MOST_DECISIONS: Final = 20_000
"""Compared of a day; evenly spaced where there are more."""
UNDER_WAY: Final = timedelta(seconds=5)
"""What came in so shortly before a decision its worker may not have read yet."""
Came = tuple[int, Outcome]
"""An outcome, and when the log could tell it, in microseconds since 1970."""


class Skew(NamedTuple):
    """A day's decisions against the marts. ``lagged``, ``unknown`` and ``skewed`` are those whose features differ."""

    decisions: int
    compared: int
    lagged: int
    """The profile was of a snapshot before the day's marts, or an event came after the decision; and recomputed from that
    snapshot with what had come until then, the features are those that were served.
    """
    unknown: int
    """The snapshot is no longer kept, so that they cannot be recomputed."""
    skewed: int
    """Any other."""
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
    profiles, ends = profiles_of(state, day), _data_ends(state)
    lag, differing = None, list[tuple[dict[str, Any], str]]()
    for row in some:
        at = row["decided_at"].astimezone(UTC)
        end = ends.get(row["profile_version"])
        if end is not None:
            lag = max(lag or timedelta(), at - datetime.combine(end, time(), UTC))
        feature = difference(row, profiles.get(row["user_id"]))
        if feature is not None:
            differing.append((row, feature))
    then = _Then(state, day, {row["user_id"] for row, _ in differing} - {None})
    lagged, unknown, skewed = 0, 0, list[str]()
    for row, feature in differing:
        version = row["profile_version"]
        if version is not None and version not in ends:
            unknown += 1
        elif version is not None and (ends[version] < day or then.more_came(row)) and then.explains(row):
            lagged += 1
        else:
            skewed.append(f"{row['decision_id']}: {feature}")
    return Skew(len(rows), len(some), lagged, unknown, len(skewed), skewed[0] if skewed else None, lag)


class _Then:
    """What the log could tell of some users at any moment of a day."""

    def __init__(self, state: State, day: date, users: set[str]) -> None:
        self._start = datetime.combine(day, time(), UTC)
        self._root, self._kept = Snapshots(state.settings.profiles), dict[str, ProfileSnapshot]()
        self._of_user: dict[str, list[Came]] = defaultdict(list)
        self._conversions: list[Came] = []
        if users and state.settings.decisions.exists():
            with reading(state.settings.decisions) as log:
                for came, outcome in outcomes(log):
                    if outcome.user_id is not None and outcome.user_id in users:
                        self._of_user[outcome.user_id].append((came, outcome))
                    if outcome.kind is EventKind.CONVERSION:
                        self._conversions.append((came, outcome))

    def more_came(self, row: dict[str, Any]) -> bool:
        """Whether something of earlier days, which the day's features know, came in after the decision."""
        at, start = micros(row["decided_at"]), self._start
        return any(
            came > at and min(outcome.occurred_at, outcome.decided_at) < start
            for came, outcome in self._of_user[row["user_id"]]
        )

    def explains(self, row: dict[str, Any]) -> bool:
        """Whether the features served are those of the snapshot named and what had come until then; of what was under way
        then, some may have been known, in the order it came in.
        """
        version, user, at = row["profile_version"], row["user_id"], row["decided_at"].astimezone(UTC)
        if version not in self._kept:
            self._kept[version] = ProfileSnapshot(self._root.path(version), version)
        snapshot = self._kept[version]
        profiles = Profiles.of(snapshot)
        # Whether anybody has ever converted is known of everybody.
        others = self._conversions if snapshot.manifest.first_conversion is None else ()
        for came, outcome in sorted([*self._of_user[user], *others], key=lambda one: one[0]):
            if came > micros(at):
                break
            if came > micros(at - UNDER_WAY) and difference(row, profiles.get(user, at)) is None:
                return True
            profiles.apply(outcome)
        return difference(row, profiles.get(user, at)) is None


def difference(row: dict[str, Any], profile: Profile | None) -> str | None:
    """The first feature of a landed decision that was served otherwise than ``profile`` has it."""
    candidates, at = json.loads(row["candidates"]), row["decided_at"].astimezone(UTC)
    creatives = [CreativeAttributes(creative_id=c) for c in candidates]
    anew = features(profile, row["placement"], row["position"], at, creatives)
    served, exposures = json.loads(row["context"]), json.loads(row["exposures"])
    for name, value in anew.context.items():
        if served.get(name) != value:
            return f"{name} was {served.get(name)}, recomputed it is {value}"
    for creative, was, value in zip(candidates, exposures, anew.exposures, strict=True):
        if was != value:
            return f"exposures of {creative} were {was}, recomputed it is {value}"
    return None


def profiles_of(state: State, day: date) -> dict[str, Profile]:
    """Profiles of the day by the marts, by user."""
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
