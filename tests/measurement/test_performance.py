"""Expected performance: what was planted comes out, and small cells lean on their group."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from adplatform.contracts.agents import MeasurementAgent
from adplatform.contracts.base import Interval
from adplatform.contracts.errors import AgentUnavailable, InputError
from adplatform.contracts.measurement import PerformanceRequest
from adplatform.contracts.targeting import CreativeAttributes, Segment, SegmentScore
from adplatform.measurement.agent import Measurement
from adplatform.measurement.shrinkage import fatigue_exponent, prior_strength, shrink_means

SEGMENTS = ("runners|18-29", "runners|60+", "cooks|18-29", "cooks|60+")
USERS = 500
DAYS = 11
PRICE = dict(zip(SEGMENTS, (0.002, 0.003, 0.004, 0.005), strict=True))
RATE = {"sports": 0.10, "cooking": 0.04}
VALUE = {"sports": 20.0, "cooking": 60.0}
LIBRARY = [
    CreativeAttributes(creative_id=f"cr{i}", campaign_id=f"c{i % 2}", product_category=("sports", "cooking")[i % 2])
    for i in range(8)
]


def performance(seed: int = 0, impressions: int = 20_000, conversions: bool = True, spend: bool = True) -> pa.Table:
    rng = np.random.default_rng(seed)
    rows = []
    for creative in LIBRARY:
        category = creative.product_category or ""
        for segment in SEGMENTS:
            clicks = int(rng.binomial(impressions, 0.03))
            bought = int(rng.binomial(clicks, RATE[category]))
            rows.append({
                "segment_id": segment, "creative_id": creative.creative_id, "campaign_id": creative.campaign_id,
                "users": USERS, "impressions": impressions, "clicks": clicks,
                "conversions": bought if conversions else None,
                "conversion_value": float(rng.gamma(4, VALUE[category] / 4, bought).sum()) if conversions else None,
                "spend": impressions * PRICE[segment] if spend else None,
            })  # fmt: skip
    schema = pa.schema([
        ("segment_id", pa.string()), ("creative_id", pa.string()), ("campaign_id", pa.string()), ("users", pa.int64()),
        ("impressions", pa.int64()), ("clicks", pa.int64()), ("conversions", pa.int64()),
        ("conversion_value", pa.float64()), ("spend", pa.float64()),
    ])  # fmt: skip
    return pa.Table.from_pylist(rows, schema=schema)


def agent(table: pa.Table | None = None, **more: object) -> Measurement:
    segments = [Segment(segment_id=s, users=USERS) for s in SEGMENTS]
    return Measurement(
        performance() if table is None else table, segments, **{"days": DAYS, "library": LIBRARY, **more}
    )


def request(
    category: str = "sports", creative_id: str = "new", days: int = 14, segments: tuple[str, ...] = SEGMENTS
) -> PerformanceRequest:
    scores = tuple(
        SegmentScore(creative_id=creative_id, segment_id=s, click_rate=0.03, users=USERS, impressions=0,
                     interval=Interval(low=0.025, high=0.036))
        for s in segments
    )  # fmt: skip
    creative = CreativeAttributes(creative_id=creative_id, campaign_id="brief", product_category=category)
    return PerformanceRequest(creatives=(creative,), combinations=scores, flight_days=days)


def test_it_keeps_the_contract_and_answers_in_the_order_asked() -> None:
    ours = agent()
    assert isinstance(ours, MeasurementAgent)
    report = ours.expect(request())
    assert [c.segment_id for c in report.combinations] == list(SEGMENTS)
    assert report.model_version == ours.version


@pytest.mark.parametrize("category", ["sports", "cooking"])
def test_a_new_creative_gets_the_planted_price_conversion_rate_and_value_of_its_category(category: str) -> None:
    for row in agent().expect(request(category)).combinations:
        price = PRICE[row.segment_id]
        assert row.cost_per_mille == pytest.approx(1000 * price, rel=0.01)
        assert row.clicks_per_unit == pytest.approx(0.03 / price, rel=0.01)
        assert row.conversion_rate == pytest.approx(RATE[category], rel=0.12)
        assert row.conversion_value == pytest.approx(VALUE[category], rel=0.1)
        truth = 0.03 / price * RATE[category] * VALUE[category]
        assert row.value_interval is not None
        assert row.value_interval.low < truth < row.value_interval.high
        assert row.value_per_unit == pytest.approx(truth, rel=0.2)


def test_an_unknown_category_gets_the_mean_and_a_wider_interval() -> None:
    known, unknown = (agent().expect(request(c)).combinations[0] for c in ("sports", "fishing"))
    assert known.value_interval is not None
    assert unknown.value_interval is not None
    assert unknown.conversion_rate is not None
    assert min(RATE.values()) < unknown.conversion_rate < max(RATE.values())
    assert (
        unknown.value_interval.high / unknown.value_interval.low
        > 2 * known.value_interval.high / known.value_interval.low
    )


def test_conversion_intervals_hold_the_truth_of_a_cell_in_most_worlds() -> None:
    inside = []
    for seed in range(40):
        for category in RATE:
            row = agent(performance(seed, impressions=2_000)).expect(request(category)).combinations[0]
            assert row.value_interval is not None
            truth = 0.03 / PRICE[row.segment_id] * RATE[category] * VALUE[category]
            inside.append(row.value_interval.low < truth < row.value_interval.high)
    # The click rate is given at its truth, so the interval is on the wide side.
    assert np.mean(inside) > 0.9


def test_data_without_conversions_gives_clicks_and_no_value() -> None:
    row = agent(performance(conversions=False)).expect(request()).combinations[0]
    assert (row.value_per_unit, row.value_interval, row.conversion_rate, row.conversion_value) == (None,) * 4
    assert row.clicks_per_unit > 0


def test_data_without_spend_needs_a_price_and_says_so() -> None:
    with pytest.raises(AgentUnavailable, match="default_cost_per_mille"):
        agent(performance(spend=False)).expect(request())
    row = agent(performance(spend=False), default_cost_per_mille=4.0).expect(request()).combinations[0]
    assert row.cost_per_mille == pytest.approx(4.0)


def test_saturation_is_the_price_of_all_that_is_on_offer_and_grows_with_the_flight() -> None:
    segment = SEGMENTS[0]
    short, long = (agent().expect(request(days=d)).combinations[0] for d in (7, 14))
    per_user_day = 8 * 20_000 / (USERS * DAYS)
    assert short.saturation == pytest.approx(USERS * per_user_day * 7 * PRICE[segment], rel=0.01)
    assert long.saturation == pytest.approx(2 * short.saturation)


def test_fatigue_makes_money_saturate_sooner() -> None:
    fresh, tired = (agent(fatigue=f).expect(request()).combinations[0].saturation for f in (0.0, 0.3))
    assert tired < fresh
    assert agent(fatigue=0.6).expect(request()).combinations[0].saturation < tired


def test_an_unknown_segment_or_an_undescribed_creative_is_named() -> None:
    with pytest.raises(InputError, match="segment nobody"):
        agent().expect(request(segments=("nobody",)))
    asked = request()
    other = asked.model_copy(update={"creatives": (LIBRARY[0],)})
    with pytest.raises(InputError, match=r"combinations\[0\]"):
        agent().expect(other)
    with pytest.raises(InputError, match="has no column spend"):
        agent(performance().drop_columns(["spend"]))
    with pytest.raises(InputError, match="above 0"):
        agent(default_cost_per_mille=0.0)


def test_the_version_changes_with_the_data_and_not_with_its_order() -> None:
    table = performance()
    assert agent(table).version == agent(table.take(list(range(len(table)))[::-1])).version
    assert agent(table).version != agent(performance(seed=1)).version


@pytest.mark.parametrize("strength", [30.0, 300.0])
def test_the_prior_strength_of_planted_beta_rates_is_found(strength: float) -> None:
    rng = np.random.default_rng(2)
    rate = rng.beta(strength * 0.05, strength * 0.95, 3_000)
    n = rng.integers(100, 2_000, 3_000)
    found = prior_strength(rng.binomial(n, rate), n, np.full(3_000, 0.05))
    assert found == pytest.approx(strength, rel=0.15)
    same = prior_strength(rng.binomial(n, 0.05), n, np.full(3_000, 0.05))
    assert same > 5_000


def test_groups_that_do_not_differ_share_their_mean_and_groups_that_do_keep_their_own() -> None:
    rng = np.random.default_rng(4)
    groups = [f"g{i % 5}" for i in range(100)]
    counts = rng.integers(5, 50, 100)
    same = shrink_means(groups, counts, [rng.gamma(4, 5, k).sum() for k in counts])
    apart = shrink_means(groups, counts, [rng.gamma(4, 5 * (1 + i % 5), k).sum() for i, k in enumerate(counts)])
    assert same is not None
    assert apart is not None
    assert max(v.mean for v in same.groups.values()) - min(v.mean for v in same.groups.values()) < 1.5
    for i in range(5):
        assert apart.groups[f"g{i}"].mean == pytest.approx(20 * (1 + i), rel=0.1)
    assert shrink_means(["a"], [0], [0.0]) is None


@pytest.mark.parametrize("truth", [0.0, 0.25, 0.5])
def test_the_fatigue_exponent_is_found(truth: float) -> None:
    exposures = np.arange(30)
    impressions = np.full(30, 20_000)
    clicks = np.random.default_rng(6).binomial(impressions, 0.05 * (1 + exposures) ** -truth)
    assert fatigue_exponent(exposures, impressions, clicks) == pytest.approx(truth, abs=0.03)
    assert fatigue_exponent([3.0], [100], [4]) == 0.0
