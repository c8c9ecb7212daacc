"""The reduced claims of the demo: the same code as ``make prove``, with fewer worlds, and their n shown."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from adplatform.contracts.claims import Claim
from adplatform.settings import Settings

Progress = Callable[[float], None]
Check = Callable[[Settings, Progress], list[Claim]]

_WORLDS = ("coverage", "looks", "calibration", "ranking", "promotion", "fallbacks", "drift", "poison")
_HOME = ("leak", "consent")
_SERVED = ("parity", "swap", "events")


def _world(name: str) -> Check:
    def check(config: Settings, progress: Progress) -> list[Claim]:
        from benchmarks.registry import run_claim

        return [run_claim(name, reduced=True, progress=progress)]

    return check


def _home(name: str) -> Check:
    def check(config: Settings, progress: Progress) -> list[Claim]:
        return [getattr(importlib.import_module("benchmarks.claims_data"), name)(config)]

    return check


def _thesis(config: Settings, progress: Progress) -> list[Claim]:
    """Materialize the comparison as the asset that it is, and read what it kept."""
    from adplatform import asset_keys as keys
    from adplatform.definitions import defs
    from adplatform.defs.runs import instance
    from adplatform.launch import materialize
    from adplatform.state import State

    with instance(config) as found:
        materialize(defs, found, f"key:{keys.MULTI_AGENT_VS_SINGLE_MODEL}")
    return [State(config).documents.get(keys.MULTI_AGENT_VS_SINGLE_MODEL, "all", Claim)]


def _open_bandit(config: Settings, progress: Progress) -> list[Claim]:
    """The Open Bandit log valued by us and by obp from the same rows."""
    from adplatform.state import State
    from adplatform.targeting.open_bandit import split_logs
    from adplatform.training import examples
    from benchmarks.open_bandit import evaluate

    return list(evaluate(split_logs(examples(State(config))))[1])


def for_dataset(name: str) -> dict[str, Check]:
    """Claims of a data set: those that need known truth only where there is a simulator."""
    home = {n: _home(n) for n in _HOME}
    if name == "simulated":
        return {**{n: _world(n) for n in (*_WORLDS, *_SERVED)}, "thesis": _thesis, **home}
    return {"open-bandit": _open_bandit, "leak": home["leak"]}
