"""Profiles against the marts: what an endpoint serves is what dbt says of that day, outcomes on their way included."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from adplatform.contracts.features import USER_FEATURES
from adplatform.contracts.profiles import Outcome
from adplatform.contracts.serving import EventKind
from adplatform.publishing import publish_profiles
from adplatform.settings import Settings
from adplatform.state import State
from adplatform.store.profiles import Profiles
from adplatform.store.snapshots import Snapshots
from tests.dbt import world
from tests.dbt.conftest import Home, homes  # noqa: F401

IMPRESSION, CLICK, CONVERSION = EventKind.IMPRESSION, EventKind.CLICK, EventKind.CONVERSION


class Landed(NamedTuple):
    """A landing zone of 34 days, and the same as it was three days earlier, with a tenth of the last days still to come."""

    whole: Home
    earlier: Home


@pytest.fixture(scope="module")
def landed(homes: Callable[[str], Home]) -> Landed:  # noqa: F811
    whole, earlier = homes("whole"), homes("earlier")
    world.build(whole.landing, days=34, impressions=90)
    cut = world.FIRST_DAY + timedelta(days=30)
    for table in world.TABLES:
        for file in (whole.landing / table).glob("*.parquet") if (whole.landing / table).exists() else ():
            rows = pq.read_table(file)
            if file.stem > cut.isoformat() and file.stem != "current":
                continue
            if file.stem != "current" and date.fromisoformat(file.stem) > cut - timedelta(days=2):
                rows = rows.filter([i % 10 != 3 for i in range(rows.num_rows)])
            world.put(earlier.landing, table, rows)
    for home, last in ((whole, cut + timedelta(days=3)), (earlier, cut)):
        home.dbt("run", "--quiet", "--select", "+user_creative_exposures", "+user_features", "dim_users")
        home.write(f"create table meta_build as select '{last}' as data_version, date '{last}' as data_through")
    return Landed(whole, earlier)


def outcomes_of(landing: Path) -> list[Outcome]:
    """Every impression, click and conversion of the landing zone, as outcomes."""
    rows = {t: pa.concat_tables(map(pq.read_table, sorted((landing / t).glob("*.parquet")))).to_pylist()
            for t in ("impressions", "clicks", "conversions")}  # fmt: skip
    shown = {r["impression_id"]: r for r in rows["impressions"]}

    def told(kind: EventKind, event: str, impression: dict, when: datetime) -> Outcome:
        user, creative = impression["user_id"], impression["creative_id"]
        return Outcome(event, kind, impression["impression_id"], user, creative, impression["occurred_at"], when)

    found = [told(IMPRESSION, r["impression_id"], r, r["occurred_at"]) for r in rows["impressions"]]
    found += [told(CLICK, r["click_id"], shown[r["impression_id"]], r["occurred_at"]) for r in rows["clicks"]]
    bought = {"impression_id": "", "creative_id": ""}
    return found + [
        told(CONVERSION, r["conversion_id"], {**bought, **r}, r["occurred_at"]) for r in rows["conversions"]
    ]


def differing(profiles: Profiles, home: Home, days: list[date]) -> tuple[int, int]:
    """Users and days whose profile is not what the marts say, and how many were compared."""
    people = home.query("select user_id, segment_id, audience, age_band, region, device from dim_users")
    rows = {
        r[:2]: list(r[2:])
        for r in home.query(f"select user_id, feature_day, {', '.join(USER_FEATURES)} from user_features")
    }
    seen: dict[tuple, dict[str, int]] = {}
    for user, creative, day, n in home.query(
        "select user_id, creative_id, feature_day, creative_exposures_7d from user_creative_exposures"
    ):
        seen.setdefault((user, day), {})[creative] = n
    wrong = 0
    for day in days:
        for user, *person in people:
            found = profiles.get(user, datetime(day.year, day.month, day.day, 23, 59, tzinfo=UTC))
            assert found is not None
            expected = rows.get((user, day), [None] * len(USER_FEATURES)), seen.get((user, day), {}), person
            got = [getattr(found, f) for f in USER_FEATURES], found.exposures, list(found[1:6])
            wrong += got != expected
    return wrong, len(days) * len(people)


@pytest.mark.slow
def test_profiles_equal_the_marts_and_with_later_outcomes_the_marts_of_later_days(landed: Landed) -> None:
    state = State(Settings(home=landed.earlier.root))
    publish_profiles(state)
    store = Profiles(state.settings.profiles)
    store.refresh()
    end = world.FIRST_DAY + timedelta(days=31)
    known, later = [end - timedelta(days=d) for d in range(7)], [end + timedelta(days=d) for d in range(4)]
    assert differing(store, landed.earlier, known) == (0, 7 * 48)
    assert differing(store, landed.whole, later)[0] > 100
    sent = outcomes_of(landed.whole.landing)
    random.Random(1).shuffle(sent)
    assert store.replay(sent) > 200
    assert differing(store, landed.whole, later) == (0, 4 * 48)
    assert differing(store, landed.whole, known) == (0, 7 * 48)
    publish_profiles(State(Settings(home=landed.whole.root)))
    Snapshots(state.settings.profiles).publish(_copy_of(Settings(home=landed.whole.root).profiles), keep=3)
    assert store.refresh()
    assert differing(store, landed.whole, later[-1:]) == (0, 48)
    assert store.replay(sent) == 0


def _copy_of(root: Path) -> Callable[[Path], object]:
    snapshots = Snapshots(root)
    pointed = snapshots.current()
    assert pointed is not None
    return lambda folder: shutil.copytree(snapshots.path(pointed.version), folder, dirs_exist_ok=True)


@pytest.mark.slow
def test_a_snapshot_knows_nobody_without_consent(landed: Landed) -> None:
    state = State(Settings(home=landed.earlier.root))
    version = publish_profiles(state).version
    users = pq.read_table(state.settings.profiles / version / "users.parquet")
    people = pq.read_table(landed.earlier.landing / "users" / "current.parquet")
    without = people.filter(pc.invert(people["consent"]))["user_id"].to_pylist()
    assert len(without) == 12
    assert not set(without) & set(users["user_id"].to_pylist())
    store = Profiles(state.settings.profiles)
    store.refresh()
    assert [store.get(u, datetime(2026, 4, 1, tzinfo=UTC)) for u in without] == [None] * 12
