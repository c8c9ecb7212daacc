"""Features that were served against those of the marts: equal, late, or wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import orjson
import pytest

from adplatform.contracts.serving import DecideRequest, Event, EventKind
from adplatform.decisions import land_day
from adplatform.defs.decision_log import decision_log
from adplatform.defs.resources import Platform
from adplatform.settings import Settings
from adplatform.skew import Skew, skew_of
from adplatform.state import State
from adplatform.store.decision_log import DecisionLog
from adplatform.store.decision_writes import Judged, NewDecision
from adplatform.store.library import Library
from adplatform.store.profiles import Profiles
from adplatform.store.registry import Registry
from asset_checks.serving import no_skew
from bentos.gateway.deciding import Asked, Deciding

DECISIONS = 60


class Served:
    """A home whose gateway decided for some users on the day after its data ends."""

    def __init__(self, home: Path) -> None:
        self.config = Settings(home=home)
        self.state = State(self.config)
        self.profiles = Profiles(self.config.profiles)
        self.profiles.refresh()
        assert self.profiles.as_of is not None
        self.day = self.profiles.as_of
        self.at = datetime.combine(self.day, datetime.min.time(), UTC) + timedelta(hours=10)
        library = Library(self.config.landing).creatives
        self.deciding = Deciding(Registry(self.config.models), lambda: library, self.profiles)
        self.users = self.state.warehouse.read("select user_id from dim_users order by 1")["user_id"].to_pylist()
        self.candidates = sorted(library)[:4]

    def decide(self, number: int, at: datetime | None = None) -> NewDecision:
        request = DecideRequest(user_id=self.users[number], candidates=self.candidates, placement="feed", position=1)
        (made,) = self.deciding.decide([Asked(request, at or self.at)])
        return made.record

    def land(self, decided: list[NewDecision], events: tuple[Judged, ...] = (), came: datetime | None = None) -> Skew:
        with DecisionLog(self.config.decisions) as log:
            for new in decided:
                log.record(new).result(5)
            if events:
                log.accept(events, came or self.at).result(5)
        land_day(self.state, self.day)
        found = skew_of(self.state, self.day)
        assert found is not None
        return found

    def learn(self, number: int) -> None:
        """The marts count one more impression of a user, as they do once it has landed."""
        with duckdb.connect(str(self.config.warehouse)) as marts:
            marts.execute(
                "update user_features set user_impressions_7d = user_impressions_7d + 1 "
                "where feature_day = ? and user_id = ?",
                [self.day, self.users[number]],
            )


@pytest.fixture
def served(own_home: Path) -> Served:
    return Served(own_home)


def shown(decision: NewDecision) -> tuple[Judged, ...]:
    """The impression of a decision."""
    event = Event(
        event_id="e1", kind=EventKind.IMPRESSION, decision_id=decision.decision_id, occurred_at=decision.decided_at
    )
    return (Judged("e1", event, b"{}", None),)


def changed(new: NewDecision, feature: str, by: int) -> NewDecision:
    payload = orjson.loads(new.payload)
    payload["context"][feature] = (payload["context"][feature] or 0) + by
    return new._replace(payload=orjson.dumps(payload))


def test_what_was_served_is_what_the_marts_have(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    found = served.land([served.decide(n) for n in range(DECISIONS)])
    assert (found.decisions, found.compared, found.lagged, found.skewed) == (DECISIONS, DECISIONS, 0, 0)
    assert found.lag == timedelta(hours=10)
    monkeypatch.setenv("ADPLATFORM_HOME", str(served.config.home))
    ran = dg.materialize([decision_log, no_skew], partition_key=str(served.day), resources={"platform": Platform()})
    (result,) = ran.get_asset_check_evaluations()
    assert result.passed
    assert result.metadata["skewed"].value == 0


def test_a_feature_that_was_served_wrong_is_named(served: Served) -> None:
    decided = [served.decide(n) for n in range(DECISIONS)]
    decided[7] = changed(decided[7], "user_impressions_7d", 1)
    found = served.land(decided)
    assert (found.lagged, found.skewed) == (0, 1)
    assert found.first is not None
    assert found.first.startswith(f"{decided[7].decision_id}: user_impressions_7d was ")


def test_an_event_that_came_after_the_decision_is_lag_and_no_skew(served: Served) -> None:
    before, decided = served.decide(3, served.at - timedelta(days=1)), [served.decide(n) for n in range(5)]
    served.learn(3)
    found = served.land([before, *decided], shown(before), came=served.at + timedelta(minutes=5))
    assert (found.lagged, found.skewed) == (1, 0)


def test_lag_excuses_no_feature_that_was_served_otherwise_than_it_was_known(served: Served) -> None:
    before, decided = served.decide(3, served.at - timedelta(days=1)), [served.decide(n) for n in range(5)]
    decided[3] = changed(decided[3], "user_clicks_7d", 1)
    served.learn(3)
    found = served.land([before, *decided], shown(before), came=served.at + timedelta(minutes=5))
    assert (found.lagged, found.skewed) == (0, 1)


def test_an_event_that_was_there_before_the_decision_excuses_nothing(served: Served) -> None:
    before, decided = served.decide(3, served.at - timedelta(days=1)), [served.decide(n) for n in range(5)]
    served.learn(3)
    found = served.land([before, *decided], shown(before), came=served.at - timedelta(minutes=5))
    assert (found.lagged, found.skewed) == (0, 1)


def test_what_cannot_be_recomputed_is_said(served: Served) -> None:
    decided = [served.decide(n) for n in range(5)]
    payload = orjson.loads(decided[3].payload)
    payload["decision"]["profile_version"] = "0123456789abcdef"
    decided[3] = changed(decided[3]._replace(payload=orjson.dumps(payload)), "user_clicks_7d", 1)
    found = served.land(decided)
    assert (found.lagged, found.unknown, found.skewed) == (0, 1, 0)


def test_before_the_marts_reach_the_day_nothing_is_said(served: Served) -> None:
    assert skew_of(served.state, served.day + timedelta(days=5)) is None
