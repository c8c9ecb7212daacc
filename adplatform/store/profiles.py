"""User profiles for the endpoints: the published snapshot, and the outcomes that came since.

A profile is exactly what the marts will say of its day once that day's outcomes are landed. The store is memory only:
whoever owns the decision log replays its outcomes after a restart, and again is harmless.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from adplatform.contracts.errors import AdPlatformError, InputError
from adplatform.contracts.profiles import Outcome, Profile
from adplatform.contracts.serving import EventKind
from adplatform.store.profile_snapshot import EPOCH, ProfileSnapshot
from adplatform.store.snapshots import Pointed, Snapshots

WEEK: Final = 7
MONTH: Final = 28


class _Entry(NamedTuple):
    """A change of one of a user's daily counts."""

    kind: EventKind
    day: int
    creative_id: str
    change: int


class _Shown(NamedTuple):
    """A decision whose outcomes came, with its first click in time."""

    outcome: Outcome
    clicked: Outcome | None


class Profiles:
    """The profiles published under ``root``; none before the first ``refresh`` that finds a snapshot.

    Readers need no lock: ``get`` sees one snapshot with its outcomes, before or after a swap. Writers may be threads.
    """

    def __init__(self, root: Path) -> None:
        self._snapshots = Snapshots(root)
        self._lock = threading.Lock()
        self._state: _State | None = None
        self._pointed: Pointed | None = None
        self._mark: object = None
        self._waiting: list[Outcome] = []

    @classmethod
    def of(cls, snapshot: ProfileSnapshot) -> Profiles:
        """Profiles of one snapshot, whatever is published."""
        found = cls(Path())
        found._state = _State(snapshot)
        return found

    @property
    def version(self) -> str | None:
        """The snapshot that is served."""
        return self._state.snapshot.version if self._state else None

    @property
    def published_at(self) -> datetime | None:
        """When it was published."""
        return self._pointed.published_at if self._pointed else None

    @property
    def as_of(self) -> date | None:
        """The day after the data of the snapshot ends."""
        return self._state.snapshot.manifest.as_of if self._state else None

    @property
    def outcomes(self) -> int:
        """Decisions and conversions held on top of the snapshot."""
        state = self._state
        return len(state.shown) + len(state.conversions) if state else len(self._waiting)

    def lag(self, now: datetime) -> timedelta | None:
        """Time since the end of the data in the snapshot; what came since is there by ``apply`` alone."""
        state = self._state
        if state is None:
            return None
        end = datetime.combine(state.snapshot.manifest.as_of, datetime.min.time(), UTC)
        return max(now - end, timedelta())

    def refresh(self) -> bool:
        """Swap to the snapshot that the pointer names; True where it did. One ``stat`` where nothing has changed.

        Outcomes stay, but for those that the new snapshot has. Raises AdPlatformError on a damaged one, once; the old
        one goes on serving.
        """
        mark = self._snapshots.mark()
        if mark == self._mark:
            return False
        self._mark = mark
        pointed = self._snapshots.current()
        if pointed is None or (self._state and pointed.version == self._state.snapshot.version):
            self._pointed = pointed or self._pointed
            return False
        snapshot = ProfileSnapshot(self._snapshots.path(pointed.version), pointed.version)
        fresh = _State(snapshot)
        with self._lock:
            for outcome in self._state.held() if self._state else self._waiting:
                fresh.take(outcome)
            self._state, self._pointed, self._waiting = fresh, pointed, []
        return True

    def apply(self, outcome: Outcome) -> bool:
        """Count an outcome; False where it was counted already, is in the snapshot, or is of nobody.

        In any order, any number of times. An impression counts on the day of its decision, once per decision, and is
        implied by a click; a click on its own day, the first of a decision, within the attribution window.
        """
        with self._lock:
            if self._state is None:
                self._waiting.append(outcome)
                return True
            return self._state.take(outcome)

    def replay(self, outcomes: Iterable[Outcome]) -> int:
        """``apply`` each; how many counted."""
        return sum(self.apply(outcome) for outcome in outcomes)

    def get(self, user_id: str, at: datetime) -> Profile | None:
        """What was known of the user when the UTC day of ``at`` began; None for nobody known, or without consent.

        Raises InputError where ``at`` is a day before those that the snapshot can tell, AdPlatformError before the
        first snapshot.
        """
        state = self._state
        if state is None:
            raise AdPlatformError("no user profiles are published; materialize user_profiles first")
        user = state.snapshot.find(user_id)
        if user is None:
            return None
        return _profile(state, user, user_id, at.astimezone(UTC).toordinal() - EPOCH)


