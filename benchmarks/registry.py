"""Every benchmark and claim by name. Imports happen when one is run."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from adplatform.contracts.claims import BenchmarkReport, Claim
from benchmarks.machine import machine

Progress = Callable[[float], None]


class Entry(NamedTuple):
    """Where a benchmark lives and the arguments of its long (``make prove``) and reduced (demo) forms."""

    module: str
    function: str
    long: dict[str, Any]
    reduced: dict[str, Any]


CLAIMS: dict[str, Entry] = {
    "coverage": Entry("benchmarks.coverage_claim", "run", {"n": 2000, "seed": 101}, {"n": 200, "seed": 7}),
    "looks": Entry("benchmarks.looks_claim", "run", {"n": 2000, "seed": 102}, {"n": 400, "seed": 8}),
    "calibration": Entry(
        "benchmarks.calibration_claim", "run", {"scale": "small", "seeds": [103]}, {"scale": "tiny", "seeds": [9]}
    ),
    "ranking": Entry(
        "benchmarks.ranking_claim",
        "run",
        {"scale": "small", "seeds": list(range(200, 220))},
        {"scale": "tiny", "seeds": [10, 11, 12]},
    ),
    "off-policy": Entry("benchmarks.off_policy_claim", "run", {"n": 1000, "seed": 104}, {"n": 100, "seed": 13}),
    "promotion": Entry("benchmarks.promotion_claim", "run", {"seeds": list(range(340, 360))}, {"seeds": [14]}),
    "thesis": Entry("benchmarks.thesis", "run", {"seeds": list(range(420, 440))}, {"seeds": [15, 16]}),
    "fallbacks": Entry("benchmarks.fallbacks_claim", "run", {}, {}),
    "copy": Entry("benchmarks.copy_claim", "run", {}, {}),
    "parity": Entry("benchmarks.parity_claim", "run", {"n": 10_000, "seed": 105}, {"n": 1000, "seed": 16}),
    "swap": Entry("benchmarks.swap_claim", "run", {"swaps": 200}, {"swaps": 10}),
    "events": Entry(
        "benchmarks.events_claim",
        "run",
        {"events": 100_000, "decisions": 10_000, "kills": 50, "seed": 106},
        {"events": 1000, "decisions": 50, "kills": 3, "seed": 17},
    ),
    "fuzz": Entry("benchmarks.fuzz_claim", "run", {"examples": 500, "seed": 107}, {"examples": 30, "seed": 18}),
    "drift": Entry(
        "benchmarks.drift_claim",
        "run",
        {},
        {
            "runs": 1,
            "judged": 60,
            "retrain_every": 400,
            "raw": False,
            "tries_every": 6,
            "delays_every": 50,
            "compared": (100_000, 20_000),
            "worlds": [18],
            "seed": 6900,
        },
    ),
    "poison": Entry(
        "benchmarks.poison_claim",
        "run",
        {"seeds": list(range(520, 530)), "impressions": 150_000},
        {"seeds": [19], "impressions": 100_000},
    ),
    "overload": Entry("benchmarks.overload", "run", {"seconds": 10.0}, {"seconds": 4.0}),
    "soak": Entry(
        "benchmarks.soak", "run", {"seconds": 3600.0, "limit": 16.0}, {"seconds": 60.0, "twin": 30.0, "limit": 128.0}
    ),
}
"""Claims that make their own data; those of the online part serve a copy of the demo's home. ``leak`` and ``consent``
read that home: benchmarks/claims_data.py."""

BENCHMARKS: dict[str, Entry] = {
    "simulator": Entry("benchmarks.simulator", "run", {}, {}),
    "warehouse": Entry("benchmarks.warehouse", "run", {}, {}),
    "ope": Entry("benchmarks.ope", "run", {}, {}),
    "plan": Entry("benchmarks.plan", "run", {}, {}),
    "load": Entry("benchmarks.load", "run", {}, {}),
    "serving": Entry("benchmarks.serving", "run", {}, {}),
    "ingest": Entry("benchmarks.ingest", "run", {}, {}),
}


def run_claim(name: str, reduced: bool = False, progress: Progress | None = None) -> Claim:
    """Run one claim. Raises KeyError for an unknown name."""
    entry = CLAIMS[name]
    function = getattr(importlib.import_module(entry.module), entry.function)
    claim: Claim = function(**(entry.reduced if reduced else entry.long), progress=progress)
    return claim


def report(name: str, reduced: bool = False, progress: Progress | None = None) -> BenchmarkReport:
    """One benchmark or claim as a report, with the machine and the seconds it took."""
    found, started = machine(), time.perf_counter()
    if name in CLAIMS:
        claim = run_claim(name, reduced, progress)
        return BenchmarkReport(name=name, machine=found, seconds=time.perf_counter() - started, claims=(claim,))
    entry = BENCHMARKS[name]
    made: BenchmarkReport = getattr(importlib.import_module(entry.module), entry.function)()
    return made.model_copy(update={"machine": found, "seconds": time.perf_counter() - started})
