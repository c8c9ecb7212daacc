"""What the gateway promises: exact propensities, durable answers, each event judged, one clear error."""

from __future__ import annotations

import math
import uuid
from datetime import UTC, datetime, timedelta

import httpx
import numpy as np
import pytest

from adplatform.contracts.problems import Problem
from adplatform.contracts.serving import Decision, LoggedDecision
from adplatform.settings import Settings
from adplatform.store.decision_file import reading
from adplatform.store.decision_rows import Tail
from adplatform.store.library import Library
from adplatform.store.profiles import Profiles
from adplatform.store.registry import Registry
from adplatform.targeting.bandit import load_policy
from adplatform.targeting.features import RequestFeatures
from benchmarks.served import Gateway

pytestmark = pytest.mark.slow


def decide(gateway: Gateway, **changed: object) -> httpx.Response:
    asked = {"candidates": gateway.creatives[:5], "placement": "feed", "position": 2, **changed}
    return gateway.post("/v1/decide", asked)


def logged(gateway: Gateway, decision_id: str) -> LoggedDecision:
    with reading(gateway.home / "online" / "decisions.sqlite") as log:
        row = log.execute("select payload from decisions where decision_id = ?", (decision_id,)).fetchone()
    return LoggedDecision.model_validate_json(row[0])


def event(decision_id: str, kind: str = "click", **changed: object) -> dict[str, object]:
    now = datetime.now(UTC).isoformat()
    return {"event_id": uuid.uuid4().hex, "kind": kind, "decision_id": decision_id, "occurred_at": now, **changed}


def problem(answer: httpx.Response, status: int) -> Problem:
    assert answer.status_code == status, answer.text
    found = Problem.model_validate_json(answer.content)
    assert found.request_id == answer.headers["x-request-id"]
    return found


@pytest.mark.parametrize("count", [1, 10, 100])
def test_a_propensity_is_exactly_what_its_policy_version_says_of_what_was_logged(gateway: Gateway, count: int) -> None:
    library = Library(gateway.home / "landing").creatives
    candidates = gateway.creatives[:count]
    for user in [*gateway.users(True)[:5], None]:
        answer = decide(gateway, candidates=candidates, user_id=user)
        made = Decision.model_validate_json(answer.content)
        kept = logged(gateway, made.decision_id)
        assert kept.decision == made
        policy = load_policy(Registry(gateway.home / "models").path("bandit_policy", made.policy_version))
        creatives = [library[c] for c in kept.request.candidates]
        again = policy.of_requests([RequestFeatures(kept.context, creatives, kept.exposures)])[0]
        assert tuple(again.tolist()) == kept.probabilities
        assert made.propensity == again[candidates.index(made.creative_id)]
        assert math.isclose(sum(kept.probabilities), 1.0, rel_tol=1e-12)
        if count > 1:  # the same through the batch path, table and all
            batch = policy.probabilities(
                RequestFeatures(kept.context, creatives, kept.exposures).table().slice(0, 1), creatives
            )
            assert np.allclose(batch.sum(), 1.0)


def test_choices_follow_their_propensities(gateway: Gateway) -> None:
    made = [Decision.model_validate_json(decide(gateway, candidates=gateway.creatives[:3]).content) for _ in range(400)]
    kept = logged(gateway, made[0].decision_id).probabilities
    for creative, p in zip(gateway.creatives[:3], kept, strict=True):
        share = sum(d.creative_id == creative for d in made) / len(made)
        assert abs(share - p) < 4.5 * math.sqrt(p * (1 - p) / len(made)) + 1e-9


def test_an_unknown_user_and_one_without_consent_are_cold_starts_and_their_ids_are_not_kept(gateway: Gateway) -> None:
    for user in ("nobody-1", gateway.users(False)[0]):
        made = Decision.model_validate_json(decide(gateway, user_id=user).content)
        assert any("cold start" in reason for reason in made.reasons)
        kept = logged(gateway, made.decision_id)
        assert (kept.personal, kept.request.user_id, set(kept.exposures)) == (False, None, {None})
        with reading(gateway.home / "online" / "decisions.sqlite") as log:
            assert not log.execute("select 1 from decisions where instr(payload, ?) > 0", (user,)).fetchone()


def test_the_same_idempotency_key_and_body_give_the_same_bytes_and_another_body_a_conflict(gateway: Gateway) -> None:
    name = {"idempotency-key": uuid.uuid4().hex}
    body = {"candidates": gateway.creatives[:4]}
    first, again = (gateway.client.post("/v1/decide", json=body, headers=name) for _ in range(2))
    assert first.content == again.content
    other = gateway.client.post("/v1/decide", json={"candidates": gateway.creatives[:3]}, headers=name)
    assert problem(other, 409).error == "conflict"


