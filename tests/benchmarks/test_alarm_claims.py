"""How drift and poison are judged: days of one run count for fewer, and nothing that was let in goes unseen."""

from __future__ import annotations

import pytest

from benchmarks.drift_claim import _false_alarms, _spread
from benchmarks.drift_runs import Outcome
from benchmarks.poison_claim import JUDGED_ON, VALUED_ON, Judged, World, conclude

DAYS = 300


def years(alarmed: list[int]) -> list[Outcome]:
    days = [[["x"]] * k + [[]] * (DAYS - k) for k in alarmed]
    return [Outcome(10_000, "raw", found, []) for found in days]


def test_alarms_that_come_together_count_for_more() -> None:
    even, uneven = [1, 2, 1, 2, 1, 2, 1, 2, 1, 2], [0, 0, 0, 0, 0, 0, 0, 0, 0, 15]
    assert _spread(even, [DAYS] * 10) == 1.0
    assert _spread(uneven, [DAYS] * 10) == pytest.approx(15.1, abs=0.1)
    found = {name: _false_alarms(years(runs), (10_000, "raw"), True) for name, runs in (("even", even), ("un", uneven))}
    assert found["even"]["alarmed"] == found["un"]["alarmed"] == 15
    assert found["even"]["holds"] is True
    assert found["un"]["holds"] is False


def trial(place: str = JUDGED_ON, promoted: bool = False, named: bool = True) -> Judged:
    return Judged(1, 0.05, place, promoted, named, True, "reason")


def test_poison_holds_only_where_nothing_poisoned_and_everything_clean_gets_in() -> None:
    well = World([trial(), trial(VALUED_ON)], True, True)
    assert conclude([well]).holds is True
    for bad in (
        World([trial(promoted=True)], True, True),
        World([trial(VALUED_ON, promoted=True)], True, True),
        World([trial(named=False)], True, True),
        World([trial()], False, True),
        World([trial()], True, False),
        World([], True, True),
    ):
        assert conclude([bad]).holds is False
