from __future__ import annotations

import random
import threading
import timeit
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from adplatform.contracts.errors import AdPlatformError, InputError
from adplatform.contracts.features import USER_FEATURES
from adplatform.contracts.profiles import Outcome, Profile
from adplatform.contracts.serving import EventKind
from adplatform.store.profile_snapshot import EPOCH, ProfileManifest, key_of, write_profiles
from adplatform.store.profiles import Profiles
from adplatform.store.snapshots import Snapshots

IMPRESSION, CLICK, CONVERSION = EventKind.IMPRESSION, EventKind.CLICK, EventKind.CONVERSION
TODAY = date(2026, 3, 20)
DAY = TODAY.toordinal() - EPOCH
USERS = {"ann": 400, "bob": DAY - 1, "eve": DAY}
"""By the day of their registration."""


def at(days: float, hour: int = 12) -> datetime:
    return datetime(TODAY.year, TODAY.month, TODAY.day, hour, tzinfo=UTC) + timedelta(days=days)


def snapshot(folder: Path, through: int = DAY - 1, first: int | None = 100, landed: tuple = (), more: int = 0) -> None:
    """Ann saw c1 twice on each of the last 14 days and clicked eight and nine days ago; bob and eve are new."""
    users = sorted((key_of(u), u, registered) for u, registered in USERS.items())
    ann = [u for _, u, _ in users].index("ann")
    shown = range(through - 13, through + 1)
    clicked = [through - 8, through - 7, *(day for what, _, day in landed if what == "click")]
    tables = {
        "users": pa.table(
            {
                "key": pa.array([k for k, _, _ in users], pa.uint64()), "user_id": [u for _, u, _ in users],
                "registered_on": [r for *_, r in users], "segment_id": [None, "s", "s"], "audience": ["cooks"] * 3,
                "age_band": pa.nulls(3, pa.string()), "region": ["north"] * 3, "device": ["mobile"] * 3,
            }
        ),
        "exposures": pa.table(
            {"user": [ann] * 14, "day": list(shown), "creative_id": ["c1"] * 14, "impressions": [2 + more] * 14}
        ),
        "outcomes": pa.table(
            {
                "user": [ann] * len(clicked), "day": clicked, "clicks": [1, 2, 1][: len(clicked)],
                "conversions": [0] * len(clicked),
            }
        ),
        "landed": pa.table(
            {
                "what": pa.array([w for w, _, _ in landed], pa.string()),
                "key": pa.array([key_of(k) for _, k, _ in landed], pa.uint64()),
                "day": pa.array([d for *_, d in landed], pa.int64()),
            }
        ),
    }  # fmt: skip
    manifest = ProfileManifest("d", through, through - 6, through - 7, 3, first, 3)
    Snapshots(folder).publish(lambda f: write_profiles(f, tables, manifest), keep=3)


@pytest.fixture
def profiles(tmp_path: Path) -> Profiles:
    snapshot(tmp_path)
    found = Profiles(tmp_path)
    assert found.refresh()
    return found


def outcome(kind: EventKind, decision: str, when: datetime, user: str | None = "ann", **changed: object) -> Outcome:
    """Shown on noon of today, unless said."""
    known = Outcome(f"{kind}-{decision}", kind, decision, user, "c2", at(0), when)
    return known._replace(**changed)


def ann(profiles: Profiles, days: float) -> Profile:
    found = profiles.get("ann", at(days))
    assert found is not None
    return found


def test_an_unknown_user_has_no_profile_and_before_a_snapshot_nobody_has(profiles: Profiles, tmp_path: Path) -> None:
    assert profiles.get("nobody", at(0)) is None
    with pytest.raises(AdPlatformError, match="materialize user_profiles"):
        Profiles(tmp_path / "none").get("ann", at(0))


def test_windows_slide_with_the_day_that_is_asked_for(profiles: Profiles) -> None:
    assert [ann(profiles, d).user_impressions_7d for d in (-5, 0, 1, 6, 7)] == [14, 14, 12, 2, 0]
    assert [ann(profiles, d).user_clicks_7d for d in (-3, -2, -1, 0)] == [3, 3, 2, 0]
    assert [ann(profiles, d).user_clicks_28d for d in (0, 19, 20, 21)] == [3, 3, 2, 0]
    assert [ann(profiles, d).user_days_since_click for d in (0, 20, 21)] == [8, 28, None]
    assert ann(profiles, 0).exposures == {"c1": 14}


def test_a_day_before_those_that_are_kept_is_refused_not_undercounted(profiles: Profiles) -> None:
    with pytest.raises(InputError, match="first day the snapshot can tell"):
        profiles.get("ann", at(-8))


def test_of_a_user_who_registered_today_only_the_person_is_known(profiles: Profiles) -> None:
    eve, tomorrow = profiles.get("eve", at(0)), profiles.get("eve", at(1))
    assert eve is not None
    assert tomorrow is not None
    assert (eve.audience, [getattr(eve, f) for f in USER_FEATURES]) == ("cooks", [None] * 6)
    assert (tomorrow.tenure_days, tomorrow.user_clicks_7d, tomorrow.user_days_since_click) == (1, 0, None)


