"""Labels of a single day that contradict every other day hold a challenger back; a change that lasts does not."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from adplatform.targeting.labels import label_check

FIRST = date(2026, 3, 2)


class Flat:
    """A champion that expects 3 % everywhere."""

    def predict(self, table: pa.Table) -> np.ndarray:
        return np.full(table.num_rows, 0.03)


def log(rates: list[float], rows: int = 4000, matured: int | None = None) -> pa.Table:
    rng = np.random.default_rng(1)
    day = np.repeat(np.arange(len(rates)), rows)
    return pa.table(
        {
            "event_day": pa.array([FIRST + timedelta(days=int(d)) for d in day], pa.date32()),
            "clicked": (rng.random(len(day)) < np.array(rates)[day]).astype(np.int64),
            "is_matured": day < (len(rates) if matured is None else matured),
        }
    )


@pytest.mark.parametrize("flipped", [0.05, 0.2, 1.0])
@pytest.mark.parametrize("day", [0, 4, 9])
def test_a_day_of_flipped_labels_fails_and_is_named(flipped: float, day: int) -> None:
    rates = [0.03] * 10
    rates[day] = 0.03 * (1 - flipped) + 0.97 * flipped
    check = label_check(log(rates), Flat())
    assert not check.passed
    assert (FIRST + timedelta(days=day)).isoformat() in check.reason


def test_a_weekly_cycle_and_a_level_that_the_champion_misses_pass() -> None:
    assert label_check(log([0.03, 0.03, 0.032, 0.03, 0.035, 0.037, 0.036] * 2), Flat()).passed
    assert label_check(log([0.09] * 10), Flat()).passed


def test_a_change_that_lasts_is_the_market_and_passes() -> None:
    assert label_check(log([0.03] * 8 + [0.06] * 3), Flat()).passed
    assert not label_check(log([0.03] * 8 + [0.06]), Flat()).passed


def test_clicks_that_have_not_come_in_yet_are_no_fault() -> None:
    assert label_check(log([0.03] * 9 + [0.004], matured=9), Flat()).passed
    assert not label_check(log([0.03] * 9 + [0.004]), Flat()).passed


def test_days_of_a_few_clicks_are_not_called_wrong() -> None:
    assert label_check(log([0.03] * 9 + [0.06], rows=100), Flat()).passed
