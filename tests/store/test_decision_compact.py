"""The decision log is kept small: nothing that has not landed leaves it, and whoever follows it goes on."""

from __future__ import annotations

from datetime import date

import pytest

from adplatform.contracts.errors import InputError
from adplatform.contracts.serving import EventKind
from adplatform.state import State
from adplatform.store.decision_compact import compact
from adplatform.store.decision_log import DecisionLog
from adplatform.store.decision_rows import Tail, tables_of
from adplatform.store.decision_writes import Idempotency
from adplatform.upkeep.keeping import compact_log
from tests.store.decisions import AT, DAY, LATER, decision, decisions, event, fill_days, kept, land


def compacted(state: State, before: date) -> list[str]:
    compact(state.settings.decisions, state.settings.landing, before, AT, lambda share: None)
    return decisions(state.settings.decisions)


def test_what_has_not_landed_never_leaves_the_log(state: State) -> None:
    fill_days(state)
    everything = ["d1", "d2", "d3", "d4", "d5"]
    assert compacted(state, (AT + 10 * DAY).date()) == everything
    land(state, AT)
    assert compacted(state, (AT + 10 * DAY).date()) == ["d1", "d4", "d5"]  # the click of d1 was after midnight
    land(state, AT + DAY)
    assert compacted(state, (AT + 10 * DAY).date()) == ["d5"]
    assert kept(state.settings.decisions, "select event_id from events") == ["i5"]
    assert kept(state.settings.decisions, "select event_id from joined") == ["i5"]


def test_days_that_are_kept_stay_though_they_have_landed(state: State) -> None:
    fill_days(state)
    land(state, AT, AT + DAY, LATER)
    assert compacted(state, AT.date()) == ["d1", "d2", "d3", "d4", "d5"]
    assert compacted(state, (AT + DAY).date()) == [
        "d1",
        "d3",
        "d4",
        "d5",
    ]  # d1 and d3 have an event on a day that is kept


def test_a_compacted_log_lands_the_same_rows_again(state: State) -> None:
    fill_days(state)
    land(state, AT, AT + DAY)
    before = {day: state.landing.fingerprint("decision_log", day) for day in state.landing.days("decision_log")}
    compacted(state, (AT + 10 * DAY).date())
    land(state, AT, AT + DAY)
    assert {day: state.landing.fingerprint("decision_log", day) for day in before} == before
    rows = tables_of(state.settings.decisions, AT.date(), {})
    assert all(table.num_rows == 0 for table in rows.values())


def test_an_event_that_comes_while_the_log_is_compacted_keeps_its_decision(state: State) -> None:
    fill_days(state)
    land(state, AT, AT + DAY)
    with DecisionLog(state.settings.decisions) as log:
        from adplatform.store import decision_compact

        choose = decision_compact._choose

        def chosen(*arguments: object) -> None:
            choose(*arguments)  # type: ignore[arg-type]
            log.accept([event("late", EventKind.CLICK, "d2", 7)], LATER).result(5)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(decision_compact, "_choose", chosen)
            assert compacted(state, (AT + 10 * DAY).date()) == ["d2", "d5"]
    assert kept(state.settings.decisions, "select event_id from events") == ["i5", "late"]


def test_old_answers_leave_and_free_pages_go_back_to_the_disk(state: State) -> None:
    path = state.settings.decisions
    with DecisionLog(path) as log:
        for future in [log.record(decision(f"d{i}"), Idempotency.of("key", f"{i}", b"")) for i in range(800)]:
            future.result(5)
        log.record(decision("new", at=LATER), Idempotency.of("key", "new", b"")).result(5)
    land(state, AT)
    found = compact_log(state.settings, 30, LATER + DAY, lambda share: None)
    assert (found.decisions, found.answers, found.waiting) == (800, 800, 0)
    assert kept(path, "select key from answers") == ["new"]
    assert found.bytes_after < found.bytes_before / 5
    assert not found.rewritten


def test_fewer_days_than_outcomes_may_take_are_refused(state: State) -> None:
    fill_days(state)
    with pytest.raises(InputError, match="7 at least"):
        compact_log(state.settings, 6, LATER, lambda share: None)


def test_a_follower_of_the_log_goes_on_after_a_compaction(state: State) -> None:
    fill_days(state)
    tail = Tail(state.settings.decisions)
    first = [o.event_id for o in tail.read()]
    land(state, AT, AT + DAY)
    compacted(state, (AT + 10 * DAY).date())
    with DecisionLog(state.settings.decisions) as log:
        log.accept([event("after", EventKind.CLICK, "d5", 40 * 86_400 + 1)], LATER).result(5)
    assert len(first) == 5
    assert [o.event_id for o in tail.read()] == ["after"]
    tail.close()
