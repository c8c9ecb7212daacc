"""Claim ``events``: whoever is killed, every answered event and decision is stored, once, and lands once."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

from adplatform.contracts.claims import Claim
from adplatform.decisions import land_day, library, open_days
from adplatform.serve import free_port
from adplatform.settings import Settings
from adplatform.state import State
from adplatform.store.decision_file import reading
from adplatform.store.decision_rows import tables_of
from benchmarks.served import Gateway, scratch, served

HOWS: Final = ("worker", "parent", "group")
BATCH: Final = 10
"""Events of each decision: as many as the long form has events for each of its decisions, so that both end together."""
RESTART_SECONDS: Final = 10.0
_TRANSPORT: Final = (httpx.TransportError,)


class Sender:
    """A client that goes on, whatever happens, and remembers what it was told.

    A batch that was not answered is sent again, as a client of an idempotent endpoint does.
    """

    def __init__(self, port: int, key: str, creatives: list[str]) -> None:
        self.url, self.headers = f"http://127.0.0.1:{port}", {"authorization": f"Bearer {key}"}
        self.creatives = creatives
        self.decided: set[str] = set()
        self.stored: set[str] = set()
        self.sent: set[str] = set()
        self.wrong: list[str] = []
        self.too_late = 0
        """Refused, for they had waited longer than their deadline where the killed were; sent again like the unanswered."""
        self._stop = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def __enter__(self) -> Sender:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.thread.join(60)

    def _run(self) -> None:
        with httpx.Client(base_url=self.url, headers=self.headers, timeout=5) as client:
            while not self._stop.is_set():
                made = self._told(client, "/v1/decide", {"candidates": self.creatives[:3]})
                if made is None:
                    continue
                self.decided.add(made["decision_id"])
                now = datetime.now(UTC).isoformat()
                common = {"kind": "click", "decision_id": made["decision_id"], "occurred_at": now}
                batch = [{"event_id": uuid.uuid4().hex, **common} for _ in range(BATCH)]
                ids = {str(e["event_id"]) for e in batch}
                self.sent |= ids
                report = None
                while report is None and not self._stop.is_set():
                    report = self._told(client, "/v1/events", {"events": batch})
                if report is None:
                    continue
                if report["accepted"] + report["duplicates"] + len(report["rejected"]) != len(batch):
                    self.wrong.append(str(report))
                self.stored |= ids

    def _told(self, client: httpx.Client, path: str, body: object) -> dict[str, Any] | None:
        """The answer; None where there was none, so that nothing was promised."""
        try:
            answer = client.post(path, json=body)
        except _TRANSPORT:
            time.sleep(0.02)
            return None
        if answer.status_code == 503 and answer.json()["error"] == "too_late":
            self.too_late += 1
            time.sleep(0.02)
            return None
        if answer.status_code != 200:
            self.wrong.append(f"{answer.status_code} {answer.text[:200]}")
            return None
        found: dict[str, Any] = answer.json()
        return found


def run(
    events: int = 100_000, decisions: int = 10_000, kills: int = 50, seed: int = 106,
    progress: Callable[[float], None] | None = None, source: Path | None = None,
) -> Claim:  # fmt: skip
    """Kill a worker, the parent or the whole group ``kills`` times while events come, then compare what was told with
    what is stored and with what lands, the landing being cut off once as well. ``figure``: events or decisions lost."""
    rng, port, restarts = random.Random(seed), free_port(), list[float]()
    with scratch(source) as (home, key):
        with served(home, key, port, ADPLATFORM_WORKERS="2") as gateway:
            creatives = gateway.creatives
        with Sender(port, key, creatives) as sender:
            number = 0
            while number < kills or len(sender.stored) < events or len(sender.decided) < decisions:
                began = time.monotonic()
                with served(home, key, port, ADPLATFORM_WORKERS="2") as gateway:
                    restarts.append(time.monotonic() - began)
                    _some(sender, events * (number + 1) // kills)
                    time.sleep(rng.uniform(0.0, 0.3))
                    if number < kills:
                        kill(gateway, HOWS[number % len(HOWS)], rng)
                number += 1
                if progress:
                    progress(min(1.0, number / kills))
        return conclude(home, sender, kills, restarts)


def _some(sender: Sender, many: int, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while len(sender.stored) < many and time.monotonic() < deadline:
        time.sleep(0.02)


def kill(gateway: Gateway, how: str, rng: random.Random) -> None:
    """SIGKILL one worker, the parent alone, or the process group."""
    workers = psutil.Process(gateway.process.pid).children(recursive=True)
    if how == "worker":
        rng.choice([w for w in workers if "worker" in " ".join(w.cmdline())]).kill()
        time.sleep(0.5)
    elif how == "parent":
        os.kill(gateway.process.pid, signal.SIGKILL)
    else:
        os.killpg(gateway.process.pid, signal.SIGKILL)


def conclude(home: Path, sender: Sender, kills: int, restarts: list[float]) -> Claim:
    """The claim of what a sender was told and what the home holds."""
    with reading(home / "online" / "decisions.sqlite") as log:
        decided = {row[0] for row in log.execute("select decision_id from decisions")}
        events = [row[0] for row in log.execute("select event_id from events")]
        rejected = log.execute("select count(*) from rejected").fetchone()[0]
    lost = len(sender.decided - decided) + len(sender.stored - set(events))
    strange = len(set(events) - sender.sent)
    twice = len(events) - len(set(events))
    landed = _land(home)
    missed = len(set(events) ^ set(landed)) + len(landed) - len(set(landed))
    figure = lost + strange + twice + missed + len(sender.wrong)
    return Claim(
        name="events",
        claim="what was answered is stored once and lands once, whoever is killed; a restart takes the port within 10 s",
        figure=float(figure),
        holds=figure == 0 and rejected == 0 and max(restarts) <= RESTART_SECONDS and len(sender.stored) > 0,
        n=len(sender.stored),
        detail={
            "decisions": len(sender.decided), "kills": kills, "lost": lost, "stored_twice": twice, "never_sent": strange,
            "not_landed_once": missed, "wrong_answers": sender.wrong[:5],
            "too_late": sender.too_late, "slowest_start_seconds": round(max(restarts), 2),
            "unanswered_but_stored": len(set(events) - sender.stored),
        },
    )  # fmt: skip


def _land(home: Path) -> list[str]:
    """Ids of the clicks that have landed, after a landing that was cut off in the middle and one that was not."""
    state = State(Settings(home=home))
    before = set(state.landing.read("clicks")["click_id"].to_pylist())
    for day in open_days(state):  # as a landing does that is killed after two of its tables
        for name, rows in list(tables_of(state.settings.decisions, day, library(state)).items())[:2]:
            if rows.num_rows:
                state.landing.ingest_table(name, rows)
    for day in open_days(state):
        land_day(state, day)
    return [c for c in state.landing.read("clicks")["click_id"].to_pylist() if c not in before]
