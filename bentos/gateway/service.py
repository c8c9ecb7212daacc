"""The gateway: the only service reachable from outside. Decisions are made in its own process."""

from __future__ import annotations

from typing import Final

import bentoml

from adplatform.serve import end_with_parent
from adplatform.settings import settings
from bentos.gateway.app import make_app
from bentos.gateway.worker import Worker
from bentos.middleware import freeze, guard

SCOPES: Final = {
    ("POST", "/v1/decide"): "decide",
    ("POST", "/v1/events"): "ingest",
}
"""What is not here needs the scope ``read``."""
SLOW: Final = settings().slow_deadline_ms / 1000
SECONDS: Final = {
    "/v1/plan": SLOW,
    "/v1/creatives": SLOW,
    **dict.fromkeys(
        ("/v1/segments/rank", "/v1/lift", "/v1/experiments/", "/v1/creatives/progress"), settings().agent_seconds
    ),
}
"""How long these may take."""
worker = Worker()
app = make_app(worker)


@bentoml.asgi_app(app, path="/")
@bentoml.service(name="gateway", workers=settings().workers)
class Gateway:
    """Opens what a worker needs when it starts, and closes it after the last answer."""

    def __init__(self) -> None:
        end_with_parent()
        worker.open()
        freeze()

    @bentoml.on_shutdown
    def close(self) -> None:
        """Commit what is queued."""
        worker.close()


guard(Gateway, SCOPES, SECONDS)
