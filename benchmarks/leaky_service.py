"""The twin of ``soak``: the gateway with a leak planted, a list that grows with every request."""

from __future__ import annotations

from typing import Any, Final

from bentos.gateway.service import Gateway
from bentos.refusals import App, Receive, Scope, Send

LEAKED_BYTES: Final = 1024
"""A request."""


class Leak:
    """Middleware that keeps something of each request for ever."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.kept: list[bytearray] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep, and pass on."""
        if scope["type"] == "http":
            self.kept.append(bytearray(LEAKED_BYTES))
        await self.app(scope, receive, send)


_service: Any = Gateway
_service.add_asgi_middleware(Leak)
