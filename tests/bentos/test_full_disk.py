"""Where the log's disk is full, what is asked over HTTP is refused whole, and is served again when there is space."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from adplatform.contracts.problems import Problem
from adplatform.contracts.serving import MOST_EVENTS
from adplatform.settings import Settings
from adplatform.store.decision_file import reading
from benchmarks.served import Gateway, scratch, served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


PAGE = 4096 + 24
"""Bytes of the journal for a page of the log."""


@contextmanager
def full_disk(gateway: Gateway, log: Path, room: int = 0) -> Iterator[None]:
    """No process that has the log open may make a file longer than the log's journal is now, and ``room`` pages."""
    wal = Path(f"{log}-wal")
    workers = [
        p
        for p in psutil.Process(gateway.process.pid).children(recursive=True)
        if str(log) in {f.path for f in p.open_files()}
    ]
    assert workers
    before = {p: p.rlimit(psutil.RLIMIT_FSIZE) for p in workers}
    try:
        for p, (_, hard) in before.items():
            p.rlimit(psutil.RLIMIT_FSIZE, (wal.stat().st_size + room * PAGE, hard))
        yield
    finally:
        for p, limits in before.items():
            p.rlimit(psutil.RLIMIT_FSIZE, limits)


def rows(log: Path) -> dict[str, list[Any]]:
    with reading(log) as connection:
        return {
            name: connection.execute(f"select * from {name} order by 1, 2").fetchall()
            for name in ("decisions", "events", "joined", "rejected", "answers")
        }


def assert_refused(answer: httpx.Response, home: Path) -> None:
    said = Problem.model_validate_json(answer.content)
    assert (answer.status_code, said.error, said.retry) == (503, "unavailable", True)
    assert "nothing was stored" in said.detail
    assert "free some space" in said.detail
    assert str(home) not in said.detail
    assert int(answer.headers["retry-after"]) > 0


def test_a_full_disk_is_said_nothing_is_kept_by_halves_and_the_same_request_is_taken_later(demo_home: Path) -> None:
    with scratch(demo_home) as (home, key), served(home, key) as gateway:
        log = Settings(home=home).decisions
        asked = {"candidates": gateway.creatives[:3]}
        made = gateway.post("/v1/decide", asked).json()
        common = {"kind": "click", "decision_id": made["decision_id"], "occurred_at": datetime.now(UTC).isoformat()}
        sent = {"events": [{"event_id": uuid.uuid4().hex, **common} for _ in range(MOST_EVENTS)]}
        named = {"idempotency-key": uuid.uuid4().hex}
        before = rows(log)
        with full_disk(gateway, log):
            for _ in range(2):
                assert_refused(gateway.post("/v1/decide", asked), home)
                assert_refused(gateway.post("/v1/decide", asked, headers=named), home)
                assert_refused(gateway.post("/v1/events", sent), home)
            assert gateway.client.get("/livez").status_code == 200
        assert rows(log) == before
        with full_disk(gateway, log, room=10):  # for a part of the batch
            assert_refused(gateway.post("/v1/events", sent), home)
        assert rows(log) == before
        decided = gateway.post("/v1/decide", asked, headers=named)
        assert decided.status_code == 200
        assert gateway.post("/v1/decide", asked, headers=named).content == decided.content
        for accepted, duplicates in ((MOST_EVENTS, 0), (0, MOST_EVENTS)):
            report = gateway.post("/v1/events", sent).json()
            assert (report["accepted"], report["duplicates"], report["rejected"]) == (accepted, duplicates, [])
        after = rows(log)
        grown = {name: len(after[name]) - len(before[name]) for name in before}
        assert grown == {"decisions": 1, "events": MOST_EVENTS, "joined": MOST_EVENTS, "rejected": 0, "answers": 1}
