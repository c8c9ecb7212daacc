"""The twin of ``soak``: the gateway with two leaks planted, memory for every request and a file for every thousandth."""

from __future__ import annotations

import os
from typing import IO, Any, Final

from bentos.gateway.service import Gateway
from bentos.refusals import App, Receive, Scope, Send

LEAKED_BYTES: Final = 1024
"""A request."""
REQUESTS_A_HANDLE: Final = 1000


class Leak:
    """Middleware that keeps something of each request for ever."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.kept: list[bytearray] = []
        self.opened: list[IO[bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep, and pass on."""
        if scope["type"] == "http":
            self.kept.append(bytearray(LEAKED_BYTES))
            if len(self.kept) % REQUESTS_A_HANDLE == 0:
                self.opened.append(open(os.devnull, "rb"))  # noqa: SIM115 - the leak
        await self.app(scope, receive, send)


_service: Any = Gateway
_service.add_asgi_middleware(Leak)
