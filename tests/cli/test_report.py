"""report.html and summary.json on what happened online, drift and retraining; a section without content is not there."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from adplatform.contracts.errors import SetupError
from adplatform.contracts.monitoring import DriftReport
from adplatform.contracts.promotion import Check, Verdict
from adplatform.contracts.tables import DECISION_LOG
from adplatform.report.html import render
from adplatform.report.online import served
from adplatform.report.retraining import challenges, notable
from adplatform.report.summary import write_report
from adplatform.settings import Settings
from adplatform.state import State
from adplatform.store.convert import schema_of
from adplatform.training import VERDICTS, examples, serving_response
from tests.homes import adplatform
from tests.monitoring.days import World
from tests.monitoring.test_report import report

DATA = {"name": "simulated", "scale": "tiny", "first_day": "2026-11-07", "last_day": "2026-11-20"}
SECTIONS = ("What happened online", "Drift: is the market", "Retraining: does it pay")
DAY = date(2026, 11, 20)


def page(**found: Any) -> str:
    summary = {"at": "2026-11-21T00:00:00+00:00", "failures": [], "seconds": {"data": 1.0}}
    return " ".join(render(DATA, summary, found, []).split())


def sections(text: str) -> list[str]:
    return [title for title in SECTIONS if f"<h2>{title}" in text]


def test_sections_without_content_are_not_there() -> None:
    assert sections(page()) == []
    assert sections(page(served=[], drift=None, challenges=[])) == []


def test_drift_that_pays_shows_picture_statistics_and_the_price(tmp_path: Path) -> None:
    found = report(World(rows=100_000, slope=0.0))
    text, decision = page(drift=found), found.decision
    assert sections(text) == list(SECTIONS[1:])
    assert f"Drift since {found.alarmed_since}." in text
    assert text.count('<span class="bad">alarms</span>') == len(found.alarms) > 0
    assert '<img alt="drift by day" src="data:image/png;base64,' in text
    assert "Train again." in text
    assert f"expected to gain {decision.expected_gain:,.2f}; a training costs {decision.cost:,.2f}" in text


def test_drift_that_does_not_pay_says_so_with_both_sums() -> None:
    found = report(World(rows=100_000, slope=0.0))
    cheap = found.decision.model_copy(update={"retrain": False, "cost": 1e6})
    text = page(drift=found.model_copy(update={"decision": cheap}))
    assert "a training costs 1,000,000.00 and is expected to gain" in text
    assert "Train again." not in text


def test_a_quiet_day_shows_the_nearest_statistic_alone_and_no_alarm() -> None:
    quiet = report(World(rows=100_000))
    assert len(notable(quiet)) >= 1
    text = page(drift=quiet)
    assert f"No drift on {quiet.day}." in text
    assert "alarms</span>" not in text


def test_too_few_days_cannot_tell_and_have_no_picture() -> None:
    full = report(World(rows=100_000))
    nothing = {"value": None, "reference": None, "z": None, "limit": None, "effect": None, "alarm": False}
    untold = [
        s.model_copy(update={**nothing, "reason": "cannot tell: needs 3 more days before it"}) for s in full.statistics
    ]
    text = page(drift=DriftReport.model_validate(full.model_copy(update={"statistics": tuple(untold)}).model_dump()))
    assert "Cannot tell yet: needs 3 more days before it." in text
    assert "drift by day" not in text
    assert "Drift cannot tell yet whether a training would pay." in text


@pytest.mark.parametrize("passed", [False, True])
def test_a_challengers_verdict_is_told_and_whether_it_serves(passed: bool, tmp_path: Path) -> None:
    state = State(Settings(home=tmp_path))
    versions = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.json").write_text(name)
        versions.append(state.registry.publish("bandit_policy", tmp_path / name, data_version="d").version)
    state.registry.promote("bandit_policy", versions[0], "the first")
    check = Check(rule="better", figure=0.1, limit=0.2, passed=passed, reason="gain <0.1> of a click")
    verdict = Verdict(agent="bandit_policy", challenger=versions[1], champion=versions[0], checks=(check,))
    state.documents.put(VERDICTS, "bandit_policy", verdict)
    (before,) = challenges(state)
    assert not before.promoted
    if passed:
        state.registry.promote("bandit_policy", versions[1], verdict.reason)
    (after,) = challenges(state)
    assert (after.promoted, after.serves) == (passed, versions[passed])
    text = page(challenges=[after])
    assert ("rejected</span>; the champion stays" in text) is not passed
    assert "gain &lt;0.1&gt; of a click" in text


@pytest.mark.slow
def test_landed_decisions_are_told_by_version_with_what_came_of_them(own_home: Path) -> None:
    """Decisions are landed for impressions of the demo, so that what came of them is known."""
    state = State(Settings(home=own_home))
    assert served(state) == []
    rows = examples(state, "event_day = ?", [DAY]).slice(0, 300)
    made = [_decision(row, "v1" if at < 200 else "v2", at) for at, row in enumerate(rows.to_pylist())]
    lost = _decision({**rows.to_pylist()[0], "impression_id": "never-shown", "user_id": None}, "v2", 400)
    state.landing.ingest_table("decision_log", pa.Table.from_pylist([*made, lost], schema=schema_of(DECISION_LOG)))
    first, second = served(state)
    chances = serving_response(state).predict(rows)
    assert [(s.policy_version, s.decisions, s.impressions) for s in (first, second)] == [
        ("v1", 200, 200),
        ("v2", 101, 100),
    ]
    assert (first.clicks, second.clicks) == tuple(pc.sum(part["clicked"]).as_py() for part in (rows[:200], rows[200:]))
    assert first.expected_clicks == pytest.approx(chances[:200].sum())
    assert second.expected_clicks == pytest.approx(chances[200:].sum())
    assert first.personal + second.personal == 300 - rows["user_id"].null_count
    assert (first.first, second.last) == (made[0]["decided_at"], lost["decided_at"])

    path, _ = write_report(state.settings, DATA, {"data": 1.0}, [], [], datetime(2026, 11, 21, tzinfo=UTC))
    assert "decided 301 times" in path.read_text()
    kept = json.loads(path.with_name("summary.json").read_text())
    assert [row["policy_version"] for row in kept["served"]] == ["v1", "v2"]
    assert {c["agent"] for c in kept["retraining"]["challengers"]} == {
        "response_model",
        "bandit_policy",
        "budget_policy",
    }

    (own_home / "dataset.json").unlink()  # as with data of one's own
    ran = adplatform(own_home, "report")
    assert (ran.code, ran.err) == (0, "")
    text = path.read_text()
    assert "Data set own data, 2026-11-07 to 2026-11-20" in text
    assert "decided 301 times" in text
    assert "<h2>Time" not in text


def _decision(row: dict[str, Any], version: str, second: int) -> dict[str, Any]:
    at = datetime(2026, 11, 20, 10, second // 60, second % 60, tzinfo=UTC)
    return {
        "decision_id": row["impression_id"], "decided_at": at, "user_id": row["user_id"],
        "creative_id": row["creative_id"], "policy_version": version, "propensity": 0.5, "candidates": "[]",
        "probabilities": "[]", "context": "{}", "exposures": "[]",
    }  # fmt: skip


def test_what_failed_before_anything_was_built_is_told(tmp_path: Path) -> None:
    config = Settings(home=tmp_path)
    path, _ = write_report(config, DATA, {"data": 1.0}, [], ["behaviour: a test"], datetime(2026, 11, 21, tzinfo=UTC))
    assert "<li>behaviour: a test</li>" in path.read_text()
    with pytest.raises(SetupError, match="not built yet"):
        write_report(config, DATA, {"data": 1.0}, [], [], datetime(2026, 11, 21, tzinfo=UTC))
