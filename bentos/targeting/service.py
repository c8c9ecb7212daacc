"""The Targeting agent: ranked segments, from the published snapshot and the response champion."""

from __future__ import annotations

import bentoml

from adplatform.assembly import response_model, targeting_agent
from adplatform.contracts.errors import InputError
from adplatform.contracts.targeting import RankRequest, SegmentRanking
from adplatform.settings import settings
from adplatform.store.registry import Registry
from adplatform.store.snapshots import Snapshots
from adplatform.targeting.agent import Targeting
from bentos.agents import AgentService, Held, Route, agent_app, agent_inputs, guard_agent


def _mark() -> object:
    config = settings()
    return Snapshots(config.snapshots).mark(), Registry(config.models).mark("response_model")


def _build() -> Targeting:
    config = settings()
    inputs = agent_inputs(config)
    if inputs.targeting is None:
        raise InputError("agent_snapshot", "has nothing for this agent", "see its log, and materialize it again")
    return targeting_agent(inputs.targeting, response_model(Registry(config.models)), config)


agent = Held("targeting", _mark, _build)
ROUTES = [
    Route("/v1/segments/rank", RankRequest, SegmentRanking, "Rank segments.", lambda asked: agent.get().rank(asked)),
]
app = agent_app("targeting", ROUTES, lambda: agent.get().version)


@bentoml.asgi_app(app, path="/")
@bentoml.service(name="targeting", workers=1)
class TargetingService(AgentService):
    """Holds the agent, and builds it again when its champion or its snapshot changes."""

    held = agent


guard_agent(TargetingService)
