import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from adplatform.contracts.errors import InputError
from adplatform.contracts.features import FEATURES
from adplatform.simulator import Faults
from adplatform.simulator.history import impression_ids
from adplatform.simulator.replay import replay
from adplatform.simulator.response import ContextAverage, fatigue_factor


def uniform(contexts, creatives):
    return np.full((contexts.num_rows, len(creatives)), 1 / len(creatives))


def test_true_probabilities_are_calibrated_on_the_markets_own_clicks(log, oracle):
    chance = oracle.click_probability(log["impressions"])
    clicked = np.isin(log["impressions"]["impression_id"].to_pylist(), log["clicks"]["impression_id"].to_pylist())
    for part in np.array_split(np.argsort(chance), 10):
        error = np.sqrt((chance[part] * (1 - chance[part])).sum())
        assert abs(clicked[part].sum() - chance[part].sum()) < 4 * error


def test_true_probabilities_are_calibrated_in_every_placement_position_and_state_of_fatigue(market, oracle):
    pool, exposures, _ = replay(market, Faults())
    rows = pool.rows(np.arange(len(pool.user)))
    chance = oracle.click_probability(pa.table({"impression_id": ids_of(market, pool, rows)}))
    seen = np.minimum(exposures.of(rows["user"], rows["creative"], rows["day"]), 5)
    hidden = ~market.population.consent[pool.user]
    cells = [
        *(pool.placement == k for k in range(4)),
        *(pool.position == k for k in range(4)),
        *(seen == k for k in range(6)),
        hidden,
        pool.test > 0,
    ]
    for cell in cells:
        assert cell.sum() > 1_000
        error = np.sqrt((chance[cell] * (1 - chance[cell])).sum())
        assert abs(pool.clicked[cell].sum() - chance[cell].sum()) < 4 * error


def ids_of(market, pool, rows):
    return impression_ids(market.config, rows["day"], np.arange(len(pool.user)) - pool.first[rows["day"]])


def test_impressions_are_found_by_id_or_by_their_columns_alike(log, oracle):
    rows = log["impressions"].slice(70_000, 2_000)
    by_columns = oracle.click_probability(rows.drop_columns(["impression_id"]))
    assert np.array_equal(oracle.click_probability(rows), by_columns)
    assert np.array_equal(oracle.click_probability(rows.select(["impression_id"])), by_columns)


def test_context_average_is_the_mean_over_simulated_contexts(market):
    world, generator = market.world, np.random.default_rng(0)
    from adplatform.simulator.response import context_effect
    from adplatform.simulator.streams import pick
    from adplatform.simulator.world import WEEKDAY_TRAFFIC

    draws = [
        pick(generator, w, 400_000)
        for w in (world.hour_weight, WEEKDAY_TRAFFIC, world.placement_weight, world.position_weight)
    ]
    for device in (0, 1):
        effect = context_effect(world, np.full(400_000, device), *draws)
        for odds in (-6.0, -3.5, -1.0):
            simulated = 1 / (1 + np.exp(-(odds + effect)))
            error = simulated.std() / np.sqrt(len(simulated))
            assert abs(ContextAverage(world)(np.array(odds), np.array(device)) - simulated.mean()) < 5 * error


@pytest.mark.parametrize("mean", [0.0, 0.03, 0.7, 4.0, 60.0, 900.0])
def test_fatigue_factor_is_the_poisson_mean(mean):
    draws = np.random.default_rng(1).poisson(mean, 400_000)
    assert fatigue_factor(np.array(mean), 0.25) == pytest.approx(((1.0 + draws) ** -0.25).mean(), rel=2e-3)


def test_fatigue_factor_keeps_falling_beyond_its_table():
    assert fatigue_factor(np.array(50_000.0), 0.25) == pytest.approx(50_001.0**-0.25, rel=1e-3)


def test_logging_propensities_add_up_to_one_and_match_the_log(log, oracle, market):
    rows = log["impressions"].filter(pc.is_null(log["impressions"]["experiment_id"]))
    for campaign in ("c01", "c04"):
        own = rows.filter(pc.equal(rows["campaign_id"], campaign))
        names = oracle.creative_ids(campaign)
        chance = oracle.action_probabilities(own, names)
        assert np.allclose(chance.sum(axis=1), 1)
        assert chance.min() > 0.2 / len(names) - 1e-12
        chosen = np.array([names.index(c) for c in own["creative_id"].to_pylist()])
        assert np.allclose(own["propensity"], chance[np.arange(len(chosen)), chosen])
        for k in range(len(names)):
            error = np.sqrt((chance[:, k] * (1 - chance[:, k])).sum())
            assert abs((chosen == k).sum() - chance[:, k].sum()) < 4.5 * error
        weight = 1 / chance[np.arange(len(chosen)), chosen]
        assert abs(weight.mean() - len(names)) < 4 * weight.std() / np.sqrt(len(weight))


def test_without_consent_the_logging_policy_is_the_same_for_everybody(market, oracle):
    contexts = oracle.contexts("c02", 3_000, 1)
    hidden = contexts.filter(pc.is_null(contexts["user_id"]))
    assert np.ptp(oracle.action_probabilities(hidden, oracle.creative_ids("c02")), axis=0).max() == 0
    shown = contexts.filter(pc.is_valid(contexts["user_id"]))
    assert np.ptp(oracle.action_probabilities(shown, oracle.creative_ids("c02")), axis=0).max() > 0.1


