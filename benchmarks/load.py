"""How long the definitions take to load, against importing Dagster alone; each in a new process."""

from __future__ import annotations

import subprocess
import sys
import time

from adplatform.contracts.claims import BenchmarkReport, Claim, Row

HEAVY = ("torch", "pymc", "lightgbm", "transformers")


def _seconds(code: str, runs: int) -> list[float]:
    taken = []
    for number in range(runs + 1):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        if number:  # the first fills the file cache
            taken.append(time.perf_counter() - started)
    return sorted(taken)


def run(runs: int = 7) -> BenchmarkReport:
    """Median seconds of a process that loads the definitions, and of one that imports dagster and dagster_dbt."""
    ours = _seconds("import adplatform.definitions", runs)
    peer = _seconds("import dagster, dagster_dbt", runs)
    code = f"import sys, adplatform.definitions; sys.exit(sum(m in sys.modules for m in {HEAVY!r}))"
    heavy = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode
    middle, floor = ours[len(ours) // 2], peer[len(peer) // 2]
    row = Row(
        what="load definitions, median seconds", ours=middle, peer=floor, peer_name="import dagster, dagster_dbt",
        ratio=middle / floor, interval=(ours[0] / peer[-1], ours[-1] / peer[0]), n=runs,
    )  # fmt: skip
    claim = Claim(
        name="load-light",
        claim=f"none of {', '.join(HEAVY)} is imported",
        figure=float(heavy),
        holds=heavy == 0,
        n=len(HEAVY),
    )
    return BenchmarkReport(name="load", machine={}, seconds=sum(ours + peer), rows=(row,), claims=(claim,))
