"""What one worker process holds open while it serves."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import httpx
from pydantic import BaseModel, ValidationError

from adplatform.assembly import budget_agent, or_none, orchestrated, word_first
from adplatform.contracts.alerts import AlertKind, artefact_refused
from adplatform.contracts.brief import Brief
from adplatform.contracts.errors import AdPlatformError
from adplatform.contracts.plan import CampaignPlan
from adplatform.contracts.problems import Problem
from adplatform.serve import AGENT_SERVICES
from adplatform.settings import Settings, settings
from adplatform.store.alerts import AlertBook
from adplatform.store.decision_rows import Tail
from adplatform.store.library import Library
from adplatform.store.profiles import Profiles
from adplatform.store.registry import Registry
from adplatform.store.snapshots import Snapshots
from bentos.agents import Held, agent_inputs
from bentos.gateway.clients import RemoteAgent, asking
from bentos.gateway.deciding import AGENT, Asked, Deciding
from bentos.gateway.turns import MicroBatch, TurnLog, together
from bentos.http import Refused

POLL_SECONDS: Final = 0.5
BUDGET: Final = "budget_policy"
EXPIRE_SECONDS: Final = 60.0
NEAR_MIDNIGHT: Final = timedelta(minutes=5)
"""So soon before a day ends, its outcomes are needed at once."""
_log = logging.getLogger(__name__)


class Worker:
    """Decision log, policy, profiles, library and the agents' services; ``open`` before the first request."""

    log: TurnLog
    deciding: Deciding
    decisions: MicroBatch[Asked]

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def open(self, config: Settings | None = None) -> None:
        """Open everything. Raises SetupError where the log is damaged."""
        self.config = config = config or settings()
        self.registry = Registry(config.models)
        self.log = TurnLog(config.decisions)
        self.log.__enter__()
        self.tail = Tail(config.decisions)
        self.profiles, self.library = Profiles(config.profiles), Library(config.landing)
        self.alerts = AlertBook.of(config)
        self.deciding = Deciding(
            self.registry, lambda: self.library.creatives, self.profiles, refused=self._refused, taken=self._taken
        )
        self.decisions = together(self.deciding.decide)
        self.inputs = Held(
            "agent_snapshot", Snapshots(config.snapshots).mark, lambda: agent_inputs(config), self.alerts
        )
        self.budget = Held(BUDGET, lambda: self.registry.mark(BUDGET), lambda: budget_agent(self.registry), self.alerts)
        key = config.service_key.get_secret_value() if config.service_key else ""
        self.urls = {agent: f"http://127.0.0.1:{config.agent_port + i}" for i, agent in enumerate(AGENT_SERVICES)}
        self.remote = {agent: RemoteAgent.at(agent, url, key, config.agent_seconds) for agent, url in self.urls.items()}
        self._client = httpx.AsyncClient(headers={"authorization": f"Bearer {key}"})
        self.horizon = timedelta(hours=config.horizon_hours)
        published = (
            self.deciding.refresh, self.deciding.shadow.refresh, self.profiles.refresh, self.library.refresh,
            self.inputs.refresh, self.budget.refresh,
        )  # fmt: skip
        _tried(published)
        # What happened today changes no profile before tomorrow: it is followed while we serve already.
        self.profiles.replay(self.tail.of_days_before(datetime.now(UTC) + NEAR_MIDNIGHT))
        self._every(POLL_SECONDS, *published)
        self._every(POLL_SECONDS, self._follow)
        self._every(EXPIRE_SECONDS, self._expire)

    def close(self) -> None:
        """Commit what is queued and end."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.log.__exit__()
        self.tail.close()

    async def ask(self, agent: str, path: str, asked: BaseModel | None, deadline: float, request_id: str) -> bytes:
        """The answer of an agent's service, which is told what is left of ``deadline`` and knows the request by its id.

        Raises Refused: its own refusal passed on, 503 where it does not answer.
        """
        body = None if asked is None else asked.model_dump_json().encode()
        method, left = "GET" if body is None else "POST", max(0.001, deadline - time.perf_counter())
        headers = asking(left, body, request_id)
        try:
            answer = await self._client.request(
                method, self.urls[agent] + path, content=body, headers=headers, timeout=left
            )
        except httpx.ReadTimeout as error:
            raise Refused(503, "too_late", f"the {agent} service did not answer in time", retry=True) from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise Refused(503, "unavailable", f"the {agent} service does not answer; try again", retry=True) from error
        if answer.status_code == 200:
            return answer.content
        told = _problem(answer)
        if told and (answer.status_code in (404, 422) or told.error == "too_late"):
            raise Refused(answer.status_code, told.error, told.detail, told.retry)
        raise Refused(503, "unavailable", f"the {agent} service cannot answer ({answer.status_code})", retry=True)

    def plan(self, brief: Brief, deadline: float, request_id: str) -> CampaignPlan:
        """The plan for a brief, before ``deadline``; the agents know the request by its id. An agent whose service fails,
        or has not answered in its share of what is left, is answered for by a rule, and the trace says so.
        """
        limits = shared(self.config, deadline - time.perf_counter())
        turn = limits.agent_seconds
        budget = or_none(BUDGET, self.budget.get)
        machine = orchestrated(
            self.inputs.get(), limits,
            creative=self.remote["creative"].within(limits.copy_seconds, request_id),
            targeting=self.remote["targeting"].within(turn, request_id),
            measurement=self.remote["measurement"].within(turn, request_id), budget=budget,
        )  # fmt: skip
        word_first(machine, brief, self.config.seed, limits.copy_seconds)
        return machine.plan(brief, seed=self.config.seed)

    def _refused(self, version: str, why: str) -> None:
        _log.error("%s is refused: %s", version, why)
        self.alerts.raise_(artefact_refused(AGENT, version, why, datetime.now(UTC)))

    def _taken(self) -> None:
        self.alerts.resolve(f"{AlertKind.ARTEFACT_REFUSED.value}:{AGENT}")

    def _every(self, seconds: float, *works: Callable[[], object]) -> None:
        def run() -> None:
            while not self._stop.wait(seconds):
                _tried(works)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _follow(self) -> None:
        while not self._stop.is_set() and (outcomes := self.tail.read()):
            self.profiles.replay(outcomes)

    def _expire(self) -> None:
        if moved := self.log.expire(datetime.now(UTC), self.horizon).result():
            _log.warning("%d events were rejected: their decision never came", moved)


def _tried(works: Iterable[Callable[[], object]]) -> None:
    """Do each. What fails is logged and leaves what was there before; the rest goes on."""
    for work in works:
        try:
            work()
        except (AdPlatformError, OSError):
            _log.exception("the one before stays; it will be tried again")


def shared(config: Settings, left: float) -> Settings:
    """The settings with each wait of a plan cut to its share of ``left`` seconds; a tenth is for what is not waiting."""
    usable = 0.9 * left
    turns = {name: min(getattr(config, name), usable / 5) for name in ("agent_seconds", "creative_seconds")}
    words = usable - 3 * turns["agent_seconds"] - turns["creative_seconds"]
    return config.model_copy(update={**turns, "copy_seconds": min(config.copy_seconds, words)})


def _problem(answer: httpx.Response) -> Problem | None:
    try:
        return Problem.model_validate_json(answer.content)
    except ValidationError:
        return None
