"""Claim ``soak``: at half of peak for a bounded time nothing grows in any process of the server, and nothing fails. A
request that waited too long because the machine stood still is refused or decided by the default rule, as promised; no more
than ``MOST_REFUSED`` of them are.

Memory is flat where the growth of resident memory is at most so many bytes for each request. It is the slope of a
least-squares line through the memory of all processes, measured in blocks, with a 99 % interval; blocks rather than
samples, because memory moves in steps and stays. What is still being filled for the first time (caches, allocator) is
left out with the first ``WARM`` of the time. Handles are flat where no process has more than ``HANDLES`` more in the last
block than in the first. Where the interval does not decide, the claim cannot tell. The twin, the same server that keeps
1 KiB of every request and a file for every thousandth, must be seen to grow in both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import psutil
from scipy import stats

from adplatform.contracts.claims import Claim
from benchmarks.generator import BY_DEFAULT
from benchmarks.overload import REFUSED
from benchmarks.stand import Stand, every, stand

CANDIDATES: Final = 10
LEAKY: Final = "benchmarks.leaky_service:Gateway"
HANDLES: Final = 2
WARM: Final = 0.25
BLOCKS: Final = 12
SAMPLE_SECONDS: Final = 0.5
LOAD_SECONDS: Final = 60.0
LEVEL: Final = 0.99
MOST_REFUSED: Final = 0.001
"""Largest share of requests that may be refused, or left to the default rule for want of time."""


class Sample(NamedTuple):
    """All processes of the server at one moment: seconds, bytes resident in all, open handles of each."""

    at: float
    resident: int
    handles: dict[int, int]


class Growth(NamedTuple):
    """Bytes for each request with an interval, resident MiB at first and at last, the most that a process's handles grew,
    and of the requests those refused or left to the default rule, and those not answered, or answered but not in the log.
    """

    each: float
    low: float
    high: float
    resident_mib: tuple[float, float]
    handles: int
    refused: int
    failed: int
    requests: int

    @property
    def served(self) -> bool:
        """Whether nothing failed and nearly all was answered."""
        return not self.failed and self.refused <= MOST_REFUSED * self.requests

    def flat(self, limit: float) -> bool | None:
        """Whether it grew by at most ``limit`` bytes a request and was served; None where it cannot be told."""
        if not self.served or self.handles > HANDLES or self.low > limit:
            return False
        return True if self.high <= limit else None


def run(
    seconds: float = 3600.0, twin: float = 60.0, limit: float = 16.0, progress: Callable[[float], None] | None = None,
    source: Path | None = None,
) -> Claim:  # fmt: skip
    """``seconds`` of the gateway, then ``twin`` seconds of one with a leak, at the same rate. ``limit``: bytes a request
    that count as flat; what a short time fills for the first time is more, spread over fewer requests.
    """
    with stand(source) as on:
        requests = on.decisions(CANDIDATES)
        with on.served() as (port, process):
            closed = on.closed(port, requests, 3.0)
            rate = max(1.0, on.peak(port, requests, 1.2 * closed.count(200) / closed.seconds) / 2)
            found = _soaked(on, port, process, rate, seconds, progress)
        with on.served(LEAKY) as (port, process):
            leaky = _soaked(on, port, process, rate, twin, None)
    return conclude(found, leaky, rate, seconds, limit)


def conclude(found: Growth, leaky: Growth, rate: float, seconds: float, limit: float) -> Claim:
    """It holds where the gateway is flat and its twin is seen to leak both."""
    flat = found.flat(limit)
    seen = leaky.served and leaky.low > limit and leaky.handles > HANDLES
    return Claim(
        name="soak",
        claim=f"{seconds:g} s at half of peak: no error, at most {MOST_REFUSED:.1%} refused, resident memory grows by at most {limit:g} bytes a request, "
        f"handles by at most {HANDLES}; planted leaks are seen",
        figure=found.each,
        holds=flat if seen or flat is False else None,
        n=found.requests,
        detail={"rate": round(rate, 1), "gateway": found._asdict(), "with_leaks": leaky._asdict()},
    )


def _soaked(
    on: Stand, port: int, process: psutil.Process, rate: float, seconds: float, progress: Callable[[float], None] | None
) -> Growth:
    """Open loop at ``rate``, in pieces, while the processes are watched."""
    requests = on.decisions(CANDIDATES)
    refused, failed, decided, before, began = 0, 0, 0, on.recorded(), time.monotonic()
    with _watched(process) as samples:
        while (left := seconds - (time.monotonic() - began)) > 1:
            answers = on.open(port, requests, min(left, LOAD_SECONDS), rate)
            refused += answers.count(*REFUSED, BY_DEFAULT)
            decided += answers.count(200, BY_DEFAULT)
            failed += len(answers.status) - answers.count(200, *REFUSED, BY_DEFAULT) + answers.unanswered
            if progress:
                progress(min(1.0, (time.monotonic() - began) / seconds))
    failed += max(0, decided - (on.recorded() - before))
    return growth(samples, rate, refused, failed)


@contextmanager
def _watched(process: psutil.Process) -> Iterator[list[Sample]]:
    """Samples of the process and its children, until the context is left."""
    watched, samples = [process, *process.children(recursive=True)], list[Sample]()

    def look() -> None:
        resident = sum(p.memory_info().rss for p in watched)
        samples.append(Sample(time.monotonic(), resident, {p.pid: p.num_fds() for p in watched}))

    with every(SAMPLE_SECONDS, look):
        yield samples


def growth(samples: Sequence[Sample], rate: float, refused: int, failed: int) -> Growth:
    """What grew after the warm-up at ``rate`` requests a second."""
    kept = samples[int(WARM * len(samples)) :]
    parts = [[kept[i] for i in part] for part in np.array_split(np.arange(len(kept)), BLOCKS)]
    at, resident = (
        np.array([np.mean([getattr(s, name) for s in part]) for part in parts]) for name in ("at", "resident")
    )
    line = stats.linregress(at, resident)
    margin = float(stats.t.ppf((1 + LEVEL) / 2, BLOCKS - 2) * line.stderr)
    first, last = (
        {pid: max(s.handles[pid] for s in part) for pid in kept[0].handles} for part in (parts[0], parts[-1])
    )
    each, margin = float(line.slope) / rate, margin / rate
    requests = int((samples[-1].at - samples[0].at) * rate)
    resident_mib = (round(resident[0] / 2**20, 1), round(resident[-1] / 2**20, 1))
    handles = max(last[pid] - first[pid] for pid in last)
    return Growth(each, each - margin, each + margin, resident_mib, handles, refused, failed, requests)
