"""Processes beside the demo's own, one for each processor and with one thread each."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from adplatform.contracts.errors import AdPlatformError


@contextmanager
def pool(niceness: int = 0) -> Iterator[ProcessPoolExecutor]:
    """As many processes as there are processors; ``niceness`` above 0 gives way to the process that made them.

    Where the block raises, an interrupt too, what they do is cut off: a run that they had begun is failed by whoever
    starts next. Raises AdPlatformError where one of them was killed.
    """
    context = multiprocessing.get_context("spawn")
    processes = ProcessPoolExecutor(os.cpu_count(), context, _alone, (niceness,))
    try:
        yield processes
    except BaseException as error:
        for child in multiprocessing.active_children():
            child.kill()
        processes.shutdown(cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            raise AdPlatformError("a process of the demo was killed, out of memory perhaps; run it again") from error
        raise
    processes.shutdown(cancel_futures=True)


def _alone(niceness: int) -> None:
    """One thread for this process: there is one process for each processor, and a second thread would spin in wait."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    os.environ["OMP_NUM_THREADS"] = "1"  # for libraries that are loaded later
    threadpool_limits(1, "blas")
    os.nice(niceness)
