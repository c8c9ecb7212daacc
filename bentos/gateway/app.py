"""The gateway's paths: JSON in and out is ``contracts/``, no other shape."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from adplatform.contracts.brief import Brief
from adplatform.contracts.creative import CreativeRequest, CreativeSet
from adplatform.contracts.errors import InputError
from adplatform.contracts.measurement import ExperimentCounts, ExperimentDecision
from adplatform.contracts.plan import CampaignPlan, State
from adplatform.contracts.serving import (
    MOST_EVENTS,
    CreativeProgress,
    DecideRequest,
    Decision,
    EventBatch,
    EventReport,
    Rejection,
)
from adplatform.contracts.targeting import RankRequest, SegmentRanking
from adplatform.store.decision_log import Unwritable
from adplatform.store.decision_writes import Accepted, Idempotency, KeyConflict
from adplatform.store.judging import judge_all
from bentos.agents import called
from bentos.gateway.deciding import AGENT, UNIFORM, Asked, Made
from bentos.gateway.worker import Worker
from bentos.http import PathId, Refused, documented, json_answer, new_app, parse
from bentos.metrics import answered


def make_app(worker: Worker) -> FastAPI:
    """The app; what it serves from is asked of the worker at each request, which opens it when the service starts."""
    app = new_app("adplatform gateway")
    _online(app, worker)
    _agents(app, worker)
    return app


def _online(app: FastAPI, worker: Worker) -> None:
    """What is decided and stored in this process."""

    @app.post("/v1/decide", **documented(DecideRequest, Decision, "Choose a creative, with its exact probability."))
    async def decide(request: Request) -> Response:
        body = await request.body()
        asked = parse(DecideRequest, body, strict=False)
        try:
            made: Made = await worker.decisions.give(Asked(asked, datetime.now(UTC), _deadline(request)))
        except InputError as error:
            raise Refused(404, "unknown", str(error)) from error
        answer = await _durable(worker.log.record(made.record, _key(request, body)))
        if answer == made.record.answer:  # and not one that was kept
            answered(AGENT, made.policy_version, UNIFORM if made.fallback else None)
        return json_answer(answer)

    summary = "What followed decisions; each event is judged for itself."

    @app.post("/v1/events", **documented(EventBatch, EventReport, summary))
    async def events(request: Request) -> Response:
        body = await request.body()
        now = datetime.now(UTC)
        accepted = worker.log.report(judge_all(_batch(body), now), now, _report, _key(request, body))
        return json_answer(await _durable(accepted))


def _agents(app: FastAPI, worker: Worker) -> None:
    """What the agents' own services answer; a plan is put together here."""

    def passed_on(path: str, agent: str, asked: type[BaseModel], answered_: type[BaseModel], summary: str) -> None:
        @app.post(path, name=path, **documented(asked, answered_, summary))
        async def ask(request: Request) -> Response:
            return await _asked(worker, request, agent, path, parse(asked, await request.body()))

    passed_on("/v1/segments/rank", "targeting", RankRequest, SegmentRanking, "Rank segments for creatives.")
    passed_on("/v1/creatives", "creative", CreativeRequest, CreativeSet, "Word variants for a brief.")
    passed_on("/v1/lift", "measurement", ExperimentCounts, ExperimentDecision, "Lift and action from live counts.")

    @app.get("/v1/experiments/{experiment_id}", **documented(None, ExperimentDecision, "An experiment as it stands."))
    async def experiment(request: Request, experiment_id: PathId) -> Response:
        return await _asked(worker, request, "measurement", f"/v1/experiments/{experiment_id}")

    page = documented(None, CreativeProgress, "What the creative service is at, by X-Request-Id.")

    @app.get("/v1/creatives/progress", **page)
    async def progress(request: Request) -> Response:
        return await _asked(worker, request, "creative", "/v1/creatives/progress")

    @app.post("/v1/plan", **documented(Brief, CampaignPlan, "A campaign plan, and who said what."))
    async def plan(request: Request) -> Response:
        body = await request.body()
        asked = parse(Brief, body)
        planned = await called(lambda brief: worker.plan(brief, _deadline(request), _id(request)), asked)
        made, key = planned.model_dump_json().encode(), _key(request, body)
        answer = made if key is None else await _durable(worker.log.once(key, made, datetime.now(UTC)))
        if answer == made:
            for step in planned.trace:
                here = step.fallback or step.agent not in worker.remote  # its service has counted the rest
                if here and step.state is not State.REQUEST:
                    answered(step.agent, step.version, step.fallback)
        return json_answer(answer)


async def _asked(worker: Worker, request: Request, agent: str, path: str, body: BaseModel | None = None) -> Response:
    return json_answer(await worker.ask(agent, path, body, _deadline(request), _id(request)))


def _deadline(request: Request) -> float:
    """When the guard gives up on the request, by ``time.perf_counter``."""
    return float(request.scope["state"]["deadline"])


def _id(request: Request) -> str:
    return str(request.scope["state"]["request_id"])


def _batch(body: bytes) -> list[Any]:
    try:
        sent = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, "malformed", f"body: {error}; send JSON") from error
    found = sent.get("events") if isinstance(sent, dict) else None
    if not isinstance(found, list) or set(sent) != {"events"} or not 1 <= len(found) <= MOST_EVENTS:
        raise Refused(422, "invalid", f'events: send {{"events": [...]}} with 1 to {MOST_EVENTS} events')
    return found


def _report(found: Accepted) -> bytes:
    rejected = tuple(Rejection(index=i, event_id=e, reason=r) for i, e, r in found.rejected)
    report = EventReport(accepted=found.accepted, duplicates=found.duplicates, held=found.held, rejected=rejected)
    return report.model_dump_json().encode()


def _key(request: Request, body: bytes) -> Idempotency | None:
    sent = request.headers.get("idempotency-key")
    if sent is None:
        return None
    if not (1 <= len(sent) <= 128 and sent.isascii() and sent.isprintable()):
        raise Refused(422, "invalid", "Idempotency-Key: send 1 to 128 printable ASCII characters")
    return Idempotency.of(request.scope["state"]["key_id"], f"{request.url.path} {sent}", body)


async def _durable(future: Any) -> Any:
    try:
        return await future
    except KeyConflict as error:
        raise Refused(409, "conflict", str(error)) from error
    except Unwritable as error:
        said = f"the decision log cannot be written, nothing was stored; {error.mend}"
        raise Refused(503, "unavailable", said, retry=True) from error
