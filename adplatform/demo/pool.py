"""Processes beside the demo's own, one for each processor and with one thread each."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor


def pool(niceness: int = 0) -> ProcessPoolExecutor:
    """As many processes as there are processors; ``niceness`` above 0 gives way to the process that made them."""
    return ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn"), _alone, (niceness,))


def _alone(niceness: int) -> None:
    """One thread for this process: there is one process for each processor, and a second thread would spin in wait."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    os.environ["OMP_NUM_THREADS"] = "1"  # for libraries that are loaded later
    threadpool_limits(1, "blas")
    os.nice(niceness)
