"""Claim ``overload``: at two and five times its peak a worker answers nearly as much as at its peak, in time.

Open loop, the client's clock: an answer's time counts from when its request was due. The generator is pinned to one core,
and its own share of it is reported.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from adplatform.contracts.claims import Claim
from benchmarks.generator import BY_DEFAULT, Answers
from benchmarks.stand import P99_MS, Stand, fine, stand

CANDIDATES: Final = 10
FACTORS: Final = (2, 5)
DEADLINE_MS: Final = 200
GRACE_MS: Final = 20
GOODPUT: Final = 0.8
"""Least share of the peak that is answered in time."""
NORMAL_SECONDS: Final = 5.0
"""After the overload it is back to normal within this."""
REFUSED: Final = (503, 429)


class Judged(NamedTuple):
    """What came of one overload, as a share of the peak or as counts."""

    goodput: float
    """Of choices by the policy."""
    late: int
    strange: int
    """Neither answered nor refused, or answered and not in the decision log."""

    @property
    def holds(self) -> bool:
        """Whether it is as promised."""
        return self.goodput >= GOODPUT and not self.late and not self.strange


def run(seconds: float = 10.0, progress: Callable[[float], None] | None = None, source: Path | None = None) -> Claim:
    """``seconds`` at each of ``FACTORS``. ``figure``: the least goodput as a share of the peak."""
    with stand(source) as on, on.served() as (port, _):
        requests = on.decisions(CANDIDATES, DEADLINE_MS)
        on.closed(port, requests, 2.0)
        closed = on.closed(port, requests, 3.0)
        peak = on.peak(port, on.decisions(CANDIDATES), 1.2 * closed.count(200) / closed.seconds)
        found: dict[int, Judged] = {}
        detail: dict[str, Any] = {"peak": round(peak, 1)}
        normal = True
        for number, factor in enumerate(FACTORS if peak else ()):
            before = on.recorded()
            answers = on.open(port, requests, seconds, factor * peak)
            found[factor] = judge(answers, peak, on.recorded() - before)
            after = back_to_normal(on, port, requests, peak / 2, answers)
            normal = normal and after is not None
            detail[f"{factor}x"] = told(answers, found[factor], after)
            if progress:
                progress((number + 1) / len(FACTORS))
    return conclude(found, normal, detail)


def judge(answers: Answers, peak: float, recorded: int) -> Judged:
    """Goodput against ``peak``: choices by the policy within the deadline and its grace, over the time requests were due.
    ``recorded``: decisions that the log has of them.
    """
    latest, answered = DEADLINE_MS + GRACE_MS, answers.count(200, BY_DEFAULT)
    in_time, in_time_by_default = (int((answers.milliseconds(s) <= latest).sum()) for s in (200, BY_DEFAULT))
    seconds = float(answers.due.max()) if len(answers.due) else 1.0
    strange = len(answers.status) - answered - answers.count(*REFUSED) + answers.unanswered
    late = answered - in_time - in_time_by_default
    return Judged(in_time / seconds / peak, late, strange + max(0, answered - recorded))


def back_to_normal(on: Stand, port: int, requests: list[bytes], rate: float, overload: Answers) -> float | None:
    """Seconds from when the last request of ``overload`` was due until a second begins in which nothing is refused and 99 %
    are in time again, at half of the peak; None if not in time.
    """
    last = overload.start + float(overload.due.max(initial=0.0))
    while time.perf_counter() < last + NORMAL_SECONDS:
        probe = on.open(port, requests, 1.0, max(1.0, rate))
        if fine(probe):
            after = probe.start - last
            return after if after <= NORMAL_SECONDS else None
    return None


def told(answers: Answers, judged: Judged, after: float | None) -> dict[str, Any]:
    """What a person would look at."""
    times = answers.milliseconds()
    p99 = round(float(np.quantile(times, 0.99)), 1) if len(times) else None
    return {
        "sent": len(answers.status), "answered": len(times), "p99_ms": p99, "refused": answers.count(*REFUSED),
        "by_the_default_rule": answers.count(BY_DEFAULT), "strange": judged.strange, "late": judged.late, "goodput": round(judged.goodput, 3),
        "generator_share_of_a_core": round(answers.share, 2), "normal_after_seconds": after and round(after, 1),
    }  # fmt: skip


def conclude(found: dict[int, Judged], normal: bool, detail: dict[str, Any]) -> Claim:
    """The claim. It cannot tell where no rate was served within ``P99_MS``, or where nearly all was answered at the largest
    multiple of the peak: a busy machine hid the peak, and nothing was overloaded.
    """
    overloaded = bool(found) and found[max(found)].goodput < 0.9 * max(found)
    return Claim(
        name="overload",
        claim=f"at 2 and 5 times peak goodput is at least {GOODPUT:.0%} of it, every 200 within its deadline + {GRACE_MS} ms, "
        f"the rest refused, and all is normal (99 % within {P99_MS:g} ms) within {NORMAL_SECONDS:g} s",
        figure=min((j.goodput for j in found.values()), default=None),
        holds=all(j.holds for j in found.values()) and normal if overloaded else None,
        n=sum(detail[f"{factor}x"]["sent"] for factor in found),
        detail=detail,
    )
