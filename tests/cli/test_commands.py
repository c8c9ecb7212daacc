"""Commands that read a home, in this process: what they print and how they end."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adplatform.cli import app
from adplatform.contracts.plan import CampaignPlan
from adplatform.settings import settings

RUNNER = CliRunner()


@pytest.fixture
def home(demo_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ADPLATFORM_HOME", str(demo_home))
    return demo_home


def run(*arguments: str) -> str:
    result = RUNNER.invoke(app, list(arguments))
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def test_status_names_every_agent_with_its_reason(home: Path) -> None:
    found = json.loads(run("status", "--json"))
    assert {"response_model", "bandit_policy", "budget_policy"} <= {a["agent"] for a in found["agents"]}
    assert all(a["champion"] and a["reason"] for a in found["agents"])
    assert found["data_through"] == "2026-11-20"
    assert "response_model" in run("status")


def test_doctor_finds_all_that_is_needed(home: Path) -> None:
    assert all(row["ok"] for row in json.loads(run("doctor", "--json")))
    assert "language model" in run("doctor")


def test_an_experiments_status_says_action_and_interval(home: Path) -> None:
    found = json.loads(run("experiment", "status", "--json"))
    assert found
    one = json.loads(run("experiment", "status", found[0]["experiment_id"], "--json"))
    assert one == [found[0]]
    assert found[0]["action"] in run("experiment", "status")


def test_an_unknown_experiment_is_refused_with_those_there_are(home: Path) -> None:
    result = RUNNER.invoke(app, ["experiment", "status", "e99"])
    assert "e99" in str(result.exception)
    assert "e01" in str(result.exception)


def test_a_plan_of_a_brief_adds_up_and_every_agent_answered(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADPLATFORM_HOME", str(own_home))
    text = run("plan", str(own_home / "briefs" / "c01.yaml"), "--seed", str(settings().seed), "--json")
    plan = CampaignPlan.model_validate_json(text)
    assert sum(line.budget for line in plan.lines) + plan.unspent == plan.brief.budget
    assert {step.outcome.value for step in plan.trace} == {"answered"}
    assert "Trace" in run("plan", str(own_home / "briefs" / "c01.yaml"), "--seed", str(settings().seed))


def test_a_rollback_moves_the_pointer_and_is_told(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADPLATFORM_HOME", str(own_home))
    before = {a["agent"]: a["champion"] for a in json.loads(run("status", "--json"))["agents"]}
    assert "serves again" in run("rollback", "response_model")
    after = {a["agent"]: a["champion"] for a in json.loads(run("status", "--json"))["agents"]}
    assert after["response_model"] != before["response_model"]
    assert after["bandit_policy"] == before["bandit_policy"]


def test_an_ingest_again_counts_duplicates_and_lands_nothing(
    own_home: Path, demo_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADPLATFORM_HOME", str(own_home))
    path = sorted((demo_home / "inbox" / "clicks").glob("*.parquet"))[0]
    found = json.loads(run("ingest", "clicks", str(path), "--json"))
    assert found["accepted"] == 0
    assert found["duplicates"] > 0
    assert "0 accepted" in run("ingest", "clicks", str(path))


def test_the_report_shows_plan_lift_and_what_serves(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adplatform.report.summary import write_report

    config = settings().model_copy()
    config.__dict__["reports"] = tmp_path
    path, summary = write_report(config, config.dataset, {"data": 1.0}, [], [], datetime(2026, 11, 21, tzinfo=UTC))
    page = path.read_text()
    for words in ("Where the money goes", "What the experiments say", "Which models serve", "Would another policy"):
        assert words in page
    assert summary["plans"][0]["lines"] > 0
    assert page.count("data:image/png") >= 3
