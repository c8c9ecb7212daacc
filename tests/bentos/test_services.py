"""The agents behind HTTP: the same answers as in batch, described and counted as they are, and a plan whoever is down."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import prometheus_client
import psutil
import pytest
from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from adplatform import batch
from adplatform.assembly import brief_of
from adplatform.contracts.base import Identifier
from adplatform.contracts.brief import Appeal, Tone
from adplatform.contracts.creative import CopySource, CopyVariant, CreativeRequest, CreativeScores, CreativeSet
from adplatform.contracts.measurement import ExperimentDecision, PerformanceReport, PerformanceRequest
from adplatform.contracts.plan import CampaignPlan
from adplatform.contracts.problems import Problem
from adplatform.contracts.targeting import RankRequest, SegmentRanking
from adplatform.measurement.decisions import decide
from adplatform.settings import Settings
from adplatform.state import State
from adplatform.store.library import Library
from benchmarks.served import all_served
from bentos.agents import told
from tests.bentos.operations import OPERATIONS
from tests.waiting import within

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


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


Counts = dict[tuple[str, str, str], float]


def counts_of(client: httpx.Client) -> Counts:
    """Answers that a service has counted, by agent, version and rule."""
    line = r'^adplatform_answers_total\{agent="(.*?)",fallback="(.*?)",policy_version="(.*?)"\} (.*)$'
    found = re.findall(line, client.get("/metrics").text, re.MULTILINE)
    return {(agent, version, fallback): float(value) for agent, fallback, version, value in found}


@contextmanager
def counted(services: Served) -> Iterator[dict[str, Counts]]:
    """By how much each service's counts have moved, known when the context is left; those that have not are left out."""
    moved: dict[str, Counts] = {}
    before = {name: counts_of(client) for name, client in services.clients.items()}
    yield moved
    for name, client in services.clients.items():
        by = {labels: value - before[name].get(labels, 0) for labels, value in counts_of(client).items()}
        moved |= {name: changed} if (changed := {labels: value for labels, value in by.items() if value}) else {}


@pytest.mark.parametrize("through", ["gateway", "itself"])
def test_an_agents_answer_is_counted_once_and_by_its_own_service(services: Served, through: str) -> None:
    state = services.state
    counts = batch.agent_inputs(state).market.experiments[0]
    ranked = RankRequest(creatives=batch.measurement_inputs(state).library[:3], limit=10)
    words = CreativeRequest(brief=brief_of(state.settings, "c01"), seed=state.settings.seed)
    for agent, path, asked in (
        ("targeting", "/v1/segments/rank", ranked),
        ("measurement", "/v1/lift", counts),
        ("measurement", f"/v1/experiments/{counts.experiment_id}", None),
        ("creative", "/v1/creatives", words),
    ):
        client = services.clients["gateway" if through == "gateway" else agent]
        body = asked and asked.model_dump(mode="json")
        with counted(services) as moved:
            answer = client.post(path, json=body) if body else client.get(path)
        assert answer.status_code == 200, answer.text
        said = answer.json()
        version = said["lift"]["method"] if "lift" in said else said["model_version"]
        alone = {v["source"] for v in said.get("variants", ())} == {"template"}
        assert moved == {agent: {(agent, version, "template" if alone else "none"): 1}}, path


def test_what_is_expected_is_counted_and_what_is_no_answer_of_an_agent_is_not(services: Served) -> None:
    library = batch.measurement_inputs(services.state).library[:1]
    scores = batch.targeting_agent(services.state).rank(RankRequest(creatives=library, limit=1)).scores
    asked = PerformanceRequest(creatives=library, combinations=scores).model_dump(mode="json")
    with counted(services) as moved:
        answer = services.clients["measurement"].post("/v1/expect", json=asked)
    assert moved == {"measurement": {("measurement", answer.json()["model_version"], "none"): 1}}
    with counted(services) as moved:
        services.clients["measurement"].post("/v1/expect", json={})
        services.clients["measurement"].get("/v1/experiments/no-such")
        services.clients["targeting"].get("/v1/version")
        services.clients["gateway"].get("/v1/creatives/progress")
        services.clients["gateway"].post("/v1/decide", json={"candidates": ["no-such"]})
    assert moved == {}


def test_a_decision_is_counted_once_under_its_policy_or_the_default_rule(services: Served) -> None:
    gateway, body = (
        services.clients["gateway"],
        {"candidates": list(Library(services.state.settings.landing).creatives)[:2]},
    )
    with counted(services) as moved:
        name = {"idempotency-key": "counted-once"}
        first, again = (gateway.post("/v1/decide", json=body, headers=name).json() for _ in range(2))
    assert first == again
    assert moved == {"gateway": {("bandit_policy", first["policy_version"], "none"): 1}}

    def hurried() -> bool:
        nonlocal moved
        with counted(services) as moved:
            return gateway.post("/v1/decide", json=body, headers={"x-deadline-ms": "19"}).status_code == 200

    assert within(20, hurried)
    assert moved == {"gateway": {("bandit_policy", "uniform", "uniform"): 1}}


