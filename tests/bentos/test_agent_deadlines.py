"""What agents' services answer keeps the caller's deadline: they are told of it, and a rule answers for one that sleeps."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from adplatform import batch
from adplatform.assembly import brief_of
from adplatform.contracts.creative import CreativeRequest
from adplatform.contracts.plan import CampaignPlan, Outcome
from adplatform.contracts.problems import Problem
from adplatform.contracts.serving import CreativeProgress
from adplatform.contracts.targeting import RankRequest
from adplatform.settings import Settings
from adplatform.state import State
from benchmarks.served import all_served
from bentos.gateway.worker import shared
from tests.waiting import within

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
Served = tuple[subprocess.Popen[bytes], dict[str, httpx.Client]]


@pytest.fixture(scope="module")
def services(home: Path, key: str) -> Iterator[Served]:
    with all_served(home, key) as found:
        yield found


@contextmanager
def asleep(services: Served, name: str) -> Iterator[None]:
    """A service whose port takes connections and whose processes do not run."""
    process, clients = services
    port = clients[name].base_url.port
    started = psutil.Process(process.pid).children()
    (found,) = [p for p in started if port in {c.laddr.port for c in p.net_connections()}]
    family = [found, *found.children(recursive=True)]
    for one in family:
        one.suspend()
    try:
        yield
    finally:
        for one in reversed(family):
            one.resume()


def too_late(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert Problem.model_validate_json(answer.content).error == "too_late"
    assert answer.headers["retry-after"] == "1"


def ranked(home: Path) -> dict[str, object]:
    library = batch.measurement_inputs(State(Settings(home=home))).library[:3]
    return RankRequest(creatives=library, limit=10).model_dump(mode="json")


def test_a_service_that_sleeps_is_too_late_and_not_waited_for(services: Served, home: Path) -> None:
    gateway, asked = services[1]["gateway"], ranked(home)
    assert gateway.post("/v1/segments/rank", json=asked).status_code == 200
    with asleep(services, "targeting"):
        too_late(gateway.post("/v1/segments/rank", json=asked, headers={"x-deadline-ms": "400"}))
    with asleep(services, "measurement"):
        too_late(gateway.get("/v1/experiments/e1", headers={"x-deadline-ms": "400"}))
    assert gateway.post("/v1/segments/rank", json=asked).status_code == 200


def test_a_plan_comes_before_its_deadline_whoever_sleeps(services: Served, home: Path) -> None:
    brief = brief_of(Settings(home=home), "c01").model_dump(mode="json")
    with asleep(services, "targeting"), asleep(services, "creative"):
        answer = services[1]["gateway"].post("/v1/plan", json=brief, headers={"x-deadline-ms": "4000"})
    assert answer.status_code == 200, answer.text
    steps = {s.agent: s for s in CampaignPlan.model_validate_json(answer.content).trace}
    assert {a for a, s in steps.items() if s.fallback} == {"targeting", "creative"}
    assert {steps[a].outcome for a in ("targeting", "creative")} <= {Outcome.TIMED_OUT, Outcome.FAILED}
    assert steps["measurement"].outcome is Outcome.ANSWERED


def states(services: Served) -> dict[str, str]:
    found = CreativeProgress.model_validate_json(services[1]["gateway"].get("/v1/creatives/progress").content)
    assert all(w.campaign_id == "c01" and w.seconds >= 0 for w in found.work)
    return {w.request_id: w.state for w in found.work}


def test_the_creative_service_is_told_the_callers_deadline_and_its_work_can_be_watched(
    services: Served, home: Path
) -> None:
    """A brief that was never worded takes some twenty seconds. The first goes on without its caller, others never begin."""
    brief, seed = brief_of(Settings(home=home), "c01"), time.time_ns() % 1_000_000

    def ask(service: str, name: str, milliseconds: int) -> httpx.Response:
        asked = CreativeRequest(brief=brief, seed=seed).model_dump(mode="json")
        headers = {"x-request-id": name, "x-deadline-ms": str(milliseconds)}
        return services[1][service].post("/v1/creatives", json=asked, headers=headers)

    assert states(services) == {}
    too_late(ask("gateway", "brief-a", 300))
    too_late(ask("creative", "brief-b", 300))

    def told() -> list[str]:
        label = r'^adplatform_requests_total\{route="/v1/creatives",service="creative",status="503"\} (.*)$'
        return re.findall(label, services[1]["creative"].get("/metrics").text, re.MULTILINE)

    assert within(3, lambda: told() == ["2.0"]), told()  # the gateway's own clock is not the only one that ran
    assert within(3, lambda: states(services) == {"brief-a": "writing"}), states(services)
    other = brief.model_copy(update={"product": brief.product.model_copy(update={"description": f"Made in {seed}."})})
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(ask, "gateway", "brief-c", 2500)
        headers = {"x-request-id": "plan-d", "x-deadline-ms": "4500"}
        plan = pool.submit(services[1]["gateway"].post, "/v1/plan", json=other.model_dump(mode="json"), headers=headers)
        everybody = {"brief-a": "writing", "brief-c": "waiting", "plan-d": "waiting"}
        assert within(2, lambda: states(services) == everybody), states(services)
        too_late(waiting.result())
        assert plan.result().status_code == 200
    # The service's clock began a moment after the gateway's.
    assert within(3, lambda: states(services) == {"brief-a": "writing"}), states(services)


def test_the_waits_of_a_plan_are_cut_to_what_is_left_and_never_stretched() -> None:
    config = Settings()
    for left in (0.5, 4.0, 30.0, 180.0):
        cut = shared(config, left)
        assert cut.copy_seconds + cut.creative_seconds + 3 * cut.agent_seconds <= 0.9 * left + 1e-9
        assert min(cut.copy_seconds, cut.agent_seconds) > 0
    assert shared(config, 180.0) == config
