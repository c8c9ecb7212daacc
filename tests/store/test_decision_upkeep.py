"""The decision log is kept safe: no backup takes a running server's place, and what was rejected may be judged again."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import orjson
import pytest

from adplatform.contracts.errors import InputError, SetupError
from adplatform.contracts.serving import EventKind
from adplatform.state import State
from adplatform.store import decision_file
from adplatform.store.decision_erase import erase_user, scrub
from adplatform.store.decision_file import connect
from adplatform.store.decision_log import DecisionLog
from adplatform.store.decision_upkeep import backup, contents, replay, restore
from adplatform.store.decision_writes import Idempotency, Judged
from adplatform.store.judging import judge
from tests.store.decisions import AT, DAY, LATER, decision, decisions, event, fill_days, kept


def test_a_backup_while_servers_write_is_one_whole_state(tmp_path: Path, state: State) -> None:
    path, stop = state.settings.decisions, threading.Event()
    with DecisionLog(path) as log:
        log.record(decision("d")).result(5)

        def write() -> None:
            number = 0
            while not stop.is_set():
                pair = [event(f"{number}{side}", EventKind.CLICK, "d") for side in "ab"]
                log.accept(pair, AT).result(5)
                number += 1

        writer = threading.Thread(target=write)
        writer.start()
        counts = [backup(path, tmp_path / f"{i}.sqlite").events for i in range(5)]
        stop.set()
        writer.join()
    assert all(n % 2 == 0 for n in counts), "a batch is in it whole or not at all"
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]
    with pytest.raises(InputError, match="there already"):
        backup(path, tmp_path / "0.sqlite")
    assert not list(tmp_path.glob(".*"))


def test_a_restore_gives_the_backed_up_state_and_keeps_the_log_before(tmp_path: Path, state: State) -> None:
    path = state.settings.decisions
    fill_days(state)
    backup(path, tmp_path / "b.sqlite")
    with DecisionLog(path) as log:
        log.record(decision("since")).result(5)
    found = restore(path, tmp_path / "b.sqlite", LATER)
    assert found.contents.decisions == 5
    assert found.aside is not None
    assert "since" in decisions(found.aside)
    assert decisions(path) == ["d1", "d2", "d3", "d4", "d5"]
    with DecisionLog(path) as log:
        assert log.accept([event("i1", EventKind.IMPRESSION, "d1")], AT).result(5).duplicates == 1


def test_a_restore_is_refused_while_a_server_holds_the_log(tmp_path: Path, state: State) -> None:
    path = state.settings.decisions
    fill_days(state)
    backup(path, tmp_path / "b.sqlite")
    with DecisionLog(path) as log:
        log.record(decision("since")).result(5)
        with pytest.raises(SetupError, match="in use"):
            restore(path, tmp_path / "b.sqlite", LATER)
        log.record(decision("and on")).result(5)
    assert {"since", "and on"} <= set(decisions(path))


def test_a_log_that_does_not_open_can_be_restored_and_what_is_no_backup_is_refused(
    tmp_path: Path, state: State
) -> None:
    path = state.settings.decisions
    fill_days(state)
    backup(path, tmp_path / "b.sqlite")
    path.write_bytes(b"no database at all" * 100)
    for wrong in ("missing", "text", "other"):
        source = tmp_path / f"{wrong}.sqlite"
        if wrong == "text":
            source.write_text("no database at all")
        if wrong == "other":
            sqlite3.connect(source).execute("create table t (x)")
        with pytest.raises(InputError):
            restore(path, source, LATER)
    assert restore(path, tmp_path / "b.sqlite", LATER).contents.decisions == 5
    newer = tmp_path / "newer.sqlite"
    backup(path, newer)
    sqlite3.connect(newer).execute("pragma user_version = 999")
    with pytest.raises(InputError, match="newer"):
        restore(path, newer, LATER)


def test_a_rejected_event_that_is_good_now_is_accepted_and_leaves_the_table(state: State) -> None:
    path = state.settings.decisions
    ahead = {"event_id": "ahead", "kind": "click", "decision_id": "d1", "occurred_at": (AT + 3 * DAY).isoformat()}
    bad = {"event_id": "bad", "kind": "view", "decision_id": "d1", "occurred_at": AT.isoformat()}
    with DecisionLog(path) as log:
        told = log.accept([judge(ahead, AT), judge(bad, AT), event("early", EventKind.CLICK, "d1", 3)], AT).result(5)
        assert (told.accepted, len(told.rejected)) == (1, 2)
        assert log.expire(AT + 4 * DAY, 3 * DAY).result(5) == 1
        log.record(decision("d1")).result(5)
        found = replay(path, AT + 4 * DAY)
    assert (found.judged, found.accepted) == (3, 2)
    assert list(found.reasons.values()) == [1]
    assert kept(path, "select event_id from rejected") == ["bad"]
    assert kept(path, "select event_id from joined") == ["ahead", "early"]
    assert kept(path, "select occurred_at from events where event_id = 'early'") == [
        str(decision_file.micros(AT + timedelta(seconds=3)))
    ]
    again = replay(path, AT + 5 * DAY)
    assert (again.judged, again.accepted) == (1, 0)


def test_an_event_whose_decision_is_still_unknown_stays_rejected(state: State) -> None:
    path = state.settings.decisions
    with DecisionLog(path) as log:
        log.accept([event("orphan", EventKind.CLICK, "d9")], AT).result(5)
        log.expire(AT + 4 * DAY, 3 * DAY).result(5)
    assert replay(path, AT + 5 * DAY).accepted == 0
    assert kept(path, "select event_id from rejected") == ["orphan"]


def test_a_replay_never_counts_an_event_twice(state: State) -> None:
    path = state.settings.decisions
    sent = {"event_id": "e", "kind": "click", "decision_id": "d1", "occurred_at": (AT + 3 * DAY).isoformat()}
    with DecisionLog(path) as log:
        log.record(decision("d1")).result(5)
        log.accept([judge(sent, AT)], AT).result(5)
        log.accept([judge(sent, AT + 3 * DAY)], AT).result(5)
        assert replay(path, AT + 4 * DAY).duplicates == 1
    assert kept(path, "select event_id from events") == ["e"]
    assert kept(path, "select event_id from rejected") == []


def test_a_persons_bytes_leave_the_file_and_nobody_elses(state: State) -> None:
    path, person = state.settings.decisions, "zq7-person-93"
    with DecisionLog(path) as log:
        for i in range(40):
            log.record(decision(f"p{i}", person), Idempotency.of("key", f"{person}-{i}", b"")).result(5)
            log.record(decision(f"o{i}"), Idempotency.of("key", f"o{i}", b"")).result(5)
        log.accept([event(f"e{i}", EventKind.CLICK, f"p{i}") for i in range(40)], AT).result(5)
        payload = orjson.dumps({"event_id": "x", "user_id": person})
        log.accept([Judged("x", None, payload, "user_id: is not allowed")], AT).result(5)
        erased = erase_user(path, person)
        scrub(path)
        log.record(decision("after")).result(5)  # a server goes on
        assert (erased.decisions, erased.events, erased.answers, erased.rejected) == (40, 40, 40, 1)
        assert not [p.name for p in path.parent.iterdir() if person.encode() in p.read_bytes()]
    assert contents(path)[:4] == (41, 0, 0, 40)
    assert not erase_user(path, person).any


def test_a_file_of_an_older_version_is_brought_up_to_date_and_keeps_its_rows(
    tmp_path: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty.sqlite"
    with closing(sqlite3.connect(empty)) as made:
        assert made.execute("pragma user_version").fetchone() == (0,)
    connect(empty).close()
    assert contents(empty).decisions == 0
    fill_days(state)
    second = "alter table decisions add column note text; create index notes on decisions (note)"
    monkeypatch.setattr(decision_file, "_MIGRATIONS", (*decision_file._MIGRATIONS, second))
    with closing(connect(state.settings.decisions)) as log:
        assert log.execute("pragma user_version").fetchone() == (len(decision_file._MIGRATIONS),)
        assert log.execute("select count(note) from decisions").fetchone() == (0,)
    assert len(decisions(state.settings.decisions)) == 5
    broken = (*decision_file._MIGRATIONS, "create table more (x); this is no sql")
    monkeypatch.setattr(decision_file, "_MIGRATIONS", broken)
    with pytest.raises(SetupError):
        connect(state.settings.decisions)
    monkeypatch.setattr(decision_file, "_MIGRATIONS", broken[:-1])
    assert kept(state.settings.decisions, "select name from sqlite_master where name = 'more'") == []