def test_of_a_plan_every_answer_is_counted_where_it_was_made(services: Served) -> None:
    """It asks for texts before its clock runs, and then for those that were kept."""
    body = brief_of(services.state.settings, "c01").model_dump(mode="json")
    name = {"idempotency-key": "plan-counted-once"}
    with counted(services) as moved:
        answer = services.clients["gateway"].post("/v1/plan", json=body, headers=name)
    version = {step.agent: step.version for step in CampaignPlan.model_validate_json(answer.content).trace}
    assert moved.pop("creative").popitem()[1] == 2
    assert moved == {
        "gateway": {(agent, version[agent], "none"): 1 for agent in ("orchestrator", "budget")},
        "targeting": {("targeting", version["targeting"], "none"): 1},
        "measurement": {("measurement", version["measurement"], "none"): 1},
    }
    with counted(services) as moved:
        assert services.clients["gateway"].post("/v1/plan", json=body, headers=name).content == answer.content
    assert "gateway" not in moved


def test_texts_of_templates_alone_are_counted_as_a_fallback() -> None:
    scores = CreativeScores(relevance=1, diversity=1, brand=1)
    text = CopyVariant(
        creative_id="a", headline="A", body="B", tone=Tone.URGENT, appeal=Appeal.PRICE, source=CopySource.TEMPLATE, scores=scores
    )  # fmt: skip
    labels = {"agent": "creative", "policy_version": "copy-templates-1", "fallback": "template"}
    told("creative", CreativeSet(variants=(text,), generated=0, model_version="copy-templates-1"))
    assert prometheus_client.REGISTRY.get_sample_value("adplatform_answers_total", labels) == 1


ANSWERS = {"200", "400", "401", "403", "404", "408", "409", "413", "415", "422", "429", "500", "503"}


def whole(schema: Any, named: dict[str, Any]) -> Any:
    """A schema with what it refers to in its place, and without the defaults that are null: FastAPI leaves them out."""
    if isinstance(schema, list):
        return [whole(part, named) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: part for key, part in schema.items() if key not in ("$ref", "$defs") and part is not None}
    parts = {key: whole(part, named) for key, part in kept.items()}
    return whole(named[schema["$ref"].rsplit("/", 1)[1]], named) | parts if "$ref" in schema else parts


def printed(kind: Any, mode: JsonSchemaMode) -> Any:
    schema = TypeAdapter(kind).json_schema(mode=mode)
    return whole(schema, schema.get("$defs", {}))


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_openapi_page_lists_every_path_and_answer_as_the_contracts_print_them(services: Served, name: str) -> None:
    page = services.clients[name].get("/openapi.json").json()

    def described(part: dict[str, Any]) -> Any:
        return whole(part["content"]["application/json"]["schema"], page["components"]["schemas"])

    found = {(method.upper(), path): one for path, some in page["paths"].items() for method, one in some.items()}
    assert set(found) == {(o.method, o.path) for o in OPERATIONS[name]}
    assert (page["security"], page["components"]["securitySchemes"]["key"]["scheme"]) == ([{"key": []}], "bearer")
    for operation in OPERATIONS[name]:
        one = found[operation.method, operation.path]
        assert set(one["responses"]) == ANSWERS
        for status, answer in one["responses"].items():
            assert described(answer) == printed(operation.answered if status == "200" else Problem, "serialization")
        if operation.asked is None:
            assert "requestBody" not in one
        else:
            assert described(one["requestBody"]) == printed(operation.asked, "validation")
        ids = [p["schema"] for p in one.get("parameters", ())]
        assert [{k: v for k, v in schema.items() if k != "title"} for schema in ids] == (
            [printed(Identifier, "validation")] if "{" in operation.path else []
        )


def test_a_service_that_is_down_is_answered_for_by_a_rule_and_the_trace_says_so(services: Served) -> None:
    """Runs last: it takes the targeting service away."""
    port = services.clients["targeting"].base_url.port
    started = psutil.Process(services.process.pid).children()
    (victim,) = [p for p in started if port in {c.laddr.port for c in p.net_connections()}]
    victim.suspend()
    for worker in victim.children(recursive=True):
        worker.suspend()
    before = counts_of(services.clients["gateway"])
    try:
        answer = services.clients["gateway"].post(
            "/v1/plan", json=brief_of(services.state.settings, "c01").model_dump(mode="json")
        )
        plan = CampaignPlan.model_validate_json(answer.content)
        stood_in = {(s.agent, s.version, s.fallback) for s in plan.trace if s.fallback}
        assert {agent for agent, _, _ in stood_in} == {"targeting"}
        after = counts_of(services.clients["gateway"])
        assert {c: after[c] - before.get(c, 0) for c in after if c[0] == "targeting"} == dict.fromkeys(stood_in, 1)
        assert sum(line.budget for line in plan.lines) <= plan.brief.budget
    finally:
        for worker in victim.children(recursive=True):
            worker.resume()
        victim.resume()
