"""A request is answered before its deadline or told that it is too late, and nothing is ever stored twice."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from adplatform.contracts.errors import InputError
from adplatform.contracts.problems import Problem
from adplatform.contracts.profiles import Profile
from adplatform.contracts.serving import DecideRequest, Decision, LoggedDecision
from adplatform.serve import command, free_port
from adplatform.settings import Settings
from adplatform.store.decision_file import connect
from adplatform.store.keys import Keys, Scope
from adplatform.store.library import Library
from adplatform.store.profiles import Profiles
from adplatform.store.registry import Registry
from adplatform.targeting.features import RequestFeatures
from benchmarks.served import Gateway, copied, group
from bentos.gateway.deciding import Asked, Deciding, Serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
Slow = Callable[..., None]


class Slower:
    def __init__(self, profiles: Profiles, seconds: float) -> None:
        self.profiles, self.seconds, self.version = profiles, seconds, profiles.version

    def get(self, user_id: str, at: datetime) -> Profile | None:
        time.sleep(self.seconds)
        return self.profiles.get(user_id, at)


@pytest.fixture(scope="module")
def gateway(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    home = copied(demo_home, tmp_path_factory.mktemp("slow") / "home")
    key = Keys(Settings(home=home).keys).add("tests", list(Scope))[1]
    port, log = free_port(), home / "gateway.log"
    start = command("tests.bentos.slow_gateway:Gateway", port)
    with group(start, port, log, key, {"ADPLATFORM_HOME": str(home)}) as (process, client):
        yield Gateway(home, process, client, log)


@pytest.fixture
def slow(gateway: Gateway) -> Iterator[Slow]:
    path = gateway.home / "slow.json"

    def set_(**seconds: float) -> None:
        path.with_suffix(".new").write_text(json.dumps(seconds))
        path.with_suffix(".new").replace(path)

    yield set_
    set_()


def decide(gateway: Gateway, **headers: str) -> httpx.Response:
    asked = {"candidates": gateway.creatives[:4], "user_id": gateway.users(True)[0]}
    return gateway.client.post("/v1/decide", json=asked, headers={k.replace("_", "-"): v for k, v in headers.items()})


def too_late(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    found = Problem.model_validate_json(answer.content)
    assert (found.error, found.retry) == ("too_late", True)
    assert answer.headers["retry-after"] == "1"


def counted(gateway: Gateway, what: str) -> int:
    with closing(connect(gateway.home / "online" / "decisions.sqlite", read_only=True)) as log:
        found: int = log.execute(f"select count(*) from {what}").fetchone()[0]
    return found


def by_rule(gateway: Gateway, answer: httpx.Response, why: str) -> LoggedDecision:
    made = Decision.model_validate_json(answer.content)
    assert (made.policy_version, made.propensity) == ("uniform", 0.25)
    assert why in made.reasons[0]
    with closing(connect(gateway.home / "online" / "decisions.sqlite", read_only=True)) as log:
        row = log.execute("select payload from decisions where decision_id = ?", (made.decision_id,)).fetchone()
    kept = LoggedDecision.model_validate_json(row[0])
    assert kept.probabilities == (0.25,) * 4
    return kept


@pytest.mark.parametrize(
    ("left", "why"), [(0.001, "no time was left to look the user up"), (0.2, "no time was left to score"), (9.0, None)]
)
def test_with_too_little_time_to_look_up_and_score_the_default_rule_answers(
    gateway: Gateway, left: float, why: str | None
) -> None:
    config = Settings(home=gateway.home)
    profiles = Profiles(config.profiles)
    profiles.refresh()
    deciding = Deciding(Registry(config.models), lambda: Library(config.landing).creatives, Slower(profiles, 0.2))
    asked = DecideRequest(candidates=tuple(gateway.creatives[:4]), user_id=gateway.users(True)[0])
    (made,) = deciding.decide([Asked(asked, datetime.now(UTC), time.perf_counter() + left)])
    answer = Decision.model_validate_json(made.record.answer)
    assert made.fallback == (why is not None)
    if why:
        assert (answer.policy_version, answer.propensity) == ("uniform", 0.25)
        assert why in answer.reasons[0]
    else:
        assert answer.policy_version != "uniform"


class Picky:
    """A policy that cannot score a request at position 3."""

    version, trained_through = "picky", None

    def of_requests(self, requests: Sequence[RequestFeatures]) -> list[np.ndarray]:
        if any(request.context["position"] == 3 for request in requests):
            raise ValueError("on purpose")
        return [np.array([0.75, 0.25]) for _ in requests]


def test_what_one_request_of_a_turn_breaks_costs_no_other_its_policy(gateway: Gateway) -> None:
    config = Settings(home=gateway.home)
    library = Library(config.landing).creatives
    deciding = Deciding(Registry(config.models), lambda: library, Profiles(config.profiles))
    deciding.serving = Serving("picky", Picky())  # type: ignore[arg-type]
    two, now = tuple(gateway.creatives[:2]), datetime.now(UTC)
    requests = [DecideRequest(candidates=two, position=position) for position in (1, 3, 2)]
    requests.append(DecideRequest(candidates=(*two, "no-such"), position=1))
    late = Asked(requests[0], now, time.perf_counter() + 0.001)
    *found, unknown, hurried = deciding.decide([*(Asked(request, now) for request in requests), late])
    assert [made.policy_version for made in found] == ["picky", "uniform", "picky"]
    assert isinstance(unknown, InputError)
    assert "no-such" in str(unknown)
    assert hurried.policy_version == "uniform"
    for made, shares in zip(found, [(0.75, 0.25), (0.5, 0.5), (0.75, 0.25)], strict=True):
        kept = LoggedDecision.model_validate_json(made.record.payload)
        assert kept.probabilities == shares
        assert kept.decision.propensity in shares


def test_a_look_up_that_fails_leaves_the_choice_to_the_default_rule(gateway: Gateway, slow: Slow) -> None:
    slow(look_up_fails=True)
    kept = by_rule(gateway, decide(gateway), "could not be looked up")
    assert (kept.personal, kept.request.user_id) == (False, None)


def test_a_look_up_past_the_deadline_is_too_late(gateway: Gateway, slow: Slow) -> None:
    slow(look_up=0.6)
    too_late(decide(gateway, x_deadline_ms="400"))


def test_a_decision_that_is_not_durable_in_time_is_not_answered_and_its_key_gives_the_stored_bytes(
    gateway: Gateway, slow: Slow
) -> None:
    name, before = uuid.uuid4().hex, counted(gateway, "decisions")
    slow(commit=2.0)
    too_late(decide(gateway, idempotency_key=name, x_deadline_ms="900"))
    time.sleep(2)
    slow()
    stored, again = decide(gateway, idempotency_key=name), decide(gateway, idempotency_key=name)
    assert stored.content == again.content
    assert Decision.model_validate_json(stored.content).policy_version != "uniform"
    assert counted(gateway, "decisions") == before + 1


def test_what_is_still_queued_at_its_deadline_is_never_stored(gateway: Gateway, slow: Slow) -> None:
    before = counted(gateway, "decisions")
    slow(commit=3.0)
    asked = {"candidates": gateway.creatives[:4]}
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(gateway.client.post, "/v1/decide", json=asked)
        time.sleep(0.9)  # its commit has begun, the next one waits for it
        too_late(decide(gateway, x_deadline_ms="600"))
        too_late(first.result())
    time.sleep(2.5)
    slow()
    assert decide(gateway).status_code == 200
    assert counted(gateway, "decisions") == before + 2  # the first, whose commit had begun, and the last


def test_events_that_are_not_durable_in_time_are_too_late_and_sent_again_they_are_there_once(
    gateway: Gateway, slow: Slow
) -> None:
    made = Decision.model_validate_json(decide(gateway).content)
    event = {"event_id": uuid.uuid4().hex, "kind": "click", "decision_id": made.decision_id}
    body: dict[str, Any] = {"events": [{**event, "occurred_at": datetime.now(UTC).isoformat()}]}
    before = counted(gateway, "events")
    slow(commit=2.0)
    too_late(gateway.client.post("/v1/events", json=body, headers={"x-deadline-ms": "900"}))
    time.sleep(2)
    slow()
    report = gateway.post("/v1/events", body).json()
    assert (report["accepted"], report["duplicates"]) == (0, 1)
    assert counted(gateway, "events") == before + 1


def test_the_page_says_that_it_may_be_too_late(gateway: Gateway) -> None:
    for path, kinds in gateway.client.get("/openapi.json").json()["paths"].items():
        for described in kinds.values():
            assert "deadline" in described["responses"]["503"]["description"], path
