"""A gateway that goes on deciding while something else is done to its home."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

from adplatform.settings import Settings
from adplatform.store.keys import Keys, Scope
from benchmarks.served import served

PAUSE_SECONDS = 0.05
"""Between two requests."""


@contextmanager
def meanwhile(home: Path, user: str) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Ask for ``user`` again and again until the context is left; all must be decided with the user's profile.

    Gives the function that asks for anybody.
    """
    key = Keys(Settings(home=home).keys).add("meanwhile", list(Scope))[1]
    with served(home, key) as gateway, ThreadPoolExecutor(1) as pool:
        candidates, left = gateway.creatives[:3], Event()

        def ask(whom: str) -> dict[str, Any]:
            answer = gateway.post("/v1/decide", {"user_id": whom, "candidates": candidates})
            assert answer.status_code == 200, answer.text
            return dict(answer.json())

        def go_on() -> int:
            asked = 0
            while not left.wait(PAUSE_SECONDS):
                assert "profile_version" in ask(user)
                asked += 1
            return asked

        going = pool.submit(go_on)
        try:
            yield ask
        finally:
            left.set()
        assert going.result() > 0
