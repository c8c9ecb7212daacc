"""Once told, counted while open, told when over; across restarts, processes and full disks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from adplatform.contracts.alerts import NoticeState, Severity
from adplatform.store import alerts as store
from adplatform.store.alerts import AlertBook
from tests.alerts.sinks import NOON, alert
from tests.homes import REPOSITORY

HOUR = timedelta(hours=1)


def lines(home: Path) -> list[dict]:
    return [json.loads(line) for line in (home / "logs" / "alerts.log").read_text().splitlines()]


def states(home: Path) -> list[str]:
    return [line["state"] for line in lines(home)]


def test_an_alert_is_told_once_counted_and_told_when_it_is_over(tmp_path: Path) -> None:
    book = AlertBook(tmp_path)
    assert book.raise_(alert(), NOON) is not None
    for n in range(5):
        later = alert(since=NOON + n * HOUR + HOUR)
        assert AlertBook(tmp_path).raise_(later, NOON + HOUR) is None  # each a process that was started anew
        assert AlertBook(tmp_path).raise_(later, NOON + HOUR) is None  # looked at again: the same occurrence
    over = AlertBook(tmp_path).resolve(alert().key, NOON + 3 * HOUR + timedelta(minutes=20))
    assert over is not None
    assert (over.count, over.lasted, over.thread_id) == (6, "3 h 20 min", lines(tmp_path)[0]["notice_id"])
    assert states(tmp_path) == ["raised", "resolved"]
    assert book.resolve(alert().key) is None
    assert book.read().open == {}


def test_one_that_stays_open_is_told_again_after_the_repeat_time_and_not_before(tmp_path: Path) -> None:
    book = AlertBook(tmp_path, repeat=timedelta(hours=24))
    told = [h for h in range(73) if book.raise_(alert(), NOON + h * HOUR)]
    assert told == [0, 24, 48, 72]
    assert states(tmp_path) == ["raised", *["repeated"] * 3]


def test_what_nobody_raises_again_is_told_again_while_it_is_open(tmp_path: Path) -> None:
    book = AlertBook(tmp_path, repeat=timedelta(hours=24))
    book.raise_(alert(), NOON)
    book.raise_(alert("news", severity=Severity.INFO), NOON)
    assert [len(book.remind(NOON + h * HOUR)) for h in (1, 23, 24, 25, 48)] == [0, 0, 1, 0, 1]
    assert book.read().open[alert().key].count == 1


def test_what_is_only_good_to_know_is_not_repeated(tmp_path: Path) -> None:
    book, info = AlertBook(tmp_path, repeat=HOUR), alert(severity=Severity.INFO)
    assert [h for h in range(50) if book.raise_(info, NOON + h * HOUR)] == [0]


def test_one_that_becomes_worse_is_told_at_once(tmp_path: Path) -> None:
    book = AlertBook(tmp_path)
    warning, error = alert(severity=Severity.WARNING), alert(severity=Severity.ERROR)
    assert [book.raise_(a, NOON) is not None for a in (warning, warning, error, error, warning)] == [
        True, False, True, False, False
    ]  # fmt: skip


def test_after_it_was_over_the_same_trouble_is_a_new_alert(tmp_path: Path) -> None:
    book = AlertBook(tmp_path)
    first, _, again = book.raise_(alert(), NOON), book.resolve(alert().key), book.raise_(alert(), NOON)
    assert first is not None
    assert again is not None
    assert (again.state, again.count) == (NoticeState.RAISED, 1)
    assert again.thread_id != first.thread_id


MANY = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from adplatform.store.alerts import AlertBook
from tests.alerts.sinks import alert
book = AlertBook(Path(sys.argv[1]), ["webhook"])
for n in range(40):
    book.raise_(alert(since=datetime.now(UTC)))
    book.raise_(alert(f"{sys.argv[2]}-{n}"))
"""


def test_two_processes_lose_nothing_and_tell_nothing_twice(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", MANY, str(tmp_path)]
    running = [subprocess.Popen([*command, name], env=env, cwd=REPOSITORY) for name in ("a", "b")]
    assert [p.wait(60) for p in running] == [0, 0]
    book = AlertBook(tmp_path).read()
    assert len(book.open) == 81
    assert book.open[alert().key].count == 80
    assert len(lines(tmp_path)) == len(book.queue) == 81
    assert len({line["key"] for line in lines(tmp_path)}) == 81


def test_where_the_book_cannot_be_written_the_alert_is_told_once_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    book = AlertBook(tmp_path, ["webhook"])
    monkeypatch.setattr(store, "write_bytes", full)
    assert book.raise_(alert(), NOON) is not None
    assert AlertBook(tmp_path, ["webhook"]).raise_(alert(), NOON) is None
    assert len(book.loose()) == 1
    assert book.resolve(alert().key) is None
    monkeypatch.undo()
    over = AlertBook(tmp_path, ["webhook"]).resolve(alert().key, NOON + HOUR)
    assert over is not None
    assert [q.notice for q in book.read().queue] == [over]


def test_a_damaged_book_is_begun_anew(tmp_path: Path) -> None:
    book = AlertBook(tmp_path)
    book.raise_(alert())
    book.path.write_text('{"open": ')
    assert book.raise_(alert()) is not None
    assert len(book.read().open) == 1


def test_no_secret_is_kept_or_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    book = AlertBook(tmp_path, ["webhook"], secrets=["hunter2"])
    book.raise_(alert("a hunter2", what="login with hunter2 failed", facts={"line": "password=hunter2"}))
    kept = "".join(p.read_text() for p in tmp_path.rglob("*") if p.is_file()) + caplog.text
    assert "***" in kept
    assert "hunter2" not in kept


def test_an_alert_is_one_line_whatever_an_error_said(tmp_path: Path) -> None:
    AlertBook(tmp_path).raise_(alert(what="bad\nthing\r\nBcc: all@x.test\x1b[31m", title="t\n" * 300))
    (line,) = lines(tmp_path)
    assert line["alert"]["what"] == "bad thing Bcc: all@x.test [31m"
    assert len(line["alert"]["title"]) == 150


def test_the_queue_of_a_channel_that_is_gone_for_ever_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store, "MOST_QUEUED", 5)
    book = AlertBook(tmp_path, ["webhook"])
    told = [book.raise_(alert(str(n)), NOON) for n in range(7)]
    assert [q.notice for q in book.read().queue] == told[2:]
    assert caplog.text.count("was never sent") == 2
    assert len(lines(tmp_path)) == 7
