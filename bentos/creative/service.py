"""The Creative agent: ad variants by the language model, in a process of its own, on a GPU where there is one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import bentoml
from starlette.requests import Request
from starlette.responses import Response

from adplatform.assembly import PublishedCreatives, creative_agent
from adplatform.contracts.creative import CreativeRequest, CreativeSet
from adplatform.contracts.serving import CreativeProgress
from adplatform.settings import settings
from adplatform.store.documents import Documents
from adplatform.store.registry import Registry
from bentos.agents import AgentService, Held, agent_app, called, guard_agent, told
from bentos.creative.work import Work
from bentos.http import documented, json_answer, parse


def _build() -> PublishedCreatives:
    config = settings()
    return creative_agent(config, Registry(config.models), Documents(config.home / "documents"))


agent = Held("creative", lambda: Registry(settings().models).mark("copy_model"), _build)
app = agent_app("creative", [], lambda: agent.get().version)
work = Work()
writer = ThreadPoolExecutor(1)
"""One brief at a time: two would share the same cores and both take twice as long. One whose caller has gone is worded
to the end and kept, so that the next time it is there; one that has not begun by then is dropped."""


@app.post("/v1/creatives", **documented(CreativeRequest, CreativeSet, "Word variants for a brief."))
async def creatives(request: Request) -> Response:
    """Word a brief when its turn comes."""
    asked = parse(CreativeRequest, await request.body())
    with work.waiting(request.scope["state"]["request_id"], asked) as item:

        def write(asked: CreativeRequest) -> CreativeSet:
            with work.writing(item):
                return agent.get().creatives(asked)

        made = await called(write, asked, writer)
    return told("creative", made)


@app.get("/v1/creatives/progress", **documented(None, CreativeProgress, "What is worded, and what waits for it."))
async def progress() -> Response:
    """How it stands now."""
    return json_answer(work.progress().model_dump_json().encode())


@bentoml.asgi_app(app, path="/")
@bentoml.service(name="creative", workers=1)
class CreativeService(AgentService):
    """Holds the agent; the language model is loaded by the first brief that was not worded before."""

    held = agent


guard_agent(CreativeService)
