from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from adplatform.contracts.errors import InputError
from adplatform.targeting.baseline import BaseRateModel
from adplatform.targeting.calibration import logit, sigmoid
from adplatform.targeting.verdicts import calibration_slope, response_verdict, row_loss
from tests.targeting.conftest import Fitted


class Known:
    """The truth of the held-out rows, distorted on purpose."""

    trained_through = date(2026, 1, 1)
    fitted_through = None

    def __init__(self, truth: np.ndarray, slope: float = 1.0, shift: float = 0.0) -> None:
        self.p, self.version = (
            sigmoid(slope * (logit(truth) - logit(truth).mean()) + logit(truth).mean() + shift),
            f"{slope}{shift}",
        )

    def predict(self, table: pa.Table) -> np.ndarray:
        return self.p[: table.num_rows]

    def save(self, directory: object) -> None:
        raise NotImplementedError


def test_a_better_calibrated_model_is_promoted_over_the_base_rate(fitted: Fitted) -> None:
    verdict = response_verdict(fitted.held_out, fitted.model, BaseRateModel.fit(fitted.train))
    assert verdict.passed, verdict.reason


def test_a_worse_model_is_not_promoted(fitted: Fitted) -> None:
    verdict = response_verdict(fitted.held_out, BaseRateModel.fit(fitted.train), fitted.model)
    assert not verdict.passed
    assert "log loss" in verdict.reason


def test_the_same_model_again_is_not_promoted(fitted: Fitted) -> None:
    assert not response_verdict(fitted.held_out, fitted.model, fitted.model).passed


def test_an_equal_model_of_another_name_is_not_promoted(fitted: Fitted) -> None:
    rng = np.random.default_rng(3)
    noisy = Known(fitted.truth)
    noisy.p, noisy.version = sigmoid(logit(fitted.truth) + rng.normal(0, 0.02, len(fitted.truth))), "noisy"
    assert not response_verdict(fitted.held_out, noisy, Known(fitted.truth)).passed


@pytest.mark.parametrize(
    ("slope", "shift", "rule"),
    [
        (1.0, -0.5, "observed over expected"),
        (1.0, 0.5, "observed over expected"),
        (0.4, 0.0, "slope"),
        (2.2, 0.0, "slope"),
    ],
)
def test_a_model_that_orders_well_but_says_wrong_rates_is_not_promoted(
    fitted: Fitted, slope: float, shift: float, rule: str
) -> None:
    rate = Known(np.full(len(fitted.truth), 0.3))
    verdict = response_verdict(fitted.held_out, Known(fitted.truth, slope, shift), rate)
    assert any(rule in c.rule for c in verdict.checks if not c.passed)


def test_the_truth_passes_every_check(fitted: Fitted) -> None:
    assert response_verdict(fitted.held_out, Known(fitted.truth), BaseRateModel.fit(fitted.train)).passed


def test_too_few_clicks_cannot_tell_and_say_how_many_impressions_it_needs(fitted: Fitted) -> None:
    verdict = response_verdict(fitted.held_out.slice(0, 400), fitted.model, BaseRateModel.fit(fitted.train))
    assert not verdict.passed
    assert [c.figure for c in verdict.checks[1:]] == [None, None, None]
    assert "cannot tell" in verdict.reason


def test_days_that_were_trained_on_judge_nothing(fitted: Fitted) -> None:
    with pytest.raises(InputError, match="earlier days"):
        response_verdict(fitted.train, fitted.model, BaseRateModel.fit(fitted.train))
    with pytest.raises(InputError, match="there are none"):
        response_verdict(fitted.train.slice(0, 0), fitted.model, BaseRateModel.fit(fitted.train))


@pytest.mark.parametrize("slope", [0.5, 1.0, 2.0])
def test_the_calibration_slope_finds_a_planted_one(slope: float) -> None:
    rng = np.random.default_rng(6)
    score = rng.normal(-1, 1, 50_000)
    labels = (rng.random(50_000) < sigmoid(slope * score)).astype(float)
    found, error = calibration_slope(sigmoid(score), labels)
    assert found == pytest.approx(slope, abs=4 * error)
    assert 0 < error < 0.03


def test_a_constant_has_no_slope() -> None:
    assert calibration_slope(np.full(10, 0.3), np.zeros(10)) == (0.0, 0.0)


def test_the_loss_of_a_row_is_its_surprise() -> None:
    assert row_loss(np.array([0.25, 0.25]), np.array([1.0, 0.0])) == pytest.approx(-np.log([0.25, 0.75]))
