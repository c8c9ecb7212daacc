"""A promoted policy reaches every worker without a failed or a mixed answer; a broken one is refused."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from adplatform.contracts.serving import Decision, LoggedDecision
from adplatform.store.decision_file import reading
from adplatform.store.library import Library
from adplatform.store.registry import Registry
from adplatform.targeting.bandit import SoftmaxPolicy, load_policy
from adplatform.targeting.features import RequestFeatures
from adplatform.targeting.response import load_response
from tests.bentos.server import Gateway, served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
AGENT = "bandit_policy"
SWAPS = 20


@pytest.fixture(scope="module")
def swapping(home: Path, key: str) -> Iterator[Gateway]:
    with served(home, key, ADPLATFORM_WORKERS="2") as found:
        yield found


@pytest.fixture(scope="module")
def versions(home: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three policies that give the same creative other probabilities."""
    registry = Registry(home / "models")
    champion = registry.champion("response_model")
    assert champion is not None
    model = load_response(registry.path("response_model", champion.version))
    found = []
    for temperature in (0.05, 0.2, 1.0):
        folder = tmp_path_factory.mktemp("policy")
        SoftmaxPolicy(model, temperature).save(folder)
        found.append(registry.publish(AGENT, folder, data_version="test").version)
    return found


def ask(gateway: Gateway, client: httpx.Client) -> Decision:
    answer = client.post("/v1/decide", json={"candidates": gateway.creatives[:4], "user_id": gateway.users(True)[0]})
    assert answer.status_code == 200, answer.text
    return Decision.model_validate_json(answer.content)


def serves(gateway: Gateway, version: str, seconds: float = 5.0) -> bool:
    """Whether ten answers in a row, over fresh connections to whichever worker, come from ``version`` in time."""
    deadline, row = time.monotonic() + seconds, 0
    while time.monotonic() < deadline and row < 10:
        with httpx.Client(base_url=gateway.client.base_url, headers=gateway.client.headers) as client:
            row = row + 1 if ask(gateway, client).policy_version == version else 0
    return row == 10


def test_swaps_under_load_fail_and_mix_nothing_and_arrive_within_five_seconds(
    swapping: Gateway, versions: list[str]
) -> None:
    registry, answers, failures, stop = Registry(swapping.home / "models"), [], [], threading.Event()

    def load() -> None:
        with httpx.Client(base_url=swapping.client.base_url, headers=swapping.client.headers, timeout=10) as client:
            while not stop.is_set():
                try:
                    answers.append(ask(swapping, client))
                except (AssertionError, httpx.HTTPError) as error:
                    failures.append(repr(error))

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(SWAPS):
            wanted = versions[number % 3]
            registry.promote(AGENT, wanted, f"swap {number}")
            assert serves(swapping, wanted)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures
    assert len(answers) > 10 * SWAPS
    _recompute(swapping, answers)


def _recompute(gateway: Gateway, answers: list[Decision]) -> None:
    registry, library = Registry(gateway.home / "models"), Library(gateway.home / "landing").creatives
    policies = {v: load_policy(registry.path(AGENT, v)) for v in {a.policy_version for a in answers}}
    with reading(gateway.home / "online" / "decisions.sqlite") as log:
        for made in answers:
            row = log.execute("select payload from decisions where decision_id = ?", (made.decision_id,)).fetchone()
            kept = LoggedDecision.model_validate_json(row[0])
            creatives = [library[c] for c in kept.request.candidates]
            again = policies[made.policy_version].of_request(RequestFeatures(kept.context, creatives, kept.exposures))
            assert tuple(again.tolist()) == kept.probabilities
            assert made.propensity == again[kept.request.candidates.index(made.creative_id)]


def test_a_rollback_arrives_likewise(swapping: Gateway, versions: list[str]) -> None:
    registry = Registry(swapping.home / "models")
    registry.promote(AGENT, versions[0], "first")
    registry.promote(AGENT, versions[1], "second")
    assert serves(swapping, versions[1])
    assert registry.rollback(AGENT).champion == versions[0]
    assert serves(swapping, versions[0])


@pytest.mark.parametrize("damage", ["truncated", "changed", "gone"])
def test_a_broken_artefact_is_refused_and_the_old_one_serves_on(
    swapping: Gateway, versions: list[str], damage: str
) -> None:
    registry = Registry(swapping.home / "models")
    registry.promote(AGENT, versions[1], "good")
    assert serves(swapping, versions[1])
    victim = registry.path(AGENT, versions[2]) / "model" / "model.txt"
    whole, pointer = victim.read_bytes(), registry.root / AGENT / "champion.json"
    present = json.loads(pointer.read_text())
    try:
        if damage == "gone":
            victim.unlink()
        else:
            victim.write_bytes(whole[: len(whole) // 2] if damage == "truncated" else whole.replace(b"1", b"2", 1))
        changed = pointer.with_suffix(".new")
        changed.write_text(json.dumps({**present, "champion": versions[2]}))
        changed.replace(pointer)
        time.sleep(1.5)
        assert serves(swapping, versions[1], 10)
        assert f"{versions[2]} is refused" in swapping.log.read_text()
    finally:
        victim.write_bytes(whole)
        restored = pointer.with_suffix(".new")
        restored.write_text(json.dumps(present))
        restored.replace(pointer)
