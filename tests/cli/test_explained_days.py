"""The days that ``explain`` names are those of the examples that the version was trained and judged on."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta
from pathlib import Path

import pyarrow.compute as pc
import pytest

from adplatform import training
from adplatform.settings import Settings
from adplatform.state import State
from adplatform.store.convert import LANDED_AT
from adplatform.upkeep.explain import explain
from tests.cli.test_online_commands import consenting, decide
from tests.homes import adplatform

AGENT = "bandit_policy"
DAY = timedelta(days=1)


@pytest.fixture
def state(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    monkeypatch.setenv("ADPLATFORM_HOME", str(own_home))
    for agent in ("response_model", AGENT):
        shutil.rmtree(own_home / "models" / agent)
    return State(Settings(home=own_home))


def land(state: State, day: date, after: date) -> None:
    """A few impressions like those of ``after``."""
    rows = state.landing.read("impressions", after).slice(0, 5).drop_columns([LANDED_AT])
    moved = {
        "impression_id": pc.binary_join_element_wise(f"of-{day}", rows["impression_id"], "-"),
        "occurred_at": pc.subtract(rows["occurred_at"], after - day),
    }
    for name, column in moved.items():
        rows = rows.set_column(rows.column_names.index(name), name, column)
    assert day in state.landing.ingest_table("impressions", rows).days


def test_a_day_that_landed_beside_the_training_or_after_it_is_not_among_those_that_it_was_trained_on(
    state: State,
) -> None:
    known = [d.isoformat() for d in training.distinct_days(training.examples(state))]
    first = date.fromisoformat(known[0])
    land(state, first - DAY, first)  # has not reached the marts when the model is trained on them
    training.challenge_response(state)
    verdict, _ = training.challenge_bandit(state)
    land(state, first - 2 * DAY, first)
    state.registry.promote(AGENT, verdict.challenger, "to be explained")
    decision = decide(state, consenting(state)[0], clicked=False)[0]
    found = explain(state.settings, decision)
    assert found["policy"]["version"] == verdict.challenger
    partitions = found["policy"]["partitions"]
    assert (partitions["trained_on"], partitions["judged_on"]) == (known[:-3], known[-3:])
    text = adplatform(state.settings.home, "explain", decision).out
    assert f"trained on: impressions of {len(known) - 3} days, {known[0]} to {known[-4]}" in text
    assert verdict.champion is not None
    assert state.registry.get(AGENT, verdict.champion).trained_on == tuple(map(date.fromisoformat, known[:-3]))


def test_a_record_from_before_the_days_were_kept_still_reads_and_it_is_said_that_they_are_not_known(
    state: State,
) -> None:
    training.challenge_response(state)
    verdict, _ = training.challenge_bandit(state)
    path = state.settings.models / AGENT / str(verdict.champion) / "version.json"
    record = json.loads(path.read_bytes())
    path.write_text(json.dumps({k: v for k, v in record.items() if k not in ("trained_on", "judged_on")}))
    decision = decide(state, None, clicked=False)[0]
    found = explain(state.settings, decision)
    assert found["policy"]["version"] == verdict.champion
    assert found["policy"]["partitions"]["trained_on"] is None
    assert any(text.startswith("days that it was trained on:") for text in found["unknown"])
    text = adplatform(state.settings.home, "explain", decision).out
    assert "not known: days that it was trained on" in text
    assert "trained on: impressions" not in text