def test_an_event_of_today_changes_tomorrows_features_only(profiles: Profiles) -> None:
    before = ann(profiles, 0)
    assert profiles.apply(outcome(CLICK, "d1", at(0, 13)))
    assert profiles.apply(outcome(CONVERSION, "d1", at(0, 14)))
    assert ann(profiles, 0) == before
    after = ann(profiles, 1)
    assert (after.user_impressions_7d, after.user_clicks_7d, after.user_clicks_28d) == (13, 1, 4)
    assert (after.user_conversions_28d, after.user_days_since_click, after.exposures) == (1, 1, {"c1": 12, "c2": 1})


def test_the_same_outcomes_in_any_order_and_number_give_the_same_profile(tmp_path: Path) -> None:
    snapshot(tmp_path, landed=(("impression", "d0", DAY - 1), ("click", "d0", DAY), ("conversion", "v0", DAY - 1)))
    early = at(-1, 12)
    found = [
        outcome(IMPRESSION, "d0", early, decided_at=early), outcome(CLICK, "d0", at(-1, 20), decided_at=early),
        outcome(CLICK, "d0", at(1), decided_at=early), outcome(CONVERSION, "d0", early, event_id="v0"),
        outcome(IMPRESSION, "d1", at(0)), outcome(CLICK, "d1", at(1), event_id="late"), outcome(CLICK, "d1", at(0, 15)),
        outcome(CLICK, "d2", at(3, 13)), outcome(CLICK, "d3", at(0, 11)), outcome(CONVERSION, "d4", at(1)),
        outcome(IMPRESSION, "d5", at(0), user=None), outcome(IMPRESSION, "d6", at(-9), decided_at=at(-9)),
    ]  # fmt: skip
    answers = set()
    for seed in range(20):
        store = Profiles(tmp_path)
        rng = random.Random(seed)
        sent = [*found, *rng.choices(found, k=15)]
        rng.shuffle(sent)
        cut = rng.randrange(len(sent))
        store.replay(sent[:cut])  # before the first snapshot: they wait for it
        assert store.refresh()
        store.replay(sent[cut:])
        assert store.replay(sent) == 0
        answers.add(str([ann(store, d) for d in range(-1, 9)]))
    assert len(answers) == 1
    later = ann(store, 4)
    # d0's click moved from today to yesterday; d1 was clicked today, d2 a minute too late, d3 before it was shown.
    assert (later.user_clicks_28d, later.user_clicks_7d, later.exposures["c2"]) == (5, 2, 3)
    assert later.user_conversions_28d == 1


def test_conversions_are_unknown_until_anyone_ever_had_one(tmp_path: Path) -> None:
    snapshot(tmp_path, first=None)
    store = Profiles(tmp_path)
    store.refresh()
    assert ann(store, 1).user_conversions_28d is None
    store.apply(outcome(CONVERSION, "d1", at(0), user="bob"))
    assert [ann(store, d).user_conversions_28d for d in (0, 1)] == [None, 0]


def test_a_newer_snapshot_is_swapped_in_and_outcomes_that_it_has_are_not_counted_twice(tmp_path: Path) -> None:
    snapshot(tmp_path)
    store = Profiles(tmp_path)
    store.refresh()
    store.apply(outcome(CLICK, "d1", at(0, 13)))
    store.apply(outcome(CLICK, "d2", at(1), decided_at=at(1)))
    assert not store.refresh()
    first = store.version
    snapshot(tmp_path, through=DAY, landed=(("impression", "d1", DAY), ("click", "d1", DAY)))
    assert store.refresh()
    assert store.version != first
    assert (ann(store, 2).exposures["c2"], store.outcomes) == (1, 1)
    assert store.lag(at(1, 6)) == timedelta(hours=6)


def test_a_damaged_snapshot_is_refused_once_and_the_old_one_goes_on(tmp_path: Path) -> None:
    snapshot(tmp_path)
    store = Profiles(tmp_path)
    store.refresh()
    before = ann(store, 0)
    snapshot(tmp_path, more=1)
    broken = Snapshots(tmp_path).current()
    assert broken is not None
    (tmp_path / broken.version / "users.parquet").write_bytes(b"PAR1")
    with pytest.raises(AdPlatformError, match="damaged"):
        store.refresh()
    assert not store.refresh()
    assert ann(store, 0) == before
    snapshot(tmp_path, more=2)
    assert store.refresh()
    assert ann(store, 0).exposures == {"c1": 28}


def test_a_profile_takes_microseconds(profiles: Profiles) -> None:
    """4 us here on an idle core; a decision may take 400."""
    when = at(0)
    assert min(timeit.repeat(lambda: profiles.get("ann", when), number=200, repeat=5)) / 200 < 100e-6


def test_readers_see_whole_profiles_while_outcomes_come_in_and_snapshots_are_swapped(tmp_path: Path) -> None:
    snapshot(tmp_path)
    store = Profiles(tmp_path)
    store.refresh()
    ended, seen = threading.Event(), []

    def read() -> None:
        while not ended.is_set():
            found = ann(store, 1)
            seen.append((found.user_impressions_7d, sum(found.exposures.values())))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(300):
        store.apply(outcome(IMPRESSION, f"d{number}", at(0)))
        if number % 100 == 50:
            snapshot(tmp_path, more=number)
            assert store.refresh()
    ended.set()
    for reader in readers:
        reader.join()
    assert len(seen) > 100
    assert all(impressions == shown for impressions, shown in seen)
    assert ann(store, 1).exposures["c2"] == 300
