from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adplatform.contracts.errors import InputError
from adplatform.stats.calibration import gap_closed, log_loss, observed_over_expected
from adplatform.targeting.bandit import expected_rewards
from adplatform.targeting.baseline import BaseRateModel
from adplatform.targeting.calibration import Platt, logit, sigmoid
from adplatform.targeting.features import chronological_split, last_day, numbers
from adplatform.targeting.response import ResponseModel, load_response
from adplatform.targeting.verdicts import calibration_slope
from tests.targeting.conftest import Fitted
from tests.targeting.world import World, creatives, examples, truth


def test_the_model_finds_most_of_what_can_be_known(fitted: Fitted) -> None:
    p = fitted.model.predict(fitted.held_out)
    constant = np.full(len(p), fitted.truth.mean())
    losses = (log_loss(p, fitted.truth), log_loss(constant, fitted.truth), log_loss(fitted.truth, fitted.truth))
    assert gap_closed(*losses) > 0.7
    base = BaseRateModel.fit(fitted.train).predict(fitted.held_out)
    assert gap_closed(log_loss(base, fitted.truth), *losses[1:]) < 0.4


def test_its_probabilities_come_true_on_later_days(fitted: Fitted) -> None:
    p = fitted.model.predict(fitted.held_out)
    assert 0.85 < observed_over_expected(p, fitted.truth) < 1.15
    assert 0.8 < calibration_slope(p, fitted.truth)[0] < 1.25


def test_a_creative_never_seen_is_judged_by_its_tone_and_appeal(fitted: Fitted) -> None:
    new = [a.model_copy(update={"creative_id": f"new{i}"}) for i, a in enumerate(fitted.ads)]
    rows = fitted.held_out.slice(0, 1500)
    expected = truth(fitted.world, rows, fitted.ads)
    found = expected_rewards(fitted.model, rows, new)
    assert np.corrcoef(logit(found).ravel(), logit(expected).ravel())[0, 1] > 0.75


def test_the_last_days_grow_no_tree(fitted: Fitted) -> None:
    assert fitted.model.trained_through == last_day(fitted.train)
    assert fitted.model.fitted_through < fitted.model.trained_through


def test_same_data_and_seed_give_the_same_model_on_any_number_of_threads() -> None:
    table, _ = examples(World.make(3), creatives(), seed=3, rows=4000)
    one, two = (ResponseModel.fit(table, seed=5, threads=t, parameters={"num_leaves": 4}) for t in (1, 2))
    assert one.version == two.version
    assert np.array_equal(one.predict(table), two.predict(table))


@pytest.mark.parametrize("kind", ["lightgbm", "base_rate"])
def test_a_model_read_back_answers_the_same_and_holds_no_code(fitted: Fitted, kind: str, tmp_path: Path) -> None:
    model = fitted.model if kind == "lightgbm" else BaseRateModel.fit(fitted.train)
    model.save(tmp_path)
    again = load_response(tmp_path)
    assert again.version == model.version
    assert again.trained_through == model.trained_through
    assert np.array_equal(again.predict(fitted.held_out), model.predict(fitted.held_out))
    assert {p.suffix for p in tmp_path.iterdir()} <= {".txt", ".json"}


def test_one_row_is_answered_as_in_a_batch(fitted: Fitted) -> None:
    batch = fitted.model.predict(fitted.held_out)
    for i in (0, 17, 400):
        assert fitted.model.predict(fitted.held_out.slice(i, 1))[0] == batch[i]


def test_without_enough_clicks_or_days_it_says_what_it_needs() -> None:
    table, _ = examples(World.make(3), creatives(), seed=3, rows=100)
    with pytest.raises(InputError, match="20 clicks"):
        ResponseModel.fit(table, seed=1)
    with pytest.raises(InputError, match="at least 2 days"):
        ResponseModel.fit(chronological_split(examples(World.make(3), creatives(), seed=3, rows=9000)[0], 1)[1], seed=1)


def test_a_base_rate_knows_place_and_creative_and_nothing_of_the_user(fitted: Fitted) -> None:
    model = BaseRateModel.fit(fitted.train)
    p = model.predict(fitted.held_out)
    assert abs(p.mean() / numbers(fitted.train["clicked"]).mean() - 1) < 0.02
    strangers = fitted.held_out.drop_columns(["audience"])
    assert np.array_equal(model.predict(strangers), p)


@pytest.mark.parametrize(("slope", "intercept"), [(0.6, -0.3), (1.0, 0.0), (1.4, 0.5)])
def test_platt_finds_a_planted_distortion(slope: float, intercept: float) -> None:
    rng = np.random.default_rng(4)
    scores = rng.normal(-2, 1.2, 60_000)
    found = Platt.fit(scores, (rng.random(60_000) < sigmoid(slope * scores + intercept)).astype(float))
    assert abs(found.slope - slope) < 0.06
    assert abs(found.intercept - intercept) < 0.12


def test_platt_leaves_scores_alone_when_there_is_next_to_nothing_to_learn_from() -> None:
    found = Platt.fit(np.array([-3.0, -2.0, -2.5]), np.array([0.0, 0.0, 1.0]))
    assert abs(found.slope - 1) < 0.3
