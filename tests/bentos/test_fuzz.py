"""What schemathesis makes of the served OpenAPI, answered as the page says; and how what it reports is judged."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from adplatform.contracts.errors import AdPlatformError
from adplatform.contracts.serving import DecideRequest
from adplatform.serve import free_port
from benchmarks import fuzz_claim
from benchmarks.fuzz_claim import LEFT_OUT, NOT_ASKED, PLANTED, Fuzzed, Known, conclude, operations, read, seeded
from bentos.gateway.app import make_app

THING, BROKEN, PICKY, LIFT, PLAN = (
    "GET /v1/things/{thing}", "GET /v1/broken", "POST /v1/picky", "POST /v1/lift", "POST /v1/plan",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_schemathesis_finds_nothing(demo_home: Path) -> None:
    claim = fuzz_claim.run(examples=20, seed=5, source=demo_home)
    assert claim.holds, claim.detail


async def thing(request: Request) -> Response:
    known = request.path_params["thing"] == "known"
    return JSONResponse({"thing": "known"} if known else {"error": "unknown"}, 200 if known else 404)


async def refused(request: Request) -> Response:
    return JSONResponse({"error": "wrong"}, 422)


async def broken(request: Request) -> Response:
    return JSONResponse({"error": "broken"}, 500)


def page() -> dict[str, Any]:
    """Of the small service: one operation that keeps to it, one that fails, and three that refuse whatever fits."""

    def answer(required: str) -> dict[str, Any]:
        schema = {"type": "object", "required": [required], "properties": {required: {"type": "string"}}}
        return {"description": required, "content": {"application/json": {"schema": schema}}}

    answers = {"200": answer("thing"), **{str(code): answer("error") for code in (404, 422, 500)}}
    schema = {"anyOf": [{"enum": ["known"]}, {"type": "string", "minLength": 1, "pattern": "^[a-z]+$"}]}
    named = {"parameters": [{"name": "thing", "in": "path", "required": True, "schema": schema}]}
    number = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    body = {"requestBody": {"required": True, "content": {"application/json": {"schema": number}}}}
    paths: dict[str, Any] = {}
    for operation, more in ((THING, named), (BROKEN, {}), (PICKY, body), (LIFT, body), (PLAN, body)):
        method, path = operation.split()
        paths[path] = {method.lower(): {"responses": answers, **more}}
    return {"openapi": "3.1.0", "info": {"title": "small", "version": "1"}, "paths": paths}


class Ran(NamedTuple):
    """What was found in the small service, its report, and what was found by the page that promises more."""

    found: Fuzzed
    report: Path
    twin: Fuzzed


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    served = {THING: thing, BROKEN: broken, PICKY: refused, LIFT: refused, PLAN: broken}
    routes = [Route(o.split()[1], endpoint, methods=[o.split()[0]]) for o, endpoint in served.items()]
    port, work = free_port(), tmp_path_factory.mktemp("fuzz")
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        found, twin = (
            fuzz_claim.schemathesis(f"http://127.0.0.1:{port}", "key", asked, work / name, 5, 1)
            for name, asked in (("found", page()), ("twin", fuzz_claim.planted(page())))
        )
        yield Ran(found, work / "found" / "report.ndjson", twin)
    finally:
        server.should_exit = True
        thread.join()


def test_findings_are_counted_by_operation_and_check_without_the_exclusions(ran: Ran) -> None:
    assert set(ran.found.findings) == {(BROKEN, "not_a_server_error"), (PICKY, "positive_data_acceptance")}
    assert ran.found.first[BROKEN, "not_a_server_error"].endswith('/v1/broken  -> 500 {"error":"broken"}')
    sent, got = ran.found.first[PICKY, "positive_data_acceptance"].split(" -> ")
    assert sent.startswith("POST ")
    assert '{"n":' in sent.replace(" ", "")
    assert got == '422 {"error":"wrong"}'
    assert 0 < ran.found.answered[THING] < ran.found.sent[THING]
    assert ran.found.sent[LIFT] > 0
    assert ran.found.sent[PLAN] == 0
    assert not any(ran.found.answered[o] for o in (BROKEN, PICKY, LIFT))
    assert ran.found.checked.keys() >= {PLANTED, "negative_data_rejection", "unsupported_method"}


def test_the_twin_finds_what_was_planted_only_where_an_answer_was_examined(ran: Ran) -> None:
    assert set(ran.twin.findings) == set(ran.found.findings) | {(THING, PLANTED)}
    claim = conclude({THING, LIFT}, ran.found._replace(findings=Counter()), ran.twin, 5)
    assert (claim.holds, claim.detail["never_200"], claim.detail["twin_not_found"]) == (False, [LIFT], [LIFT])


def test_a_run_that_did_not_do_its_work_is_an_error_and_no_finding(ran: Ran, tmp_path: Path) -> None:
    lines, report = ran.report.read_text().splitlines(keepends=True), tmp_path / "report.ndjson"
    assert read(ran.report, 1) == ran.found
    whole = "".join(lines)
    clean = "".join(line for line in lines if '"failure"' not in line)
    error = json.dumps({"NonFatalError": {"value": {"type": "ConnectionError", "message": "reset"}}}) + "\n"
    report.write_text(clean)
    assert not read(report, 0).findings
    for text, code in (
        (whole, 2), (whole, -9), (clean, 1), ("".join(lines[:-1]), 1), (whole[:-20], 1), (error + whole, 1), ("", 0),
        (whole.replace('"completed"', '"server_unavailable"'), 1), (whole.replace('"checks"', '"checked"'), 1),
    ):  # fmt: skip
        report.write_text(text)
        with pytest.raises(AdPlatformError):
            read(report, code)
    with pytest.raises(AdPlatformError):
        read(tmp_path / "none", 0)


def fuzzed(answered: int = 3, *findings: tuple[str, str]) -> Fuzzed:
    return Fuzzed(Counter({THING: 9}), Counter({THING: answered}), Counter({PLANTED: 9}), Counter(findings), {})


@pytest.mark.parametrize(
    ("found", "twin", "holds"),
    [
        (fuzzed(), fuzzed(3, (THING, PLANTED)), True),
        (fuzzed(3, (THING, "not_a_server_error")), fuzzed(3, (THING, PLANTED)), False),
        (fuzzed(0), fuzzed(3, (THING, PLANTED)), False),
        (fuzzed(), fuzzed(), False),
        (fuzzed(), fuzzed(3, (THING, "positive_data_acceptance")), False),
    ],
)
def test_it_holds_only_where_nothing_was_found_and_everything_examined(
    found: Fuzzed, twin: Fuzzed, holds: bool
) -> None:
    assert conclude({THING}, found, twin, 5).holds is holds
    assert conclude(set(), found, twin, 5).holds is False


def test_the_seeded_page_takes_known_ids_beside_whatever_the_served_one_takes() -> None:
    served = make_app(cast(Any, None)).openapi()
    assert operations(served) > LEFT_OUT.keys() | NOT_ASKED.keys()
    assert "GET /v1/creatives/progress" in operations(served) - LEFT_OUT.keys()
    there = Known(["creative-1", "creative-2"], ["user-1"], ["experiment-1"])
    made = seeded(served, there)
    before, after = (
        p["paths"]["/v1/decide"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
        for p in (served, made)
    )
    for name in ("candidates", "user_id"):
        assert after[name]["anyOf"][1] == before[name]
    ids, users = after["candidates"]["anyOf"][0]["items"]["enum"], after["user_id"]["anyOf"][0]["enum"]
    assert DecideRequest(candidates=ids, user_id=users[0]).candidates == tuple(there.creatives)
    (parameter,) = made["paths"]["/v1/experiments/{experiment_id}"]["get"]["parameters"]
    (plain,) = served["paths"]["/v1/experiments/{experiment_id}"]["get"]["parameters"]
    assert parameter["schema"]["anyOf"] == [{"enum": there.experiments}, plain["schema"]]