def test_experiment_propensity_is_the_designed_share_and_its_arms_show_their_creatives(log, market):
    designs = {r["experiment_id"]: r for r in market.experiments().to_pylist()}
    rows = log["impressions"].filter(pc.is_valid(log["impressions"]["experiment_id"])).to_pylist()
    assert {r["experiment_id"] for r in rows} == {e for e, d in designs.items() if d["kind"] == "creative_ab"}
    for row in rows:
        design = designs[row["experiment_id"]]
        share = design["treatment_share"]
        assert row["creative_id"] == design[f"{row['arm']}_creative_id"]
        assert row["propensity"] == pytest.approx(share if row["arm"] == "treatment" else 1 - share)


def test_policy_value_of_the_logging_policy_is_what_it_brought(market, oracle):
    pool, _, _ = replay(market, Faults())
    for campaign in (0, 3):
        own = (pool.campaign == campaign) & (pool.test == 0)
        value = oracle.policy_value(oracle.action_probabilities, f"c{campaign + 1:02d}")
        error = np.sqrt(value / own.sum())
        assert abs(pool.clicked[own].mean() - value) < 4 * error


def test_inverse_propensity_weighting_of_a_fresh_log_finds_the_value_of_another_policy(oracle):
    log = oracle.draw_log("c01", 60_000, seed=5)
    names = oracle.creative_ids("c01")
    truth = oracle.policy_value(uniform, "c01")
    reward = log["clicked"].to_numpy() / (len(names) * log["propensity"].to_numpy())
    assert abs(reward.mean() - truth) < 4 * reward.std() / np.sqrt(len(reward))


def test_knowing_the_truth_beats_the_logging_policy(oracle):
    def best(contexts, creatives):
        rates = oracle.click_probabilities(contexts, creatives)
        return np.eye(len(creatives))[rates.argmax(axis=1)]

    logged = oracle.policy_value(oracle.action_probabilities, "c01", 5_000, 1)
    assert oracle.policy_value(best, "c01", 5_000, 1) > 1.3 * logged
    assert oracle.policy_value(uniform, "c01", 5_000, 1) < 1.1 * logged


def test_contexts_carry_every_feature_and_hide_the_person_without_consent(market, oracle):
    contexts = oracle.contexts("c03")
    assert set(FEATURES) <= set(contexts.column_names)
    hidden = contexts.filter(pc.is_null(contexts["user_id"]))
    personal = (
        "audience",
        "age_band",
        "region",
        "device",
        "tenure_days",
        "user_clicks_7d",
        "creative_exposures_7d",
        "segment_id",
    )
    for name in personal:
        assert hidden[name].null_count == hidden.num_rows
    assert 0.05 < hidden.num_rows / contexts.num_rows < 0.3


def test_history_features_are_strictly_before_the_day(market, log, oracle):
    contexts = oracle.contexts("c01").to_pandas()
    shown = log["impressions"].select(["user_id", "impression_id", "creative_id", "occurred_at"]).to_pandas()
    shown["day"] = shown.occurred_at.dt.date
    shown["clicked"] = shown.impression_id.isin(set(log["clicks"]["impression_id"].to_pylist()))
    known = contexts[contexts.user_id.notna() & (contexts.user_impressions_7d > 0)].sample(60, random_state=0)
    for row in known.itertuples():
        own = shown[(shown.user_id == row.user_id) & (shown.day < row.event_day)]
        week = own[[(row.event_day - d).days <= 7 for d in own.day]]
        assert row.user_impressions_7d == len(week)
        assert row.user_clicks_28d == own.clicked.sum()
        assert row.creative_exposures_7d == (week.creative_id == row.creative_id).sum()


def test_exposures_come_as_the_mart_has_them(oracle):
    contexts = oracle.contexts("c01", 2_000, 3)
    names = oracle.creative_ids("c01")
    table = oracle.exposures(contexts, names)
    assert table.column_names == ["user_id", "creative_id", "feature_day", "creative_exposures_7d"]
    assert pc.min(table["creative_exposures_7d"]).as_py() == 1
    found = dict(
        zip(
            zip(*(table[n].to_pylist() for n in table.column_names[:3]), strict=True),
            table["creative_exposures_7d"].to_pylist(),
            strict=True,
        )
    )
    for row in (
        contexts.select(["user_id", "creative_id", "event_day", "creative_exposures_7d"]).slice(0, 500).to_pylist()
    ):
        if row["user_id"] is not None:
            assert found.get((row["user_id"], row["creative_id"], row["event_day"]), 0) == row["creative_exposures_7d"]


@pytest.mark.parametrize(
    "answer", [lambda n, k: np.ones((n, k)), lambda n, k: np.full((n, k), np.nan), lambda n, k: np.ones(n)]
)
def test_a_policy_that_answers_nonsense_is_an_input_error(oracle, answer):
    with pytest.raises(InputError, match="policy"):
        oracle.policy_value(lambda c, names: answer(c.num_rows, len(names)), "c01", 100)


def test_ids_of_another_market_are_input_errors(oracle):
    with pytest.raises(InputError, match="impression"):
        oracle.click_probability(pa.table({"impression_id": ["i203001010000001"]}))
    with pytest.raises(InputError, match="campaign"):
        oracle.creative_ids("c99")
    with pytest.raises(InputError, match="not a creative"):
        oracle.click_probabilities(oracle.contexts("c01", 3), ["cr999"])
    with pytest.raises(InputError, match="several campaigns"):
        oracle.action_probabilities(oracle.contexts("c01", 3), ["cr001", "cr030"])
