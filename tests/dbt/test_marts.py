"""Marts against the same quantities counted row by row in Python."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest

from adplatform.contracts.features import FEATURES
from tests.dbt.conftest import MARTS, Home

WINDOW = timedelta(days=3)


def landed(home: Home, table: str) -> list[dict[str, Any]]:
    return pq.read_table(home.landing / table).to_pylist()


def consenting(home: Home) -> dict[str, dict[str, Any]]:
    return {u["user_id"]: u for u in landed(home, "users") if u["consent"]}


def first_clicks(home: Home) -> dict[str, datetime]:
    """Impression to its first click within the attribution window."""
    shown = {i["impression_id"]: i["occurred_at"] for i in landed(home, "impressions")}
    found: dict[str, datetime] = {}
    for click in landed(home, "clicks"):
        key, at = click["impression_id"], click["occurred_at"]
        if shown[key] <= at <= shown[key] + WINDOW and at < found.get(key, datetime.max.replace(tzinfo=UTC)):
            found[key] = at
    return found


def attribution(home: Home) -> Counter[str]:
    """Value attributed to each impression: last click of the user on the product within the window before."""
    clicks, users = first_clicks(home), consenting(home)
    impressions = [i for i in landed(home, "impressions") if i["impression_id"] in clicks and i["user_id"] in users]
    value: Counter[str] = Counter()
    for sale in landed(home, "conversions"):
        candidates = [
            (clicks[i["impression_id"]], i["impression_id"])
            for i in impressions
            if i["user_id"] == sale["user_id"] and i["campaign_id"][1:] == sale["product_id"][1:]
            and clicks[i["impression_id"]] <= sale["occurred_at"] <= i["occurred_at"] + WINDOW
        ]  # fmt: skip
        if candidates:
            value[max(candidates)[1]] += sale["value"]
    return value


def test_a_conversion_belongs_to_the_last_click_and_organic_ones_to_none(built: Home) -> None:
    expected = attribution(built)
    rows = built.query("select impression_id, converted, conversion_value from fct_impressions where is_matured")
    known = [r for r in rows if r[1] is not None]
    assert len(expected) > 10
    assert len(landed(built, "conversions")) >= len(expected) + 20
    assert {r[0]: r[1] for r in known} == {r[0]: int(r[0] in expected) for r in known}
    assert {r[0]: r[2] for r in known} == pytest.approx({r[0]: expected.get(r[0], 0.0) for r in known})


def test_labels_are_known_only_when_matured_and_consented(built: Home) -> None:
    users = consenting(built)
    shown_to = {i["impression_id"]: i["user_id"] for i in landed(built, "impressions")}
    through = built.query("select max(event_day) from fct_impressions")[0][0]
    for impression, day, matured, converted in built.query(
        "select impression_id, event_day, is_matured, converted from fct_impressions"
    ):
        assert matured == (day <= through - WINDOW)
        assert (converted is not None) == (matured and shown_to[impression] in users)


def test_features_equal_a_count_of_what_came_before(built: Home) -> None:
    users, clicks = consenting(built), first_clicks(built)
    impressions, sales = landed(built, "impressions"), landed(built, "conversions")
    rows = built.query("select * from user_features where hash(user_id, feature_day) % 7 = 0")
    assert len(rows) > 50
    for user, day, tenure, shown_7d, clicks_7d, clicks_28d, sales_28d, since in rows:
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        ours = [i for i in impressions if i["user_id"] == user]
        clicked = [clicks[i["impression_id"]] for i in ours if i["impression_id"] in clicks]
        clicked = [c for c in clicked if c < start]
        assert tenure == (day - users[user]["registered_at"].date()).days
        assert shown_7d == sum(start - timedelta(7) <= i["occurred_at"] < start for i in ours)
        assert clicks_7d == sum(start - timedelta(7) <= c for c in clicked)
        assert clicks_28d == len(clicked)
        assert since == ((day - max(clicked).date()).days if clicked else None)
        before = [s for s in sales if s["occurred_at"] < start]
        assert sales_28d == (sum(s["user_id"] == user for s in before) if before else None)


def test_exposures_equal_a_count_of_what_came_before(built: Home) -> None:
    users, expected = consenting(built), Counter()
    days = [r[0] for r in built.query("select distinct feature_day from user_features")]
    for i in landed(built, "impressions"):
        for day in days:
            if i["user_id"] in users and timedelta(0) < day - i["occurred_at"].date() <= timedelta(7):
                expected[i["user_id"], i["creative_id"], day] += 1
    assert {r[:3]: r[3] for r in built.query("select * from user_creative_exposures")} == expected


def test_examples_carry_the_features_of_their_own_day(built: Home) -> None:
    columns = [
        r[0] for r in built.query("select column_name from duckdb_columns() where table_name = 'training_examples'")
    ]
    start = columns.index(FEATURES[0])
    assert tuple(columns[start : start + len(FEATURES)]) == FEATURES
    wrong = built.query("""
        select count(*) from training_examples as e
        left join user_features as f on e.user_id = f.user_id and e.event_day = f.feature_day
        left join user_creative_exposures as x
            on e.user_id = x.user_id and e.creative_id = x.creative_id and e.event_day = x.feature_day
        where e.user_impressions_7d is distinct from f.user_impressions_7d
            or e.user_conversions_28d is distinct from f.user_conversions_28d
            or e.creative_exposures_7d is distinct from if(e.user_id is null, null, coalesce(x.creative_exposures_7d, 0))
    """)
    assert wrong == [(0,)]


def test_budget_days_are_days_of_the_campaigns_zone(built: Home) -> None:
    zones = {c["campaign_id"]: ZoneInfo(c["timezone"]) for c in landed(built, "campaigns")}
    expected, spend = Counter(), Counter()
    for i in landed(built, "impressions"):
        key = i["campaign_id"], i["occurred_at"].astimezone(zones[i["campaign_id"]]).date()
        expected[key] += 1
        spend[key] += i["price"]
    rows = built.query("select campaign_id, budget_day, impressions, spend from campaign_daily")
    assert {r[:2]: r[2] for r in rows} == expected
    assert {r[:2]: r[3] for r in rows} == pytest.approx(spend)


def test_experiments_count_each_user_once(built: Home) -> None:
    users, clicks = consenting(built), first_clicks(built)
    arm = {a["user_id"]: a["arm"] for a in landed(built, "assignments") if a["user_id"] in users}
    shown = {i["impression_id"]: i for i in landed(built, "impressions") if i["experiment_id"] == "e0"}
    success = {(i["user_id"], clicks[k].date()) for k, i in shown.items() if k in clicks and i["user_id"] in users}
    rows = built.query("select arm, day, users, successes from experiment_daily where experiment_id = 'e0'")
    assert len(rows) == 20
    for which, day, n, successes in rows:
        assert n == sum(a == which for a in arm.values())
        assert successes == len({u for u, on in success if on <= day and arm[u] == which})
    assert max(r[3] for r in rows) > 3
    last = built.query("select max(day) from experiment_daily where experiment_id = 'e1'")[0][0]
    assert last == built.query("select max(event_day) from fct_impressions where is_matured")[0][0]


def test_segments_count_consenting_users_on_matured_days(built: Home) -> None:
    users = consenting(built)
    matured = {r[0] for r in built.query("select distinct event_day from fct_impressions where is_matured")}
    shown, seen_by = Counter(), {}
    for i in landed(built, "impressions"):
        if i["user_id"] in users and i["occurred_at"].date() in matured:
            user = users[i["user_id"]]
            key = f"{user['audience']}|{user['age_band']}", i["creative_id"]
            shown[key] += 1
            seen_by.setdefault(key, set()).add(i["user_id"])
    rows = built.query("select segment_id, creative_id, impressions, users from segment_performance")
    assert {r[:2]: r[2] for r in rows} == shown
    assert {r[:2]: r[3] for r in rows} == {k: len(v) for k, v in seen_by.items()}


def test_every_model_and_column_is_described_and_every_mart_has_a_contract(built: Home) -> None:
    manifest = json.loads((built.work / "scratch" / "target" / "manifest.json").read_text())
    models = {n["name"]: n for n in manifest["nodes"].values() if n["resource_type"] == "model"}
    assert set(MARTS) <= set(models)
    held = built.query("select table_name, column_name from duckdb_columns() where schema_name = 'main'")
    for name, model in models.items():
        assert model["description"], name
        columns = {c for t, c in held if t == name}
        assert columns == set(model["columns"]), name
        assert all(c["description"] for c in model["columns"].values()), name
        assert model["config"]["contract"]["enforced"] == (name in MARTS), name


def test_dbt_writes_nothing_beside_its_models(built: Home) -> None:
    assert (built.work / "scratch" / "logs" / "dbt.log").exists()
    assert built.left_in_project == set()
