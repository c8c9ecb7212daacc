"""Services of one agent: a FastAPI app whose routes call the subject code in a thread, with contracts in and out."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, Generic, NamedTuple, TypeVar

import bentoml
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from adplatform.contracts.alerts import AlertKind, artefact_refused
from adplatform.contracts.creative import CopySource, CreativeSet
from adplatform.contracts.errors import UNREADABLE, AdPlatformError, InputError
from adplatform.contracts.measurement import ExperimentDecision, PerformanceReport
from adplatform.contracts.serving import AgentVersion
from adplatform.contracts.targeting import SegmentRanking
from adplatform.inputs import AgentInputs, published
from adplatform.serve import end_with_parent
from adplatform.settings import Settings, settings
from adplatform.store.alerts import AlertBook
from bentos.http import Refused, documented, json_answer, new_app, parse
from bentos.metrics import answered
from bentos.middleware import freeze, guard

T = TypeVar("T")
AgentAnswer = CreativeSet | SegmentRanking | PerformanceReport | ExperimentDecision
POLL_SECONDS: Final = 0.5
_log = logging.getLogger(__name__)


class Route(NamedTuple):
    """A path, what it takes and gives, and how it is answered."""

    path: str
    asked: type[BaseModel]
    answered: type[BaseModel]
    summary: str
    answer: Callable[[Any], AgentAnswer]


class Held(Generic[T]):
    """Something that was built from published files, and is built again when they change. If that fails the old one
    stays, and an alert about ``subject`` is open until one is built. InputError before the first: nothing is published.
    """

    def __init__(
        self, subject: str, mark: Callable[[], object], build: Callable[[], T], book: AlertBook | None = None
    ) -> None:
        """``book``: of the home that the settings name, if not given."""
        self._subject, self._mark, self._build, self._book = subject, mark, build, book
        self._seen: object = object()
        self._lock = threading.Lock()
        self._value: T | None = None
        self._why = "it was not built yet"

    def get(self) -> T:
        """The present one. Raises AdPlatformError where none could be built."""
        if self._value is None:
            raise AdPlatformError(self._why)
        return self._value

    def refresh(self) -> None:
        """Build it again where its files have changed."""
        mark = self._mark()
        with self._lock:
            if mark == self._seen:
                return
            self._seen = mark
            try:
                self._value = self._build()
            except UNREADABLE as error:
                self._refuse(error)
            else:
                self._alerts().resolve(f"{AlertKind.ARTEFACT_REFUSED.value}:{self._subject}")

    def _refuse(self, error: Exception) -> None:
        self._why = " ".join(str(error).split())
        _log.error("%s cannot be built, the one before stays: %s", self._subject, self._why)
        if self._value is not None or not isinstance(error, InputError):
            self._alerts().raise_(artefact_refused(self._subject, None, self._why, datetime.now(UTC)))

    def _alerts(self) -> AlertBook:
        return self._book or AlertBook.of(settings())

    def watch(self, stop: threading.Event) -> None:
        """Refresh now, and in the background until ``stop``."""
        self.refresh()

        def run() -> None:
            while not stop.wait(POLL_SECONDS):
                self.refresh()

        threading.Thread(target=run, daemon=True).start()


def agent_inputs(config: Settings) -> AgentInputs:
    """What agents are built from, as it was published last. Raises InputError before the first time."""
    found = published(config.snapshots)
    if found is None:
        raise InputError("agent_snapshot", "is not published", "materialize agent_snapshot")
    return found[1]


class AgentService:
    """Base of an agent's service: holds what was published, takes what is published since, ends with its parent."""

    held: ClassVar[Held[Any]]

    def __init__(self) -> None:
        end_with_parent()
        self._stop = threading.Event()
        self.held.watch(self._stop)
        freeze()

    @bentoml.on_shutdown
    def close(self) -> None:
        """End the watch."""
        self._stop.set()


def agent_app(agent: str, routes: list[Route], version: Callable[[], str]) -> FastAPI:
    """The app of an agent's service."""
    app = new_app(f"adplatform {agent}")
    for route in routes:
        _add(app, agent, route)

    @app.get("/v1/version", **documented(None, AgentVersion, "The model that would answer now."))
    async def present() -> Response:
        found = await called(lambda _: version(), None)
        return json_answer(AgentVersion(version=found).model_dump_json().encode())

    return app


def _add(app: FastAPI, agent: str, route: Route) -> None:
    async def answer(request: Request) -> Response:
        asked = parse(route.asked, await request.body())
        return told(agent, await called(route.answer, asked))

    app.post(route.path, name=route.path, **documented(route.asked, route.answered, route.summary))(answer)


async def called(work: Callable[[Any], T], asked: Any, threads: Executor | None = None) -> T:
    """The answer of ``work`` in a thread of ``threads``; what has not begun when the caller gives up never does.

    Raises Refused: 422 on wrong input, 503 where the agent cannot answer.
    """
    try:
        return await asyncio.get_running_loop().run_in_executor(threads, work, asked)
    except InputError as error:
        raise Refused(422, "invalid", str(error)) from error
    except AdPlatformError as error:
        raise Refused(503, "unavailable", str(error), retry=True) from error


def told(agent: str, made: AgentAnswer) -> Response:
    """What an agent answers, counted by what made it: a model, the rules of an experiment, or templates alone."""
    version = made.lift.method if isinstance(made, ExperimentDecision) else made.model_version
    alone = isinstance(made, CreativeSet) and made.template_share == 1
    answered(agent, version, CopySource.TEMPLATE.value if alone else None)
    return json_answer(made.model_dump_json().encode())


def guard_agent(service: Any) -> None:
    """Put the guard before an agent's service: scope ``read``. Whoever asks says how long it waits."""
    guard(service, {}, {"/": settings().slow_deadline_ms / 1000})
