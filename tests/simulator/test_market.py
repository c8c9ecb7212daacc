import hashlib
from collections import Counter
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from adplatform.contracts.errors import InputError
from adplatform.contracts.tables import TABLES
from adplatform.simulator import Faults, Market, MarketConfig
from adplatform.simulator.arrow import numbers_of, schema
from adplatform.simulator.replay import replay

ENTITIES = ("users", "campaigns", "creatives_library", "experiments", "assignments")


def small_world(**overrides):
    return Market(
        MarketConfig.at_scale("tiny", **{"seed": 3, "users": 300, "impressions": 8_000, "days": 5, **overrides})
    )


def digest(directory):
    return {
        p.relative_to(directory): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(directory.rglob("*.parquet"))
    }


def tables_of(market, log):
    return {**{name: getattr(market, name)() for name in ENTITIES}, **log}


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        small_world(seed=seed).write(tmp_path / name)
    first, again, other = (digest(tmp_path / n) for n in "abc")
    assert first == again
    assert len(first) == 5 + 3 * 5
    assert all(first[k] != other[k] for k in first)


def test_reading_the_market_twice_gives_the_same_days():
    market = small_world()
    assert [d.impressions for d in market.days()] == [d.impressions for d in market.days()]


def test_tables_keep_the_landing_contract(market, log):
    tables = tables_of(market, log)
    for name, table in tables.items():
        assert table.schema == schema(name)
        for column in TABLES[name].columns:
            values = table[column.name]
            assert column.nullable or values.null_count == 0, (name, column.name)
            if column.low is not None:
                assert pc.min(values).as_py() >= column.low
            if column.high is not None:
                assert pc.max(values).as_py() <= column.high
            if column.choices:
                assert set(values.drop_null().unique().to_pylist()) <= set(column.choices)
            if column.references:
                other, key = column.references.split(".")
                assert set(values.drop_null().unique().to_pylist()) <= set(tables[other][key].to_pylist())
        assert pc.count_distinct(table[TABLES[name].key]).as_py() == table.num_rows


def test_days_hold_only_their_own_events(market):
    for day in market.days():
        for name in ("impressions", "clicks", "conversions"):
            dates = set(getattr(day, name)["occurred_at"].cast(pa.date32()).unique().to_pylist())
            assert dates == {day.date}, name


def test_scale_click_rate_and_price_are_as_promised(market, log):
    shown = log["impressions"].num_rows
    assert shown == pytest.approx(150_000, rel=0.05)
    assert log["clicks"].num_rows / shown == pytest.approx(0.03, rel=0.12)
    assert 0.002 < pc.mean(log["impressions"]["price"]).as_py() < 0.01
    assert market.users().num_rows == 2_000
    assert pc.mean(market.users()["consent"].cast(pa.int8())).as_py() == pytest.approx(0.85, abs=0.03)


def test_a_tiny_market_has_six_campaigns_six_to_eight_creatives_each_and_a_dozen_experiments(market):
    counts = Counter(market.creatives_library()["campaign_id"].to_pylist())
    assert len(counts) == 6
    assert set(counts.values()) <= {6, 7, 8}
    kinds = Counter(market.experiments()["kind"].to_pylist())
    assert kinds == {"holdout": 6, "creative_ab": 12}
    assert len(set(market.campaigns()["timezone"].to_pylist())) == 6


def test_a_third_of_the_variance_of_taste_is_personal():
    population = Market(MarketConfig.at_scale("tiny", seed=5, users=40_000)).population
    shares = []
    for column in range(8):
        within = population.taste[:, column] - population.group_mean[population.group, column]
        shares.append((within.var(), population.group_mean[:, column].var()))
    personal, between = np.sum(shares, axis=0)
    assert personal / (personal + between) == pytest.approx(1 / 3, abs=0.12)


def test_no_campaign_spends_more_than_its_budget_on_a_day_of_its_own_zone(market, log):
    campaigns = market.campaigns().to_pylist()
    shown = log["impressions"].select(["campaign_id", "occurred_at", "price"]).to_pandas()
    tight = 0
    for row in campaigns:
        own = shown[shown.campaign_id == row["campaign_id"]]
        days = own.occurred_at.dt.tz_convert(row["timezone"]).dt.date
        spent = own.price.groupby(days).sum()
        assert (spent <= row["daily_budget"] + 1e-6).all()
        assert days.min() >= row["starts_on"]
        assert days.max() <= row["ends_on"]
        tight += int((spent > 0.85 * row["daily_budget"]).sum())
    assert tight > 0