def test_a_batch_sent_again_under_its_key_gets_the_same_report_and_another_batch_a_conflict(gateway: Gateway) -> None:
    made = Decision.model_validate_json(decide(gateway).content)
    name, some = {"idempotency-key": uuid.uuid4().hex}, [event(made.decision_id), event(made.decision_id, "buy")]
    first, again = (gateway.client.post("/v1/events", json={"events": some}, headers=name) for _ in range(2))
    assert (first.json()["accepted"], first.json()["duplicates"], len(first.json()["rejected"])) == (1, 0, 1)
    assert first.content == again.content
    unkept = event(made.decision_id)
    other = gateway.client.post("/v1/events", json={"events": [unkept]}, headers=name)
    assert problem(other, 409).error == "conflict"
    assert gateway.post("/v1/events", {"events": [unkept]}).json()["accepted"] == 1  # the conflict had stored nothing
    assert gateway.post("/v1/events", {"events": some}).json()["duplicates"] == 1


def test_a_batch_of_events_adds_up_and_each_is_judged_for_itself(gateway: Gateway) -> None:
    made = Decision.model_validate_json(decide(gateway).content)
    good, early = event(made.decision_id), event(uuid.uuid4().hex)
    ahead = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    sent = [
        good, good, early, {**good, "kind": "impression"}, event(made.decision_id, "buy"), 7,
        event(made.decision_id, occurred_at=ahead), event(made.decision_id, "click", value=1.0),
        event(made.decision_id, "conversion", value=2.5), event("../../etc"),
    ]  # fmt: skip
    answer = gateway.post("/v1/events", {"events": sent})
    assert answer.status_code == 200, answer.text
    report = answer.json()
    assert (report["accepted"], report["duplicates"], report["held"]) == (3, 1, 1)
    assert report["accepted"] + report["duplicates"] + len(report["rejected"]) == len(sent)
    named = {r["index"]: r["reason"].split(":")[0] for r in report["rejected"]}
    assert named == {3: "event_id", 4: "kind", 5: "body", 6: "occurred_at", 7: "value", 9: "decision_id"}


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b'{"candidates": [', 400, "body"),
        (b"", 400, "body"),
        (b'{"candidates": ["x"], "position": NaN}', 422, "position"),
        (b'{"candidates": []}', 422, "candidates"),
        (b'{"candidates": ["a", "a"]}', 422, "candidates"),
        (b'{"candidates": ["no-such-creative"]}', 404, "candidates"),
        (b'{"candidates": ["../../etc/passwd"]}', 422, "candidates.0"),
        (b'{"candidates": ["a"], "user_id": "x\\r\\nSet-Cookie: a"}', 422, "user_id"),
        (b'{"candidates": ["a"], "surprise": 1}', 422, "surprise"),
        (b"[1, 2]", 422, "body"),
    ],
)
def test_a_wrong_decision_request_is_one_line_that_names_its_field(
    gateway: Gateway, body: bytes, status: int, field: str
) -> None:
    answer = gateway.client.post("/v1/decide", content=body, headers={"content-type": "application/json"})
    found = problem(answer, status)
    assert found.detail.split(":")[0] == field
    assert "\n" not in found.detail
    assert not found.retry


def test_101_candidates_are_refused(gateway: Gateway) -> None:
    found = problem(gateway.post("/v1/decide", {"candidates": [f"c{i}" for i in range(101)]}), 422)
    assert found.detail.startswith("candidates")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"events": []}', b'{"events": 1}', b'{"events": [1], "x": 2}'])
def test_a_batch_that_is_none_is_refused(gateway: Gateway, body: bytes) -> None:
    answer = gateway.client.post("/v1/events", content=body, headers={"content-type": "application/json"})
    assert problem(answer, 400 if not body else 422)


def test_events_of_today_change_what_tomorrow_knows_of_the_user(gateway: Gateway) -> None:
    """Features are daily: the gateway and a fresh reader of the log agree on tomorrow's."""
    user = gateway.users(True)[1]
    made = Decision.model_validate_json(decide(gateway, user_id=user).content)
    gateway.post("/v1/events", {"events": [event(made.decision_id)]})
    config = Settings(home=gateway.home)
    profiles, tail = Profiles(config.profiles), Tail(config.decisions)
    profiles.refresh()
    now = datetime.now(UTC)
    tomorrow = now + timedelta(days=1)
    today, before = profiles.get(user, now), profiles.get(user, tomorrow)
    profiles.replay(tail.read())
    after = profiles.get(user, tomorrow)
    assert before is not None
    assert after is not None
    assert after.user_impressions_7d == before.user_impressions_7d + 1
    assert after.exposures[made.creative_id] == before.exposures.get(made.creative_id, 0) + 1
    assert profiles.get(user, now) == today  # today knows nothing of today


def test_what_is_no_path_or_no_method_is_a_problem_too(gateway: Gateway) -> None:
    assert problem(gateway.client.get("/v1/nothing"), 404).error == "no_route"
    wrong = gateway.client.put("/v1/decide")
    assert problem(wrong, 405).error == "no_route"
    assert wrong.headers["allow"] == "POST"
    assert problem(gateway.client.get("/v1/experiments/a%10b"), 422).detail.startswith("path.experiment_id")
