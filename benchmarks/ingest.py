"""Events from HTTP to durable to queryable: how many a second, and how long until a profile store knows them.

Floors of the same run: SQLite alone with the same rows, transactions and syncs, and a Bento echo of the same bodies.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import orjson

from adplatform.contracts.claims import BenchmarkReport, Claim, Row
from adplatform.contracts.serving import DecideRequest
from adplatform.decisions import land_day, open_days
from adplatform.settings import Settings
from adplatform.state import State
from adplatform.store.decision_file import connect, micros
from adplatform.store.decision_log import DecisionLog
from adplatform.store.decision_rows import Tail
from adplatform.store.decision_writes import NewDecision
from adplatform.store.library import Library
from adplatform.store.profiles import Profiles
from adplatform.store.registry import Registry
from benchmarks.generator import Answers, Load, request
from benchmarks.stand import ECHO, Stand, every, stand
from bentos.gateway.deciding import Asked, Deciding, Made
from bentos.gateway.worker import POLL_SECONDS

BATCH: Final = 1000
CONNECTIONS: Final = 4
GOAL: Final = 20_000.0
"""Events a second that issue 4 asks for."""
SETTLE_SECONDS: Final = 20.0


class Sent(NamedTuple):
    """Bodies of batches, and the rows that they become."""

    bodies: list[bytes]
    rows: list[list[tuple[object, ...]]]


def run(events: int = 100_000, fresh: int = 100_000, source: Path | None = None) -> BenchmarkReport:
    """``events`` as fast as they are taken, then ``fresh`` at ``GOAL`` (at what was reached, where that is less), looked for
    as a worker does.
    """
    with stand(source) as on:
        decisions = _decided(on, (events + fresh) // 2)
        first, second = _sent(decisions[: events // 2]), _sent(decisions[events // 2 :])
        with on.served() as (port, _):
            fast = on.sender.send(Load(port, _requests(on, "/v1/events", first), 0.0, CONNECTIONS, once=True))
            rate = events / float(fast.answered.max())
            steadily = min(GOAL, rate)
            with _followed(on) as seen:
                opened = Load(port, _requests(on, "/v1/events", second), 0.0, 64, steadily / BATCH, once=True)
                steady = on.sender.send(opened)
                _until(seen, len(second.bodies))
        with on.served(ECHO) as (port, _):
            echo = on.sender.send(Load(port, _requests(on, "/v1/decide", first), 0.0, CONNECTIONS, once=True))
        floor = _sqlite_alone(on.home / "floor.sqlite", first)
        landed, seconds = _landed(on)
    lag = _lags(steady, seen)
    bad = sum(len(a.status) - a.count(200) + a.unanswered for a in (fast, steady))
    missing = events + fresh - landed
    rows = (
        Row(what=f"batches of {BATCH}, {CONNECTIONS} connections: events a second, durable", ours=rate, peer=floor,
            peer_name="SQLite alone, same rows and syncs", ratio=rate / floor, n=events),
        Row(what="the same", ours=rate, peer=events / float(echo.answered.max()), peer_name="bento echo, same bodies",
            ratio=rate * float(echo.answered.max()) / events, n=events),
        Row(what=f"lag at {steadily:,.0f} events a second: from sent to known by a profile store, 95th percentile, seconds",
            ours=float(np.quantile(lag, 0.95)), peer=POLL_SECONDS, peer_name="its polling", n=len(lag)),
        Row(what="the same, median", ours=float(np.median(lag)), n=len(lag)),
        Row(what="landing: events a second", ours=landed / seconds, n=landed),
    )  # fmt: skip
    claims = (
        Claim(name="ingest-rate", claim=f"at least {GOAL:,.0f} events a second from HTTP to durable", figure=rate,
              holds=rate >= GOAL and bad == 0, n=events, detail={"not_200": bad, "generator": round(fast.share, 2)}),
        Claim(name="ingest-all", claim="every accepted event is known to a profile store's reader and lands once",
              figure=float(missing), holds=missing == 0 and bad == 0 and len(lag) == len(second.bodies), n=events + fresh),
    )  # fmt: skip
    return BenchmarkReport(name="ingest", machine={}, seconds=0.0, rows=rows, claims=claims)


def _decided(on: Stand, many: int) -> list[str]:
    """Ids of decisions that the log of the home now has: a real one of each user, and copies under other ids."""
    config, now = Settings(home=on.home), datetime.now(UTC)
    library, profiles = Library(config.landing), Profiles(config.profiles)
    profiles.refresh()
    deciding = Deciding(Registry(config.models), lambda: library.creatives, profiles)
    asked = [DecideRequest(candidates=tuple(on.creatives[:5]), user_id=u, placement="feed") for u in on.users]
    made = [m.record for m in deciding.decide([Asked(one, now) for one in asked]) if isinstance(m, Made)]
    ids = [f"{number:032x}" for number in range(many)]
    with DecisionLog(config.decisions) as log:
        futures = [log.record(_copy(made[number % len(made)], name)) for number, name in enumerate(ids)]
        for future in futures:
            future.result()
    return ids


def _copy(decision: NewDecision, name: str) -> NewDecision:
    payload = decision.payload.replace(decision.decision_id.encode(), name.encode())
    return decision._replace(decision_id=name, payload=payload)


def _sent(decisions: Sequence[str]) -> Sent:
    """An impression and a click of each decision, in batches."""
    at = datetime.now(UTC)
    events = [
        {"event_id": f"{kind[0]}{name}", "kind": kind, "decision_id": name, "occurred_at": at.isoformat()}
        for name in decisions
        for kind in ("impression", "click")
    ]
    batches = [events[i : i + BATCH] for i in range(0, len(events), BATCH)]
    rows: list[list[tuple[object, ...]]] = [[(e["event_id"], b"0" * 32, e["kind"], e["decision_id"], micros(at), micros(at), None, 0) for e in b]
            for b in batches]  # fmt: skip
    return Sent([orjson.dumps({"events": b}) for b in batches], rows)


def _requests(on: Stand, path: str, sent: Sent) -> list[bytes]:
    return [request(path, body, on.key) for body in sent.bodies]


def _sqlite_alone(path: Path, sent: Sent) -> float:
    """Rows a second of the same tables, each batch a synced transaction."""
    with closing(connect(path)) as log:
        began = time.perf_counter()
        for rows in sent.rows:
            log.execute("begin immediate")
            log.executemany(
                "insert into events (event_id, digest, kind, decision_id, occurred_at, received_at, value, held) "
                "values (?, ?, ?, ?, ?, ?, ?, ?)", rows,
            )  # fmt: skip
            log.executemany("insert into joined (event_id) values (?)", [row[:1] for row in rows])
            log.commit()
        return sum(map(len, sent.rows)) / (time.perf_counter() - began)


@contextmanager
def _followed(on: Stand) -> Iterator[dict[str, float]]:
    """When a profile store that reads the log as a worker does has taken an event, by id; from now on."""
    config, seen = Settings(home=on.home), dict[str, float]()
    profiles, tail = Profiles(config.profiles), Tail(config.decisions)
    profiles.refresh()
    while tail.read():
        pass

    def follow() -> None:
        while outcomes := tail.read():
            profiles.replay(outcomes)
            seen.update(dict.fromkeys((o.event_id for o in outcomes), time.perf_counter()))

    with closing(tail), every(POLL_SECONDS, follow):
        yield seen


def _until(seen: dict[str, float], batches: int) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while len(seen) < batches * BATCH and time.monotonic() < deadline:
        time.sleep(0.05)


def _lags(steady: Answers, seen: dict[str, float]) -> np.ndarray:
    """Seconds of each batch from when it was due to when its last event was known; those never known are left out."""
    known = np.sort(np.array(list(seen.values())))
    ends = known[BATCH - 1 :: BATCH]  # the log is read in the order of its commits, a batch is one commit
    sent = steady.start + steady.due[steady.status == 200]
    return np.asarray(ends[: len(sent)] - sent[: len(ends)])


def _landed(on: Stand) -> tuple[int, float]:
    """Events that landed, and the seconds it took."""
    state = State(Settings(home=on.home))
    before = _counted(state)
    began = time.perf_counter()
    for day in open_days(state):
        land_day(state, day)
    return _counted(state) - before, time.perf_counter() - began


def _counted(state: State) -> int:
    return sum(state.landing.read(table).num_rows for table in ("impressions", "clicks"))