class _State:
    """A snapshot and the outcomes on top of it."""

    def __init__(self, snapshot: ProfileSnapshot) -> None:
        self.snapshot = snapshot
        self.shown: dict[str, _Shown] = {}
        self.conversions: dict[str, Outcome] = {}
        self.entries: dict[str, tuple[_Entry, ...]] = {}
        self.first_conversion = snapshot.manifest.first_conversion

    def held(self) -> Iterable[Outcome]:
        """Outcomes that give this state again."""
        for shown in self.shown.values():
            yield shown.outcome
            if shown.clicked:
                yield shown.clicked
        yield from self.conversions.values()

    def take(self, outcome: Outcome) -> bool:
        """See ``Profiles.apply``."""
        if outcome.user_id is None:
            return False
        if outcome.kind is EventKind.CONVERSION:
            return self._take_conversion(outcome)
        if day_of(outcome.decided_at) <= self.snapshot.manifest.settled:
            return False
        known = self.shown.get(outcome.decision_id)
        new = known is None and not self.snapshot.shown(outcome.decision_id)
        if new:
            self._add(outcome, EventKind.IMPRESSION, day_of(outcome.decided_at), 1)
        record = known or _Shown(outcome._replace(kind=EventKind.IMPRESSION), None)
        earlier = self._take_click(outcome, record) if outcome.kind is EventKind.CLICK else None
        if new or earlier:
            self.shown[outcome.decision_id] = record._replace(clicked=outcome if earlier else record.clicked)
        return new or bool(earlier)

    def _take_click(self, click: Outcome, record: _Shown) -> bool:
        """Count the click where it is the first of its decision; one that came before a later one takes its place."""
        window = timedelta(days=self.snapshot.manifest.attribution_days)
        if not click.decided_at <= click.occurred_at <= click.decided_at + window:
            return False
        day = day_of(click.occurred_at)
        landed = self.snapshot.clicked(click.decision_id)
        known = min((d for d in (landed, day_of(record.clicked.occurred_at) if record.clicked else None)
                     if d is not None), default=None)  # fmt: skip
        if known is not None and known <= day:
            return False
        if known is not None:
            self._add(click, EventKind.CLICK, known, -1)
        self._add(click, EventKind.CLICK, day, 1)
        return True

    def _take_conversion(self, outcome: Outcome) -> bool:
        day = day_of(outcome.occurred_at)
        if day <= self.snapshot.manifest.settled or outcome.event_id in self.conversions:
            return False
        if self.snapshot.converted(outcome.event_id):
            return False
        self.conversions[outcome.event_id] = outcome
        self._add(outcome, EventKind.CONVERSION, day, 1)
        self.first_conversion = day if self.first_conversion is None else min(day, self.first_conversion)
        return True

    def _add(self, outcome: Outcome, kind: EventKind, day: int, change: int) -> None:
        user = str(outcome.user_id)
        entry = _Entry(kind, day, outcome.creative_id, change)
        self.entries[user] = (*self.entries.get(user, ()), entry)  # replaced, not changed: readers take no lock


def day_of(at: datetime) -> int:
    """UTC day since 1970-01-01."""
    return at.astimezone(UTC).toordinal() - EPOCH


def _profile(state: _State, user: int, user_id: str, day: int) -> Profile:
    """As ``user_features`` and ``user_creative_exposures`` have it for ``day``: see their SQL."""
    snapshot, manifest = state.snapshot, state.snapshot.manifest
    if day < manifest.earliest:
        first = datetime.fromordinal(EPOCH + manifest.earliest).date()
        raise InputError("at", f"is before {first}, the first day the snapshot can tell", "give a later moment")
    week, month = day - WEEK, day - MONTH
    exposures = snapshot.exposures(user, week, day)
    clicks: dict[int, int] = {}
    conversions = 0
    for on, clicked, converted in snapshot.outcomes(user):
        if month <= on < day:
            clicks[on] = clicked
            conversions += converted
    for kind, on, creative, n in state.entries.get(user_id, ()):
        if kind is EventKind.IMPRESSION and week <= on < day:
            exposures[creative] = exposures.get(creative, 0) + n
        elif kind is EventKind.CLICK and month <= on < day:
            clicks[on] = clicks.get(on, 0) + n
        elif kind is EventKind.CONVERSION and month <= on < day:
            conversions += n
    segment, audience, age, region, device = snapshot.attributes(user)
    person, tenure = (user_id, segment, audience, age, region, device), day - snapshot.registered[user]
    if tenure <= 0:  # user_features begins on the day after registration
        return Profile(*person, None, None, None, None, None, None, exposures, snapshot.version)
    ever, last = state.first_conversion, max((on for on, n in clicks.items() if n > 0), default=None)
    return Profile(
        *person, tenure, sum(exposures.values()),
        sum(n for on, n in clicks.items() if on >= week), sum(clicks.values()),
        conversions if ever is not None and ever < day else None,
        None if last is None else day - last, exposures, snapshot.version,
    )  # fmt: skip
