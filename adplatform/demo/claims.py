"""The reduced claims of the demo: the same code as ``make prove``, with fewer worlds, and their n shown."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from adplatform.contracts.claims import Claim
from adplatform.settings import Settings

Progress = Callable[[float], None]
Check = Callable[[Settings, Progress], Claim]

_WORLDS = ("coverage", "looks", "calibration", "ranking", "promotion", "fallbacks", "thesis")
_HOME = ("leak", "consent")


def _world(name: str) -> Check:
    def check(config: Settings, progress: Progress) -> Claim:
        from benchmarks.registry import run_claim

        return run_claim(name, reduced=True, progress=progress)

    return check


def _home(name: str) -> Check:
    def check(config: Settings, progress: Progress) -> Claim:
        function = getattr(importlib.import_module("benchmarks.claims_data"), name)
        claim: Claim = function(config)
        return claim

    return check


def for_dataset(name: str) -> dict[str, Check]:
    """Claims of a data set: those that need known truth only where there is a simulator."""
    home = {n: _home(n) for n in _HOME}
    return {**{n: _world(n) for n in _WORLDS}, **home} if name == "simulated" else {"leak": home["leak"]}
