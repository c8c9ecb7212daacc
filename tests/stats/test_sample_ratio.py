"""The sample-ratio check against published figures and real experiments."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from adplatform.contracts.errors import InputError
from adplatform.stats.sample_ratio import p_value


def arms(path: Path, column: str) -> list[int]:
    with path.open(newline="") as file:
        return list(Counter(row[column] for row in csv.DictReader(file)).values())


def test_hillstroms_three_arms_are_fair(shared_data: Callable[[str], Path]) -> None:
    counts = arms(shared_data("hillstrom") / "hillstrom_email_data.csv", "segment")
    assert sum(counts) == 64_000
    assert p_value(counts) == pytest.approx(0.904, abs=5e-4)


def test_cookie_cats_split_is_doubtful(shared_data: Callable[[str], Path]) -> None:
    counts = arms(shared_data("cookie_cats") / "cookie_cats.csv", "version")
    assert sum(counts) == 90_189
    assert p_value(counts) == pytest.approx(0.0086, abs=5e-5)


def test_published_ratios(shared_data: Callable[[str], Path]) -> None:
    landmarks = json.loads((shared_data("landmarks") / "landmarks.json").read_text())
    for case in landmarks["srm_chi_square_equal_split"]:
        assert p_value(case["n"]) == pytest.approx(case["p"], rel=1e-3)


def test_kohavis_book_example() -> None:
    """Kohavi, Tang and Xu 2020, chapter 21: 821,588 against 815,482, p 1.8e-6."""
    assert p_value([821_588, 815_482]) == pytest.approx(1.8e-6, rel=0.02)


def test_a_designed_share_is_respected() -> None:
    assert p_value([1000, 9000], [0.1, 0.9]) == pytest.approx(1.0)
    assert p_value([1000, 9000], [0.5, 0.5]) < 1e-300
    assert p_value([1000, 9000], [1, 9]) == pytest.approx(1.0)


def test_fair_splits_have_uniform_p() -> None:
    rng = np.random.default_rng(0)
    p = np.array([p_value([k, 50_000 - k]) for k in rng.binomial(50_000, 0.5, 2000)])
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.013)


def test_nobody_assigned_yet_is_no_mismatch() -> None:
    assert p_value([0, 0]) == 1.0


@pytest.mark.parametrize(("counts", "shares"), [([5], None), ([5, -1], None), ([5, 5], [1.0]), ([5, 5], [0.0, 1.0])])
def test_impossible_arms_are_refused(counts: list[int], shares: list[float] | None) -> None:
    with pytest.raises(InputError):
        p_value(counts, shares)
