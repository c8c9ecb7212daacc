from __future__ import annotations

import numpy as np
import pytest

from adplatform.contracts.features import FEATURES
from adplatform.targeting.calibration import sigmoid
from adplatform.targeting.effects import CROSSES, CrossEffects

AUDIENCE, TONE, POSITION, CREATIVE = (FEATURES.index(n) for n in ("audience", "tone", "position", "creative_id"))


def world(seed: int, rows: int, taste: float, base: float = -2.5) -> tuple[np.ndarray, np.ndarray]:
    """Encoded rows and their true log-odds: position, and a taste of each of 8 audiences for each of 4 tones."""
    rng = np.random.default_rng(seed)
    matrix = np.full((rows, len(FEATURES)), np.nan)
    matrix[:, AUDIENCE], matrix[:, TONE] = rng.integers(0, 8, rows), rng.integers(0, 4, rows)
    matrix[:, POSITION], matrix[:, CREATIVE] = rng.integers(1, 5, rows), rng.integers(0, 20, rows)
    tastes = rng.normal(0, taste, (8, 4))
    audience, tone = matrix[:, AUDIENCE].astype(int), matrix[:, TONE].astype(int)
    return matrix, base - 0.4 * matrix[:, POSITION] + tastes[audience, tone]


def test_planted_tastes_are_found() -> None:
    matrix, odds = world(1, 60_000, taste=0.8)
    labels = (np.random.default_rng(2).random(len(odds)) < sigmoid(odds)).astype(float)
    found = CrossEffects.fit(matrix, labels).score(matrix)
    assert np.corrcoef(found, odds)[0, 1] > 0.97
    assert np.polyfit(found, odds, 1)[0] == pytest.approx(1, abs=0.1)


def test_where_there_is_no_taste_the_cross_is_shrunk_to_nothing() -> None:
    matrix, odds = world(3, 60_000, taste=0.0)
    labels = (np.random.default_rng(4).random(len(odds)) < sigmoid(odds)).astype(float)
    model = CrossEffects.fit(matrix, labels)
    cross = model.effects[CROSSES.index(("audience", "tone"))]
    assert np.abs(cross).max() < 0.15
    assert model.variances[CROSSES.index(("audience", "tone"))] < 0.03


def test_strong_effects_on_many_rows_do_not_diverge() -> None:
    """Five million rows once did: a linearisation at the mean rate overshoots a cell ten times as likely."""
    matrix, odds = world(5, 300_000, taste=1.6, base=-3.5)
    labels = (np.random.default_rng(6).random(len(odds)) < sigmoid(odds)).astype(float)
    found = CrossEffects.fit(matrix, labels).score(matrix)
    assert np.average(np.abs(found - odds), weights=sigmoid(odds)) < 0.1


def test_an_unknown_creative_adds_nothing_and_a_missing_audience_is_a_category() -> None:
    matrix, odds = world(7, 20_000, taste=0.8)
    matrix[:5000, AUDIENCE] = np.nan
    odds[:5000] += 1.5
    labels = (np.random.default_rng(8).random(len(odds)) < sigmoid(odds)).astype(float)
    model = CrossEffects.fit(matrix, labels)
    assert model.score(matrix[:5000]).mean() - model.score(matrix[5000:]).mean() > 0.8
    new, unheard = matrix[:100].copy(), matrix[:100].copy()
    new[:, CREATIVE], unheard[:, CREATIVE] = np.nan, 999
    assert np.array_equal(model.score(new), model.score(unheard))
    assert model.creative_variance < 0.5


def test_effects_read_back_score_the_same_bytes() -> None:
    matrix, odds = world(9, 5_000, taste=0.5)
    model = CrossEffects.fit(matrix, (odds > np.median(odds)).astype(float))
    again = CrossEffects.loads(model.dumps())
    assert np.array_equal(again.score(matrix), model.score(matrix))
    assert again.dumps() == model.dumps()


def test_a_row_scores_the_same_bits_alone_and_among_others() -> None:
    """numpy adds a single column pairwise where it adds several one after the other."""
    matrix, odds = world(9, 300, taste=0.8)
    model = CrossEffects.fit(matrix, (odds > np.median(odds)).astype(float))
    assert np.array_equal(model.score(matrix), [model.score(row[None])[0] for row in matrix])