def test_budget_is_cut_when_it_is_spent():
    market = small_world()
    market.traffic.budget[:] = 0.05
    shown = pa.concat_tables([d.impressions for d in market.days()]).to_pandas()
    zones = {r["campaign_id"]: r["timezone"] for r in market.campaigns().to_pylist()}
    local = [t.tz_convert(zones[c]).date() for t, c in zip(shown.occurred_at, shown.campaign_id, strict=True)]
    spent = shown.price.groupby([shown.campaign_id, local]).sum()
    assert spent.max() <= 0.05 + 1e-9
    assert spent.max() > 0.04


def test_an_american_budget_day_has_23_hours_when_clocks_change():
    market = Market(MarketConfig.at_scale("tiny", first_day=date(2026, 3, 2)))
    hours = Counter(market.traffic.local_day[:, :, 2].ravel())
    assert market.campaigns()["timezone"].to_pylist()[2] == "America/New_York"
    assert hours[date(2026, 3, 8).toordinal()] == 23
    assert hours[date(2026, 3, 7).toordinal()] == 24
    instant = datetime(2026, 3, 8, 12, tzinfo=ZoneInfo("UTC"))
    assert market.traffic.local_day[6, 12, 2] == instant.astimezone(ZoneInfo("America/New_York")).date().toordinal()


def test_clearing_price_is_the_bid_in_first_price_placements_and_at_most_the_bid_elsewhere(log):
    rows = log["impressions"].to_pandas()
    first = rows.placement.isin(["banner", "story"])
    assert (rows.price[first] == rows.bid[first]).all()
    assert (rows.price[~first] <= rows.bid[~first]).all()
    assert (rows.price[~first] < rows.bid[~first]).mean() > 0.95


def test_fatigue_uses_exposures_of_the_seven_days_before_the_day(market):
    pool, exposures, _ = replay(market, Faults())
    day = np.searchsorted(pool.first, np.arange(len(pool.user)), side="right") - 1
    picked = np.random.default_rng(0).choice(np.flatnonzero(day >= 8), 300, replace=False)
    told = exposures.of(pool.user[picked], pool.creative[picked], day[picked])
    for index, count in zip(picked, told, strict=True):
        same = (pool.user == pool.user[index]) & (pool.creative == pool.creative[index])
        assert count == (same & (day < day[index]) & (day >= day[index] - 7)).sum()
    assert told.max() > 3


def test_a_purchase_follows_its_click_within_three_days_and_some_need_no_ad(market, log):
    clicked = {}
    shown = {
        i: (u, c)
        for i, u, c in zip(
            *(log["impressions"][n].to_pylist() for n in ("impression_id", "user_id", "campaign_id")), strict=True
        )
    }
    for impression, at in zip(
        log["clicks"]["impression_id"].to_pylist(), log["clicks"]["occurred_at"].to_pylist(), strict=True
    ):
        user, campaign = shown[impression]
        clicked.setdefault((user, "p" + campaign[1:]), []).append(at)
    advertised = 0
    rows = log["conversions"].to_pylist()
    for row in rows:
        times = clicked.get((row["user_id"], row["product_id"]), [])
        advertised += any(timedelta(0) < row["occurred_at"] - t <= timedelta(days=3) for t in times)
    assert 0.2 < advertised / len(rows) < 0.8


def test_ids_are_strings_of_a_fixed_pattern(market, log):
    assert market.users()["user_id"][123].as_py() == "u000123"
    assert log["impressions"]["impression_id"][0].as_py() == "i202603020000000"
    assert numbers_of(log["impressions"]["user_id"], 1).max() < 2_000
    assert pc.all(pc.match_substring_regex(log["clicks"]["click_id"], r"^k\d{15}$")).as_py()


def test_written_files_are_the_days_and_no_half_file_stays(tmp_path):
    market, told = small_world(), []
    paths = market.write(tmp_path, progress=lambda what, done, total: told.append((what, done, total)))
    assert [t[1:] for t in told] == [(n, 5) for n in range(1, 6)]
    for day, path in zip(market.days(), paths["impressions"], strict=True):
        assert path.stem == day.date.isoformat()
        assert pq.read_table(path).equals(day.impressions)
    assert {p.suffix for p in tmp_path.rglob("*") if p.is_file()} == {".parquet"}


@pytest.mark.parametrize(
    ("field", "value"),
    [("users", 3), ("impressions", 0), ("campaigns", 0), ("days", 367), ("fatigue", 1.0), ("mean_click_rate", 0.9)],
)
def test_an_impossible_config_is_an_input_error(field, value):
    with pytest.raises(InputError, match=field):
        MarketConfig.at_scale("tiny", **{field: value})


def test_an_unknown_scale_or_field_is_an_input_error():
    with pytest.raises(InputError, match="unknown scale"):
        MarketConfig.at_scale("huge")
    with pytest.raises(InputError, match="no field"):
        MarketConfig.at_scale("tiny", user=3)
