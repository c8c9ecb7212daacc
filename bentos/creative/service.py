"""The Creative agent: ad variants by the language model, in a process of its own, on a GPU where there is one."""

from __future__ import annotations

import bentoml

from adplatform.assembly import PublishedCreatives, creative_agent
from adplatform.contracts.creative import CreativeRequest, CreativeSet
from adplatform.settings import settings
from adplatform.store.documents import Documents
from adplatform.store.registry import Registry
from bentos.agents import AgentService, Held, Route, agent_app, guard_agent


def _build() -> PublishedCreatives:
    config = settings()
    return creative_agent(config, Registry(config.models), Documents(config.home / "documents"))


agent = Held("creative", lambda: Registry(settings().models).mark("copy_model"), _build)
ROUTES = [
    Route("/v1/creatives", CreativeRequest, CreativeSet, "Word variants for a brief.",
          lambda asked: agent.get().creatives(asked)),
]  # fmt: skip
app = agent_app("adplatform creative", ROUTES, lambda: agent.get().version, at_once=1)
"""One brief at a time: two would share the same cores and both take twice as long. One whose caller has gone is worded
to the end and kept, so that the next time it is there."""


@bentoml.asgi_app(app, path="/")
@bentoml.service(name="creative", workers=1)
class CreativeService(AgentService):
    """Holds the agent; the language model is loaded by the first brief that was not worded before."""

    held = agent


guard_agent(CreativeService, ROUTES)
