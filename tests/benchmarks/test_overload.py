"""How overload and soak are judged: what does nothing, answers late, or leaks, does not hold."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.generator import BY_DEFAULT, DEFAULT_RULE, LOST, Answers, Load
from benchmarks.overload import DEADLINE_MS, GRACE_MS, NORMAL_SECONDS, back_to_normal, conclude, judge
from benchmarks.soak import Growth, Sample, growth
from benchmarks.soak import conclude as concluded
from benchmarks.stand import Stand, bisected, fine
from bentos.gateway.deciding import UNIFORM

PEAK = 500.0


def answers(status: list[int], milliseconds: float = 10.0, unanswered: int = 0) -> Answers:
    """Ten seconds at five times peak; the statuses repeat."""
    due = np.arange(0, 10, 1 / (5 * PEAK))
    repeated = np.resize(np.array(status), len(due))
    return Answers(np.zeros(len(due)), due, due, due + milliseconds / 1000, repeated, 0.0, 10.0, 0.1, unanswered)


@pytest.mark.parametrize(
    ("status", "milliseconds", "unanswered", "holds"),
    [
        ([200, 503, 503, 503, 503], 10, 0, True),
        ([200, 503, 503, 429, 503], DEADLINE_MS + GRACE_MS - 1, 0, True),
        ([503], 1, 0, False),  # refuses everything
        ([200], DEADLINE_MS + GRACE_MS + 1, 0, False),  # answers everything, too late
        ([200, 503, 503, 503, 503, 503, 503], 10, 0, False),  # answers too little
        ([200, 503, 500, 503, 503], 10, 0, False),  # fails
        ([200, 503, LOST, 503, 503], 10, 0, False),  # hangs up
        ([BY_DEFAULT, 503, 503, 503, 503], 10, 0, False),  # lets the default rule choose
        ([200, 503, 503, 503, 503], 10, 7, False),  # leaves clients waiting
    ],
)
def test_overload_holds_only_where_enough_is_answered_in_time_and_the_rest_refused(
    status: list[int], milliseconds: float, unanswered: int, holds: bool
) -> None:
    found = answers(status, milliseconds, unanswered)
    judged = judge(found, PEAK, len(found.status))
    assert judged.holds is holds
    detail = {"2x": {"sent": 1}, "5x": {"sent": 1}}
    assert conclude({2: judged, 5: judged}, True, detail).holds is holds
    assert conclude({2: judged, 5: judged}, False, detail).holds is False
    assert conclude({}, True, {}).holds is None


def test_what_was_never_overloaded_cannot_tell() -> None:
    judged, half = (judge(answers(status), PEAK, 100_000) for status in ([200], [200, 503]))
    assert judged.goodput == pytest.approx(5, rel=0.01)
    detail = {"2x": {"sent": 1}, "5x": {"sent": 1}}
    assert conclude({5: judged}, True, detail).holds is None
    assert conclude({2: half, 5: judged}, True, detail).holds is None
    assert conclude({2: judged, 5: half}, True, detail).holds is True


class Probes:
    """A generator whose loads begin at these seconds by ``time.perf_counter`` and are refused or served."""

    def __init__(self, *answered: tuple[float, list[int]]) -> None:
        self.answered = list(answered)

    def send(self, load: Load) -> Answers:
        assert (load.rate, load.seconds) == (PEAK / 2, 1.0)
        start, status = self.answered.pop(0)
        return answers(status)._replace(start=start)


@pytest.mark.parametrize(
    ("ago", "starts", "after"),
    [
        (0.0, [(0.1, [200])], 0.1),
        (0.0, [(0.1, [503]), (1.2, [BY_DEFAULT]), (2.5, [200])], 2.5),
        (3.0, [(3.1, [200])], 3.1),  # waiting for stragglers counts
        (3.0, [(NORMAL_SECONDS + 0.1, [200])], None),  # began too late
        (NORMAL_SECONDS + 1, [], None),
    ],
)
def test_it_is_back_to_normal_when_a_good_second_begins_after_the_last_request_was_due(
    ago: float, starts: list[tuple[float, list[int]]], after: float | None
) -> None:
    overload = answers([503])
    last = time.perf_counter() - ago
    overload = overload._replace(start=last - overload.due.max())
    probes = Probes(*((last + at, status) for at, status in starts))
    on = Stand(Path("home"), "key", [], [], probes)  # type: ignore[arg-type]
    assert back_to_normal(on, 1, [b""], PEAK / 2, overload) == (after and pytest.approx(after, abs=1e-6))
    assert not probes.answered


def test_an_answer_that_the_log_does_not_have_is_strange() -> None:
    found = answers([200, 503, 503, 503, 503])
    assert judge(found, PEAK, found.count(200)).holds is True
    assert judge(found, PEAK, found.count(200) - 1).strange == 1


def test_the_default_rule_is_known_by_its_version() -> None:
    assert f'"policy_version":"{UNIFORM}"'.encode() == DEFAULT_RULE


def test_the_peak_is_the_highest_rate_that_holds() -> None:
    assert bisected(lambda rate: rate <= 300, 1000) == pytest.approx(300, abs=1000 / 2**6)
    assert bisected(lambda rate: False, 1000) == 0
    assert not fine(answers([200] * 9 + [503]))
    assert not fine(answers([200] * 9 + [BY_DEFAULT]))
    assert not fine(answers([200], 18))
    assert fine(answers([200], 16))


def watched(bytes_each: float, noise: float = 300_000, handles_each: float = 0.0) -> list[Sample]:
    """A minute at 500 requests a second of a process of 400 MB."""
    rng = np.random.default_rng(1)
    times = np.arange(0, 60, 0.5)
    return [
        Sample(t, int(400e6 + bytes_each * 500 * t + rng.normal(0, noise)), {1: int(50 + handles_each * 500 * t)})
        for t in times
    ]


def grown(bytes_each: float = 0, refused: int = 0, failed: int = 0, **of: float) -> Growth:
    return growth(watched(bytes_each, **of), 500, refused, failed)


def test_memory_is_flat_only_where_it_does_not_grow_with_requests() -> None:
    assert grown().flat(128) is True
    assert grown(1024).flat(128) is False
    assert grown(noise=50e6).flat(128) is None
    assert grown(handles_each=0.001).flat(128) is False


def test_what_fails_or_refuses_more_than_a_stall_explains_is_not_flat() -> None:
    assert grown(failed=1).flat(128) is False
    most = grown().requests // 1000
    assert grown(refused=most).flat(128) is True
    assert grown(refused=most + 1).flat(128) is False


def test_a_soak_that_does_not_see_the_planted_leak_cannot_tell() -> None:
    flat, leaky = grown(), grown(1024, handles_each=0.001)
    assert concluded(flat, leaky, 500, 60, 128).holds is True
    for not_seen in (flat, grown(1024), grown(handles_each=0.001)):
        assert concluded(flat, not_seen, 500, 60, 128).holds is None
    assert concluded(leaky, leaky, 500, 60, 128).holds is False
    assert concluded(flat, grown(failed=9), 500, 60, 128).holds is None
