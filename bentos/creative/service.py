"""The Creative agent: ad variants by the language model, in a process of its own, on a GPU where there is one."""

from __future__ import annotations

import threading

import bentoml

from adplatform.assembly import PublishedCreatives, creative_agent
from adplatform.contracts.creative import CreativeRequest, CreativeSet
from adplatform.settings import settings
from adplatform.store.documents import Documents
from adplatform.store.registry import Registry
from bentos.agents import AgentService, Held, Route, agent_app, scopes_of
from bentos.middleware import guard


def _build() -> PublishedCreatives:
    config = settings()
    return creative_agent(config, Registry(config.models), Documents(config.home / "documents"))


agent = Held(lambda: Registry(settings().models).mark("copy_model"), _build)
writing = threading.Lock()


def answer(asked: CreativeRequest) -> CreativeSet:
    """One brief at a time: two would share the same cores and both take twice as long."""
    with writing:
        return agent.get().creatives(asked)


ROUTES = [Route("/v1/creatives", CreativeRequest, CreativeSet, "Word variants for a brief.", answer)]
app = agent_app("adplatform creative", ROUTES, lambda: agent.get().version)


@bentoml.asgi_app(app, path="/")
@bentoml.service(name="creative", workers=1, traffic={"timeout": 600})
class CreativeService(AgentService):
    """Holds the agent; the language model is loaded by the first brief that was not worded before."""

    held = agent


guard(CreativeService, scopes_of(ROUTES))
