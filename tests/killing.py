"""A process that kills itself at any of its calls that change the disk, for tests of what a kill may leave."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

CALLS = ("write", "fsync", "replace", "rename", "unlink", "rmdir", "mkdir", "open")


def die_at(point: int) -> None:
    """From now on: SIGKILL to this very process just before its ``point``-th call, without handler or clean-up."""
    calls = 0

    def watched(name: str) -> Callable[..., Any]:
        # A sync is a point to be killed at; waiting for it shows nothing, for the kernel outlives the process.
        real = getattr(os, name) if name != "fsync" else lambda handle: None

        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == point:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **named)

        return call

    for name in CALLS:
        setattr(os, name, watched(name))


def exit_codes(homes: Sequence[str], work: Callable[[Path], object], first: int = 1, step: int = 1) -> list[int]:
    """How a child ended in each home: -9 where it died at its call ``first + k * step``, 0 where it came through.

    The libraries are loaded once, by the caller, and each child is a fork.
    """
    codes = []
    for number, home in enumerate(homes):
        pid = os.fork()
        if not pid:
            try:
                die_at(first + number * step)
                work(Path(home))
                os._exit(0)
            finally:
                os._exit(1)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    return codes
