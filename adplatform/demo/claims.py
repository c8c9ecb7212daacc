"""The reduced claims of the demo: the same code as ``make prove``, with fewer worlds, and their n shown."""

from __future__ import annotations

import importlib
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed

from adplatform.contracts.claims import Claim
from adplatform.settings import Settings

Progress = Callable[[float], None]
Check = Callable[[Settings, Progress], list[Claim]]

_WORLDS = ("drift", "fallbacks", "looks", "coverage", "poison", "ranking", "promotion", "calibration")
"""The longest first, so that none is left alone at the end."""
_HOME = ("leak", "consent")
_SERVED = ("parity", "swap", "events")


def _alone() -> None:
    """One thread for this process: there is one process for each processor, and a second thread would spin in wait."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    os.environ["OMP_NUM_THREADS"] = "1"  # for libraries that are loaded later
    threadpool_limits(1, "blas")


def _worlds(config: Settings, progress: Progress) -> list[Claim]:
    """The claims that make their own data, as many at a time as there are processors."""
    from benchmarks.registry import run_claim

    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn"), _alone) as pool:
        tasks = [pool.submit(run_claim, name, True) for name in _WORLDS]
        for done, _ in enumerate(as_completed(tasks), start=1):
            progress(done / len(tasks))
        return [task.result() for task in tasks]


def _served(name: str) -> Check:
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
        return {"worlds": _worlds, **{n: _served(n) for n in _SERVED}, "thesis": _thesis, **home}
    return {"open-bandit": _open_bandit, "leak": home["leak"]}
