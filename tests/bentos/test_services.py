"""The agents behind HTTP: the same answers as in batch, refusals on every service, and a plan whoever is down."""

from __future__ import annotations

import pickle
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
import pytest

from adplatform import batch
from adplatform.assembly import brief_of
from adplatform.contracts.measurement import ExperimentDecision, PerformanceReport, PerformanceRequest
from adplatform.contracts.plan import CampaignPlan
from adplatform.contracts.targeting import RankRequest, SegmentRanking
from adplatform.measurement.decisions import decide
from adplatform.settings import Settings
from adplatform.state import State
from benchmarks.served import all_served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
NAMES = ("gateway", "targeting", "measurement", "creative")


class Served(NamedTuple):
    state: State
    clients: dict[str, httpx.Client]
    process: subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def services(home: Path, key: str) -> Iterator[Served]:
    """`adplatform serve` on a home with a published agent snapshot."""
    with all_served(home, key) as (process, clients):
        yield Served(State(Settings(home=home)), clients, process)
    assert process.returncode == 0


def test_segments_are_ranked_as_in_batch(services: Served) -> None:
    agent = batch.targeting_agent(services.state)
    asked = RankRequest(creatives=batch.measurement_inputs(services.state).library[:3], limit=10)
    answer = services.clients["gateway"].post("/v1/segments/rank", json=asked.model_dump(mode="json"))
    assert SegmentRanking.model_validate_json(answer.content) == agent.rank(asked)


def test_performance_is_expected_as_in_batch(services: Served) -> None:
    agents = batch.targeting_agent(services.state), batch.measurement_agent(services.state)
    library = batch.measurement_inputs(services.state).library[:3]
    ranked = agents[0].rank(RankRequest(creatives=library, limit=10))
    asked = PerformanceRequest(creatives=library, combinations=ranked.scores)
    answer = services.clients["measurement"].post("/v1/expect", json=asked.model_dump(mode="json"))
    assert PerformanceReport.model_validate_json(answer.content) == agents[1].expect(asked)


def test_an_experiment_is_decided_as_in_batch(services: Served) -> None:
    for counts in batch.agent_inputs(services.state).market.experiments[:2]:
        by_name = services.clients["gateway"].get(f"/v1/experiments/{counts.experiment_id}")
        by_counts = services.clients["gateway"].post("/v1/lift", json=counts.model_dump(mode="json"))
        for answer in (by_name, by_counts):
            assert ExperimentDecision.model_validate_json(answer.content) == decide(counts)
    unknown = services.clients["gateway"].get("/v1/experiments/no-such")
    assert (unknown.status_code, unknown.json()["error"]) == (404, "unknown")


def test_a_plan_is_the_one_that_the_batch_side_makes_and_its_key_gives_the_same_bytes(services: Served) -> None:
    brief = brief_of(services.state.settings, "c01")
    ours = batch.orchestrator(services.state).plan(brief, seed=services.state.settings.seed)
    body, name = brief.model_dump(mode="json"), {"idempotency-key": "plan-1"}
    first, again = (services.clients["gateway"].post("/v1/plan", json=body, headers=name) for _ in range(2))
    assert first.content == again.content
    theirs = CampaignPlan.model_validate_json(first.content)
    assert [s.fallback for s in theirs.trace] == [None] * len(theirs.trace)
    assert (theirs.lines, theirs.creatives, theirs.receipt.versions) == (
        ours.lines,
        ours.creatives,
        ours.receipt.versions,
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/vnd.bentoml+pickle", 415),
        ("application/octet-stream", 415),
        ("multipart/form-data; boundary=x", 415),
    ],
)
def test_no_service_takes_a_pickled_body(services: Served, name: str, content_type: str, status: int) -> None:
    for path in ("/v1/version", "/v1/segments/rank", "/v1/expect", "/v1/creatives", "/"):
        body, headers = pickle.dumps({"a": 1}), {"content-type": content_type}
        assert services.clients[name].post(path, content=body, headers=headers).status_code == status


@pytest.mark.parametrize("name", NAMES)
def test_no_service_answers_without_a_key_or_a_body_that_is_too_large(services: Served, name: str) -> None:
    client = services.clients[name]
    with httpx.Client(base_url=client.base_url) as nobody:
        assert nobody.get("/livez").status_code == 200
        assert nobody.get("/v1/version").status_code == 401
        assert nobody.get("/metrics").status_code == 401
    assert (
        client.post("/v1/lift", content=b"1" * 2_000_000, headers={"content-type": "application/json"}).status_code
        == 413
    )


def test_a_service_that_is_down_is_answered_for_by_a_rule_and_the_trace_says_so(services: Served) -> None:
    """Runs last: it takes the targeting service away."""
    port = services.clients["targeting"].base_url.port
    started = psutil.Process(services.process.pid).children()
    (victim,) = [p for p in started if port in {c.laddr.port for c in p.net_connections()}]
    victim.suspend()
    for worker in victim.children(recursive=True):
        worker.suspend()
    try:
        answer = services.clients["gateway"].post(
            "/v1/plan", json=brief_of(services.state.settings, "c01").model_dump(mode="json")
        )
        plan = CampaignPlan.model_validate_json(answer.content)
        fallbacks = {s.agent: s.fallback for s in plan.trace if s.fallback}
        assert set(fallbacks) == {"targeting"}
        assert sum(line.budget for line in plan.lines) <= plan.brief.budget
    finally:
        for worker in victim.children(recursive=True):
            worker.resume()
        victim.resume()
