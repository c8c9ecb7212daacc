"""A challenger in shadow: what it would have said is logged and exact, changes no answer, and never costs one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from adplatform.contracts.serving import DecideRequest, Decision, LoggedDecision
from adplatform.contracts.tables import DECISION_LOG
from adplatform.decisions import land_day
from adplatform.settings import Settings
from adplatform.state import State
from adplatform.store.decision_file import reading
from adplatform.store.keys import Keys, Scope
from adplatform.store.library import Library
from adplatform.store.profiles import Profiles
from adplatform.store.registry import Registry
from adplatform.store.zone import Zone
from adplatform.targeting.bandit import load_policy
from adplatform.targeting.features import RequestFeatures
from benchmarks.served import Gateway, copied, served
from benchmarks.swap_claim import AGENT, policies
from bentos.gateway.deciding import Asked, Deciding
from tests.homes import adplatform
from tests.waiting import within

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
Kept = list[LoggedDecision]


@pytest.fixture(scope="module")
def gateway(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    home = copied(demo_home, tmp_path_factory.mktemp("shadow") / "home")
    with served(home, Keys(Settings(home=home).keys).add("tests", list(Scope))[1]) as found:
        yield found


@pytest.fixture(scope="module")
def versions(gateway: Gateway) -> list[str]:
    return policies(gateway.home)


@pytest.fixture
def registry(gateway: Gateway) -> Iterator[Registry]:
    found = Registry(gateway.home / "models")
    yield found
    found.set_shadow(AGENT, None)


def decided(gateway: Gateway, count: int = 5, candidates: int = 4) -> Kept:
    """So many decisions, as they are logged."""
    users = gateway.users(True)[:count]
    bodies = [{"candidates": gateway.creatives[:candidates], "placement": "feed", "user_id": u} for u in users]
    made = [Decision.model_validate_json(gateway.post("/v1/decide", body).content) for body in bodies]
    with reading(gateway.home / "online" / "decisions.sqlite") as log:
        rows = [
            log.execute("select payload from decisions where decision_id = ?", (d.decision_id,)).fetchone()
            for d in made
        ]
    kept = [LoggedDecision.model_validate_json(row[0]) for row in rows]
    assert [k.decision for k in kept] == made
    return kept


def runs(gateway: Gateway, version: str | None) -> bool:
    shadow = decided(gateway, 1)[0].shadow
    return (shadow.policy_version if shadow else None) == version


def samples(gateway: Gateway, version: str, outcome: str) -> float:
    text = gateway.client.get("/metrics").text
    wanted = (f'policy_version="{version}"', f'outcome="{outcome}"')
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if line.startswith("adplatform_shadow_total{") and all(w in line for w in wanted)
    )


def test_a_landed_decision_carries_its_shadow_and_older_files_are_read_with_none(
    gateway: Gateway, registry: Registry, versions: list[str]
) -> None:
    """Runs first: nothing of the day was in shadow when the older file was written."""
    state, today = State(Settings(home=gateway.home)), datetime.now(UTC).date()
    decided(gateway)
    land_day(state, today)
    zone = Zone(state.settings.landing)
    path = zone.path(DECISION_LOG, today)
    file = pq.read_table(path)
    pq.write_table(file.drop_columns(["shadow_version", "shadow_probabilities"]), path)  # as it was before
    registry.set_shadow(AGENT, versions[1])
    assert within(5, lambda: runs(gateway, versions[1]))
    kept = decided(gateway)
    land_day(state, today)
    rows = {r["decision_id"]: r for r in zone.read(DECISION_LOG, today).to_pylist()}
    assert len(rows) > file.num_rows
    assert all(rows[i]["shadow_version"] is None for i in file["decision_id"].to_pylist())
    for one in kept:
        row = rows[one.decision.decision_id]
        assert one.shadow
        assert (row["shadow_version"], json.loads(row["shadow_probabilities"])) == (
            versions[1],
            list(one.shadow.probabilities),
        )


def test_what_a_shadow_says_is_logged_and_exactly_what_its_version_gives_again(
    gateway: Gateway, registry: Registry, versions: list[str]
) -> None:
    assert within(5, lambda: runs(gateway, None))
    set_ = adplatform(gateway.home, "shadow", AGENT, versions[2])
    assert (set_.code, set_.out.strip()) == (0, f"{AGENT}: {versions[2]} runs in shadow")
    assert within(5, lambda: runs(gateway, versions[2]))
    library = Library(gateway.home / "landing").creatives
    policy, counted = load_policy(registry.path(AGENT, versions[2])), samples(gateway, versions[2], "answered")
    for count in (1, 4, 100):
        for kept in decided(gateway, 5, count):
            assert kept.shadow
            request = RequestFeatures(kept.context, [library[c] for c in kept.request.candidates], kept.exposures)
            assert kept.shadow.probabilities == tuple(policy.of_requests([request])[0].tolist())
            assert kept.shadow.creative_id in kept.request.candidates
            assert kept.decision.policy_version != versions[2]
            assert count == 1 or kept.shadow.probabilities != kept.probabilities
    assert samples(gateway, versions[2], "answered") == counted + 15
    kept = decided(gateway, 1)[0]
    at = kept.request.candidates.index(kept.decision.creative_id)
    explained = json.loads(adplatform(gateway.home, "explain", kept.decision.decision_id, "--json").out)
    assert kept.shadow
    assert explained["shadow"] == {
        "version": versions[2],
        "probability": kept.shadow.probabilities[at],
        "probabilities": list(kept.shadow.probabilities),
    }
    assert f"{versions[2]} would have chosen it" in adplatform(gateway.home, "explain", kept.decision.decision_id).out
    assert adplatform(gateway.home, "shadow", AGENT, "off").code == 0
    assert within(5, lambda: runs(gateway, None))


def test_answers_are_the_same_with_and_without_a_shadow(
    gateway: Gateway, registry: Registry, versions: list[str]
) -> None:
    config, library = Settings(home=gateway.home), Library(gateway.home / "landing").creatives
    profiles = Profiles(config.profiles)
    profiles.refresh()
    alone = Deciding(registry, lambda: library, profiles)
    registry.set_shadow(AGENT, versions[2])
    beside = Deciding(registry, lambda: library, profiles)
    at, users = datetime.now(UTC), gateway.users(True)
    alone._rng, beside._rng = np.random.default_rng(7), np.random.default_rng(7)
    others = 0
    for number in range(300):
        asked = DecideRequest(candidates=tuple(gateway.creatives[:6]), user_id=users[number % len(users)])
        answers = []
        for deciding in (alone, beside):
            (made,) = deciding.decide([Asked(asked, at)])
            kept = LoggedDecision.model_validate_json(made.record.payload)
            answers.append((kept.decision.model_dump(exclude={"decision_id"}), kept.probabilities))
        assert answers[0] == answers[1]
        assert kept.shadow
        others += kept.shadow.creative_id != kept.decision.creative_id
    assert 0 < others < 300  # it draws for itself


def test_a_shadow_that_raises_is_dropped_and_no_decision_fails(gateway: Gateway, registry: Registry) -> None:
    folder = gateway.home / "raising"
    folder.mkdir()
    counts = dict.fromkeys(gateway.creatives, "many")
    (folder / "policy.json").write_text(json.dumps({"kind": "logging", "counts": counts, "trained_through": None}))
    version = registry.publish(AGENT, folder, data_version="test").version
    registry.set_shadow(AGENT, version)
    assert within(
        10, lambda: all(k.shadow is None for k in decided(gateway)) and samples(gateway, version, "failed") > 0
    )
    decided(gateway)
    assert samples(gateway, version, "failed") == 1
    assert f"{version} failed" in gateway.log.read_text()


def test_a_broken_artefact_is_no_shadow_and_no_decision_fails(
    gateway: Gateway, registry: Registry, versions: list[str]
) -> None:
    victim = registry.path(AGENT, versions[0]) / "model" / "model.txt"
    whole = victim.read_bytes()
    registry.set_shadow(AGENT, versions[0])
    assert within(5, lambda: runs(gateway, versions[0]))
    registry.set_shadow(AGENT, None)
    assert within(5, lambda: runs(gateway, None))
    victim.write_bytes(whole[:100])
    try:
        assert adplatform(gateway.home, "shadow", AGENT, versions[0]).code == 1
        pointer = registry.root / AGENT / "shadow.json"
        pointer.with_suffix(".new").write_text(json.dumps({"version": versions[0], "since": "now"}))
        pointer.with_suffix(".new").replace(pointer)
        assert within(5, lambda: samples(gateway, versions[0], "refused") == 1)
        assert all(k.shadow is None for k in decided(gateway))
        pointer.write_text("{")
        assert all(k.shadow is None for k in decided(gateway))
    finally:
        victim.write_bytes(whole)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [(("budget_policy", "off"), 2, "bandit_policy"), ((AGENT, "none-such"), 1, "none-such"), ((AGENT,), 0, "nothing")],
)
def test_a_wrong_agent_or_version_is_one_line_and_without_a_version_it_says_what_runs(
    gateway: Gateway, registry: Registry, arguments: tuple[str, ...], code: int, words: str
) -> None:
    ran = adplatform(gateway.home, "shadow", *arguments)
    assert ran.code == code
    assert words in (ran.error if code else ran.out)
