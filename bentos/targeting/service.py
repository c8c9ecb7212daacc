"""The Targeting agent: ranked segments, from the published snapshot and the response champion."""

from __future__ import annotations

import threading

import bentoml

from adplatform.assembly import response_model, targeting_agent
from adplatform.contracts.errors import AdPlatformError
from adplatform.contracts.targeting import RankRequest, SegmentRanking
from adplatform.inputs import published
from adplatform.serve import end_with_parent
from adplatform.settings import settings
from adplatform.store.registry import Registry
from adplatform.store.snapshots import Snapshots
from adplatform.targeting.agent import Targeting
from bentos.agents import Held, Route, agent_app, scopes_of
from bentos.middleware import freeze, guard


def _mark() -> object:
    config = settings()
    return Snapshots(config.snapshots).mark(), Registry(config.models).mark("response_model")


def _build() -> Targeting:
    config = settings()
    found = published(config.snapshots)
    if found is None or found[1].targeting is None:
        raise AdPlatformError("no snapshot of the agent is published; materialize agent_snapshot")
    return targeting_agent(found[1].targeting, response_model(Registry(config.models)), config)


agent = Held(_mark, _build)
ROUTES = [
    Route("/v1/segments/rank", RankRequest, SegmentRanking, "Rank segments.", lambda asked: agent.get().rank(asked)),
]
app = agent_app("adplatform targeting", ROUTES, lambda: agent.get().version)


@bentoml.asgi_app(app, path="/")
@bentoml.service(name="targeting", workers=1)
class TargetingService:
    """Holds the agent, and builds it again when its champion or its snapshot changes."""

    def __init__(self) -> None:
        end_with_parent()
        self._stop = threading.Event()
        agent.watch(self._stop)
        freeze()

    @bentoml.on_shutdown
    def close(self) -> None:
        """End the watch."""
        self._stop.set()


guard(TargetingService, scopes_of(ROUTES))
