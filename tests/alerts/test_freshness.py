"""The day that is due is there with rows, whatever was materialized lately."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from adplatform.settings import Settings
from adplatform.state import State
from adplatform.store.decision_log import DecisionLog
from adplatform.store.decision_writes import NewDecision
from asset_checks.freshness import DAY_OF_MART, NAME, Found, due, judge, landed, logged, marts
from tests.homes import REPOSITORY
from tests.store.world import DAY, NOW, entities, impressions, table

D10, D11, D12 = (date(2026, 2, d) for d in (10, 11, 12))
MORNING = datetime(2026, 2, 13, 9, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> State:
    state = State(Settings(home=tmp_path))
    entities(state.landing)
    return state


def land(state: State, *days: int) -> None:
    for day in days:
        state.landing.ingest_table("impressions", table("impressions", impressions(4, day, day * 10)), now=NOW)


def verdict(found: Found, loaded: bool = False) -> tuple[bool, str]:
    result = judge(found, loaded)
    return result.passed, result.severity.value


def test_a_day_is_due_some_hours_after_its_end(tmp_path: Path) -> None:
    config = Settings(home=tmp_path, due_hours=3)
    assert due(config, datetime(2026, 2, 13, 2, 59, tzinfo=UTC)) == D11
    assert due(config, datetime(2026, 2, 13, 3, 0, tzinfo=UTC)) == D12


def test_a_backfill_of_an_old_day_does_not_make_the_latest_fresh(home: State) -> None:
    land(home, 0, 1)
    assert landed(home, "impressions", MORNING) == Found(D11, 0, D12)
    land(home, -1)
    assert landed(home, "impressions", MORNING) == Found(D11, 0, D12)
    land(home, 2)
    assert landed(home, "impressions", MORNING) == Found(D12, 4, D12)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Found(D12, 4, D12), (True, "WARN")),
        (Found(D11, 0, D12), (False, "WARN")),
        (Found(D10, 0, D12), (False, "ERROR")),
        (Found(D12, 0, D12), (False, "ERROR")),
        (Found(None, 0, D12), (False, "WARN")),
        (Found(D11, 4, None), (True, "ERROR")),
    ],
)
def test_a_day_behind_warns_more_or_an_empty_day_is_an_error(found: Found, expected: tuple[bool, str]) -> None:
    passed, severity = verdict(found)
    assert passed == expected[0]
    if not passed:
        assert severity == expected[1]


def test_a_gap_before_a_newer_day_is_seen(home: State) -> None:
    land(home, 0, 3)  # the 12th was never delivered, the 13th has begun
    found = landed(home, "impressions", MORNING)
    assert verdict(found) == (False, "ERROR")
    assert "2026-02-12 has no rows" in str(judge(found, False).description)


def test_a_data_set_that_was_loaded_ends_where_it_says_until_newer_days_come(home: State) -> None:
    (home.settings.home / "dataset.json").write_text(json.dumps({"last_day": "2026-02-10"}))
    land(home, 0)
    state = State(Settings(home=home.settings.home))
    assert verdict(landed(state, "impressions", MORNING), loaded=True) == (True, "WARN")
    land(state, 1)
    assert verdict(landed(state, "impressions", MORNING), loaded=True) == (False, "WARN")


def test_every_due_day_with_decisions_is_to_be_landed(home: State) -> None:
    assert judge(logged(home, MORNING), False).passed
    with DecisionLog(home.settings.decisions) as log:
        for n, at in enumerate((DAY, MORNING)):  # the 10th, and today, which is not due
            log.record(NewDecision(f"d{n}", at, None, "k-1", b"{}", b"{}")).result(10)
    assert logged(home, MORNING) == Found(None, 0, D10)
    assert not judge(logged(home, MORNING), False).passed


def test_marts_are_looked_at_in_one_read_each_on_its_own_day(home: State) -> None:
    land(home, 2)
    with home.warehouse.write() as connection:
        for name, (column, ahead) in DAY_OF_MART.items():
            day = D11 if name == "campaign_daily" else D12 + timedelta(days=ahead)
            connection.execute(f"create table {name} as select date '{day}' as {column} from range(3)")
    found = marts(home, sorted(DAY_OF_MART), MORNING)
    assert {name for name, row in found.items() if not judge(row, False).passed} == {"campaign_daily"}
    assert found["user_features"] == Found(date(2026, 2, 13), 3, date(2026, 2, 13))
    assert set(marts(home, ["fct_impressions"], MORNING)) == {"fct_impressions"}


def test_every_mart_with_a_day_is_looked_at_but_those_whose_day_may_be_empty() -> None:
    may_be_empty = {"experiment_daily", "drift_statistics_daily"}
    files = (REPOSITORY / "dbt_project" / "models" / "marts").glob("*.yml")
    models = [model for path in files for model in yaml.safe_load(path.read_text()).get("models", ())]
    daily = {
        model["name"]: column["name"]
        for model in models
        for column in model["columns"]
        if column["data_type"] == "date" and column["name"].endswith("day")
    }
    assert may_be_empty <= set(daily)
    assert {n: c for n, (c, _) in DAY_OF_MART.items()} == {n: c for n, c in daily.items() if n not in may_be_empty}


@pytest.mark.slow
def test_the_morning_job_looks_at_every_daily_table_and_mart_of_a_demo(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess
    import sys

    look = (
        "import json; from adplatform.definitions import defs; from adplatform.defs.runs import instance\n"
        "with instance() as i:\n"
        "    r = defs.resolve_job_def('look_at_freshness').execute_in_process(instance=i, raise_on_error=False)\n"
        "print(json.dumps({e.asset_key.to_user_string(): e.passed for e in r.get_asset_check_evaluations()}))"
    )
    monkeypatch.setenv("ADPLATFORM_HOME", str(own_home))
    ran = subprocess.run([sys.executable, "-c", look], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    found = json.loads(ran.stdout.splitlines()[-1])
    assert set(found) == {"impressions", "clicks", "conversions", "decision_log", *DAY_OF_MART}
    assert {name for name in DAY_OF_MART if not found[name]} == set()


def test_every_check_of_freshness_is_known_to_the_alerts_by_its_name() -> None:
    from adplatform.alerts.rules import FRESHNESS_CHECK

    assert FRESHNESS_CHECK == NAME
