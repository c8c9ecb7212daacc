"""The Targeting agent: ranked segments, from the published snapshot and the response champion."""

from __future__ import annotations

import bentoml

from adplatform.assembly import response_model, targeting_agent
from adplatform.contracts.errors import AdPlatformError
from adplatform.contracts.targeting import RankRequest, SegmentRanking
from adplatform.inputs import published
from adplatform.settings import settings
from adplatform.store.registry import Registry
from adplatform.store.snapshots import Snapshots
from adplatform.targeting.agent import Targeting
from bentos.agents import AgentService, Held, Route, agent_app, guard_agent


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
class TargetingService(AgentService):
    """Holds the agent, and builds it again when its champion or its snapshot changes."""

    held = agent


guard_agent(TargetingService, ROUTES)
