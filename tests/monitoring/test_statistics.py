"""Codes and sums."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from adplatform.monitoring.statistics import (
    BANDS,
    EXPOSURE_EDGES,
    LARGEST_WEIGHT,
    POPULATION,
    Scored,
    bands,
    calibration_tables,
)

MARTS = Path(__file__).resolve().parents[2] / "dbt_project" / "models" / "marts"


def test_bands_are_those_of_the_mart() -> None:
    assert bands(np.array([0, 1, 2, 3, 5, 6, 11, 12, 500, np.nan])).tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4, BANDS - 1]
    sql = (MARTS / "reward_statistics_daily.sql").read_text()
    assert tuple(map(int, re.findall(r"creative_exposures_7d < (\d+)", sql))) == EXPOSURE_EDGES
    assert float(re.search(r"largest_weight = (\d+)", sql).group(1)) == LARGEST_WEIGHT


def test_the_mart_counts_the_features_that_are_judged() -> None:
    sql = (MARTS / "drift_statistics_daily.sql").read_text()
    assert tuple(re.findall(r"^    '(\w+)': ", sql, flags=re.M)) == POPULATION


def test_equal_rows_as_one_give_the_tables_of_the_rows() -> None:
    rng = np.random.default_rng(1)
    codes = [rng.integers(0, k, 50) for k in (3, 2, 6, 2, 4, 24)]
    p, times = rng.uniform(0.01, 0.2, 50), rng.integers(1, 5, 50)
    clicked = rng.binomial(times, p)
    few = calibration_tables(Scored(*codes, p, clicked.astype(float), times.astype(float)), 3, 2)
    each = np.repeat(np.arange(50), times)
    nth = np.concatenate([np.arange(t) for t in times])
    rows = Scored(*(c[each] for c in codes), p[each], (nth < clicked[each]).astype(float), np.ones(len(each)))
    many = calibration_tables(rows, 3, 2)
    for name, table in few.items():
        np.testing.assert_allclose(table, many[name], atol=1e-9)
    for name in ("exposure", "score", "audience"):
        assert few[f"clicks_by_{name}"].sum() == clicked.sum()
        np.testing.assert_allclose(few[f"predicted_by_{name}"].sum(), (p * times).sum())
