"""The reduced claims of the demo: the same code as ``make prove``, with fewer worlds, and their n shown."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from functools import partial
from typing import Final

from adplatform.contracts.claims import Claim
from adplatform.demo.pool import pool
from adplatform.settings import Settings

Progress = Callable[[float], None]
Check = Callable[[Settings, Progress], list[Claim]]
Task = Callable[[Settings], list[Claim]]

_SERVED: Final = ("parity", "swap", "events")


def _reduced(name: str, config: Settings, progress: Progress | None = None) -> list[Claim]:
    """A claim that makes its own data, or serves a copy of the home."""
    from benchmarks.registry import run_claim

    return [run_claim(name, reduced=True, progress=progress)]


def _of_home(name: str, config: Settings) -> list[Claim]:
    """A claim about the data of the home."""
    return [getattr(importlib.import_module("benchmarks.claims_data"), name)(config)]


def _thesis(config: Settings) -> list[Claim]:
    """Materialize the comparison as the asset that it is, and read what it kept."""
    from adplatform import asset_keys as keys
    from adplatform.definitions import defs
    from adplatform.defs.runs import instance
    from adplatform.launch import materialize
    from adplatform.state import State

    with instance(config) as found:
        materialize(defs, found, f"key:{keys.MULTI_AGENT_VS_SINGLE_MODEL}")
    return [State(config).documents.get(keys.MULTI_AGENT_VS_SINGLE_MODEL, "all", Claim)]


def _open_bandit(config: Settings) -> list[Claim]:
    """The Open Bandit log valued by us and by obp from the same rows."""
    from adplatform.state import State
    from adplatform.targeting.open_bandit import split_logs
    from adplatform.training import examples
    from benchmarks.open_bandit import evaluate

    return list(evaluate(split_logs(examples(State(config))))[1])


_SIMULATED: Final[tuple[Task, ...]] = (
    partial(_reduced, "drift"),
    _thesis,
    *(partial(_reduced, n) for n in ("fallbacks", "looks")),
    partial(_of_home, "leak"),
    *(partial(_reduced, n) for n in ("coverage", "poison", "ranking", "promotion", "calibration")),
    partial(_of_home, "consent"),
)
"""The longest first, so that none is left alone at the end."""
_LANDED: Final[tuple[Task, ...]] = (_open_bandit, partial(_of_home, "leak"))


def _side_by_side(tasks: Sequence[Task]) -> Check:
    """As many at a time as there are processors."""

    def check(config: Settings, progress: Progress) -> list[Claim]:
        with pool() as processes:
            going = [processes.submit(task, config) for task in tasks]
            for done, _ in enumerate(as_completed(going), start=1):
                progress(done / len(going))
            return [claim for task in going for claim in task.result()]

    return check


def for_dataset(name: str) -> dict[str, Check]:
    """Claims of a data set: those that need known truth only where there is a simulator. Those that time servers have
    the machine to themselves.
    """
    if name == "simulated":
        return {"side by side": _side_by_side(_SIMULATED), **{n: partial(_reduced, n) for n in _SERVED}}
    return {"side by side": _side_by_side(_LANDED)}
