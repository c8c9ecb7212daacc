"""The online half of the demo: the gateway decides, the simulated users answer, and what came of it lands."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import httpx
import numpy as np
import pyarrow as pa

from adplatform.contracts.errors import AdPlatformError, SetupError
from adplatform.contracts.serving import Decision
from adplatform.serve import Services, free_port
from adplatform.settings import Settings
from adplatform.simulator import Market, MarketConfig
from adplatform.store.keys import Keys, Scope
from adplatform.store.registry import Registry

DECISIONS: Final = 2000
BATCH: Final = 100
START_SECONDS: Final = 60.0
SWAP_SECONDS: Final = 5.0
POLICY: Final = "bandit_policy"
PLACEMENTS: Final = ("feed", "banner", "story", "search")


class Online(NamedTuple):
    """What happened: counts, the true click rate of what was shown and of choosing at random, and how fast it was."""

    decisions: int
    personal: int
    impressions: int
    clicks: int
    expected_clicks: float
    uniform_clicks: float
    policy_version: str
    median_ms: float
    p99_ms: float


class Swap(NamedTuple):
    """Which policy serves after retraining, and how the running gateway took another one."""

    policy_after_retraining: str
    swap: str
    """What was swapped, in words; empty where there is no other policy."""
    swap_seconds: float | None
    """Until the gateway answered with it; None where it did not within ``SWAP_SECONDS``."""


@contextmanager
def gateway(config: Settings) -> Iterator[httpx.Client]:
    """A gateway of this home on a free port, and a client with a key that ends with it."""
    port = free_port()
    record, secret = Keys(config.keys).add("the demo", [Scope.DECIDE, Scope.INGEST, Scope.READ])
    log = config.home / "logs" / "gateway.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("ab") as out, Services(config, port, agents=False, out=out):
            headers = {"authorization": f"Bearer {secret}"}
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client:
                _wait(client)
                yield client
    finally:
        Keys(config.keys).revoke(record.key_id)


def _wait(client: httpx.Client) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if client.get("/readyz").status_code == 200:
                return
        time.sleep(0.1)
    raise SetupError("the gateway did not start", "read logs/gateway.log in the home")


def play(client: httpx.Client, market: Market, seed: int, progress: Callable[[float], None] | None = None) -> Online:
    """Ask for ``DECISIONS`` slots of the market's campaigns and send what its users do with them.

    Each slot is a user's, of whom a share has not consented. Everything chosen is shown; a click is drawn with the
    oracle's true probability of that user, creative, place and time.
    """
    rng, oracle = np.random.default_rng(seed), market.oracle()
    users = market.users()["user_id"].to_pylist()
    consent = dict(zip(users, market.users()["consent"].to_pylist(), strict=True))
    campaigns = {c: oracle.creative_ids(c) for c in market.campaigns()["campaign_id"].to_pylist()}
    shown: list[dict[str, Any]] = []
    made: list[Decision] = []
    taken: list[float] = []
    uniform = clicks = personal = 0.0
    for start in range(0, DECISIONS, BATCH):
        rows = [_slot(rng, users, campaigns) for _ in range(BATCH)]
        for row in rows:
            began = time.perf_counter()
            answer = client.post("/v1/decide", json=row)
            taken.append(1000 * (time.perf_counter() - began))
            if answer.status_code != 200:
                raise AdPlatformError(f"the gateway answered {answer.status_code}: {answer.text[:200]}")
            decision = Decision.model_validate_json(answer.content)
            made.append(decision)
            row |= {"creative_id": decision.creative_id, "occurred_at": decision.decided_at}
            personal += decision.profile_version is not None and consent[row["user_id"]]
        chances = [_chances(oracle, row) for row in rows]
        own = np.array([c[row["candidates"].index(row["creative_id"])] for c, row in zip(chances, rows, strict=True)])
        uniform += float(sum(c.mean() for c in chances))
        clicked = rng.random(BATCH) < own
        clicks += clicked.sum()
        _send(client, made[start:], clicked)
        shown += [{"own": p} for p in own]
        if progress:
            progress((start + BATCH) / DECISIONS)
    return Online(
        decisions=len(made), personal=int(personal), impressions=len(made), clicks=int(clicks),
        expected_clicks=float(sum(s["own"] for s in shown)), uniform_clicks=uniform,
        policy_version=made[-1].policy_version, median_ms=float(np.median(taken)), p99_ms=float(np.quantile(taken, 0.99)),
    )  # fmt: skip


def _slot(rng: np.random.Generator, users: list[str], campaigns: dict[str, list[str]]) -> dict[str, Any]:
    campaign = sorted(campaigns)[rng.integers(len(campaigns))]
    return {
        "user_id": users[rng.integers(len(users))],
        "candidates": campaigns[campaign],
        "placement": PLACEMENTS[rng.integers(len(PLACEMENTS))],
        "position": int(rng.integers(1, 5)),
    }


def _chances(oracle: Any, row: dict[str, Any]) -> np.ndarray:
    """True click probability of each candidate in this slot, shape (candidates,)."""
    columns = ("user_id", "creative_id", "occurred_at", "placement", "position")
    one = pa.table({name: [row[name]] for name in columns})
    return np.asarray(oracle.click_probabilities(one, row["candidates"])[0])


def _send(client: httpx.Client, made: list[Decision], clicked: np.ndarray) -> None:
    now = datetime.now(UTC).isoformat()
    events = [
        {"event_id": uuid.uuid4().hex, "kind": kind, "decision_id": d.decision_id, "occurred_at": now}
        for d, was in zip(made, clicked, strict=True)
        for kind in (("impression", "click") if was else ("impression",))
    ]
    answer = client.post("/v1/events", json={"events": events})
    if answer.status_code != 200 or answer.json()["accepted"] != len(events):
        raise AdPlatformError(f"events were not accepted: {answer.text[:200]}")


def swap(client: httpx.Client, registry: Registry, candidates: list[str], served: str) -> Swap:
    """Wait until the gateway serves the champion. Where the gate kept the one that ``served``, roll back and forth."""
    champion = registry.champion(POLICY)
    if champion is None:
        return Swap(served, "", None)
    version = champion.version
    if version != served:
        return Swap(version, "the new champion", seconds_until(client, candidates, version))
    why = next(p.reason for p in reversed(registry.history(POLICY)) if p.promoted)
    try:
        before = registry.rollback(POLICY).champion
    except AdPlatformError:  # the first champion still serves
        return Swap(version, "", None)
    taken = [seconds_until(client, candidates, before)]
    registry.promote(POLICY, version, why)
    taken.append(seconds_until(client, candidates, version))
    known = [t for t in taken if t is not None]
    return Swap(version, "the champion before, and back", max(known) if len(known) == len(taken) else None)


def seconds_until(client: httpx.Client, candidates: list[str], version: str) -> float | None:
    """Seconds until the gateway answers with ``version``; None where it does not within ``SWAP_SECONDS``."""
    began = time.monotonic()
    while time.monotonic() - began < SWAP_SECONDS:
        if client.post("/v1/decide", json={"candidates": candidates}).json()["policy_version"] == version:
            return time.monotonic() - began
        time.sleep(0.05)
    return None


def market_of(loaded: dict[str, Any]) -> Market:
    """The market that the home holds."""
    first = datetime.fromisoformat(loaded["first_day"]).date()
    return Market(MarketConfig.at_scale(loaded["scale"], seed=loaded["seed"], first_day=first))
