"""The way back: what was decided and what followed lands once, whatever is repeated, late or held."""

from __future__ import annotations

from datetime import timedelta

import pytest

from adplatform.contracts.serving import EventKind, LoggedDecision
from adplatform.decisions import land_day, library, open_days
from adplatform.state import State
from adplatform.store.decision_log import DecisionLog
from adplatform.store.decision_rows import Tail
from adplatform.store.landing import Landing
from tests.store.decisions import AT, DAY, LATER, decision, event, fill_days


def fill(state: State) -> None:
    with DecisionLog(state.settings.decisions) as log:
        for new in (decision("d1"), decision("d2", None), decision("d3"), decision("d4", at=AT + timedelta(days=1))):
            log.record(new).result(5)
        sent = [
            event("i1", EventKind.IMPRESSION, "d1"), event("c1", EventKind.CLICK, "d1", 5),
            event("c2", EventKind.CLICK, "d2", 0.0), event("v1", EventKind.CONVERSION, "d1", 60, 9.5),
            event("v2", EventKind.CONVERSION, "d2", 60, 1.0), event("held", EventKind.CLICK, "d9"),
        ]  # fmt: skip
        log.accept(sent, AT).result(5)


def landed(state: State, name: str) -> dict[str, dict[str, object]]:
    key = {"impressions": "impression_id", "clicks": "click_id", "conversions": "conversion_id"}.get(
        name, "decision_id"
    )
    return {row[key]: row for row in state.landing.read(name).to_pylist()}


def test_a_day_lands_its_decisions_and_what_followed_each_in_its_own_day(state: State) -> None:
    fill(state)
    assert [str(d) for d in open_days(state)] == ["2026-02-20", "2026-02-21"]
    for day in open_days(state):
        land_day(state, day)
    assert set(landed(state, "decision_log")) == {"d1", "d2", "d3", "d4"}
    impressions = landed(state, "impressions")
    assert set(impressions) == {"d1", "d2"}  # d3 was never shown
    assert impressions["d1"]["propensity"] == 0.1 + 0.2
    assert impressions["d1"]["occurred_at"] == AT
    assert (impressions["d2"]["user_id"], impressions["d2"]["campaign_id"]) == (None, "c-1")
    clicks = landed(state, "clicks")
    assert {c: row["impression_id"] for c, row in clicks.items()} == {"c1": "d1", "c2": "d2"}
    assert set(landed(state, "conversions")) == {"v1"}  # nobody is known to have made v2
    assert len(state.landing.read("clicks", AT.date())) == 1


def test_a_click_after_midnight_lands_though_the_day_of_its_impression_has_not(state: State) -> None:
    fill(state)
    land_day(state, (AT + timedelta(days=1)).date())
    assert set(landed(state, "clicks")) == {"c1"}
    assert set(landed(state, "impressions")) == {"d1"}
    land_day(state, AT.date())
    assert set(landed(state, "impressions")) == {"d1", "d2"}


def test_landing_a_day_again_changes_nothing_and_a_late_event_comes_in_then(state: State) -> None:
    fill(state)
    days = open_days(state)
    for day in days:
        land_day(state, day)
    before = state.landing.version()
    assert all(r.accepted == 0 for day in days for r in land_day(state, day))
    assert state.landing.version() == before
    with DecisionLog(state.settings.decisions) as log:
        log.accept([event("late", EventKind.CLICK, "d3", 1)], AT).result(5)
    for day in days:
        land_day(state, day)
    assert landed(state, "clicks")["late"]["impression_id"] == "d3"
    assert "d3" in landed(state, "impressions")


def _land_all(state: State) -> None:
    for day in open_days(state):
        land_day(state, day)


def test_a_landing_that_was_killed_half_way_is_completed_by_the_next(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(state)
    whole, calls = Landing.ingest_table, 0

    def dies(self: Landing, table: str, *args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return whole(self, table, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Landing, "ingest_table", dies)
    with pytest.raises(KeyboardInterrupt):
        _land_all(state)
    for day in open_days(state):
        land_day(state, day)
    assert len(landed(state, "decision_log")) == len(state.landing.read("decision_log")) == 4
    assert set(landed(state, "clicks")) == {"c1", "c2"}


def test_the_tail_tells_each_outcome_once_when_it_joins_early_ones_too(state: State) -> None:
    fill(state)
    tail = Tail(state.settings.decisions)
    first = tail.read()
    assert {o.event_id for o in first} == {"i1", "c1", "c2", "v1", "v2"}
    assert next(o for o in first if o.event_id == "c2").user_id is None
    assert tail.read() == []
    with DecisionLog(state.settings.decisions) as log:
        log.record(decision("d9")).result(5)
    (late,) = tail.read()
    assert (late.event_id, late.user_id, late.kind) == ("held", "u-1", EventKind.CLICK)
    tail.close()


def test_what_a_day_does_not_know_yet_may_wait_and_what_it_knows_does_not(state: State) -> None:
    fill_days(state)
    tail = Tail(state.settings.decisions)
    assert tail.of_days_before(AT) == []  # all of it happened on that day or later
    assert {o.event_id for o in tail.of_days_before(AT + DAY)} == {"i1", "c1", "v3"}  # c1 came after midnight
    assert {o.event_id for o in tail.of_days_before(LATER)} == {"i1", "c1", "v3", "i4"}
    assert {o.event_id for o in tail.read()} == {"i1", "c1", "v3", "i4", "i5"}
    tail.close()


def test_a_logged_decision_is_read_back_to_the_last_bit() -> None:
    logged = LoggedDecision.model_validate_json(decision("d").payload)
    assert logged.probabilities == (0.1 + 0.2, 0.7)
    assert logged.decision.decided_at == AT


def test_every_creative_is_somebodys(state: State) -> None:
    assert library(state)["k-2"] == ("c-1", "p-1")
