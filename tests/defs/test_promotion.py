"""No champion by default: only a verdict whose every check held moves the pointer."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from adplatform import training
from adplatform.contracts.promotion import Check, Verdict
from adplatform.promotion import promote
from adplatform.settings import Settings
from adplatform.state import State
from adplatform.store.registry import Registry


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models")


def published(registry: Registry, folder: Path, text: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").write_text(text)
    return registry.publish("bandit_policy", folder, data_version="d1", data_through=None, seed=0, metrics={}).version


def check(passed: bool) -> Check:
    return Check(
        rule="value above the champion's", figure=0.1, limit=0.0, passed=passed, reason="held" if passed else "below"
    )


@pytest.fixture
def pair(registry: Registry, tmp_path: Path) -> tuple[str, str]:
    champion, challenger = (published(registry, tmp_path / n, n) for n in ("champion", "challenger"))
    registry.promote("bandit_policy", champion, "first champion")
    return champion, challenger


def verdict(pair: tuple[str, str], *passed: bool) -> Verdict:
    return Verdict(agent="bandit_policy", challenger=pair[1], champion=pair[0], checks=tuple(check(p) for p in passed))


def test_a_challenger_whose_checks_all_held_is_promoted(registry: Registry, pair: tuple[str, str]) -> None:
    moved = promote(registry, verdict(pair, True, True))
    assert moved.promoted
    assert registry.champion("bandit_policy").version == pair[1]


@pytest.mark.parametrize("passed", [(False,), (True, False), (False, True)])
def test_one_failed_check_keeps_the_champion_and_records_why(
    registry: Registry, pair: tuple[str, str], passed: tuple[bool, ...]
) -> None:
    kept = promote(registry, verdict(pair, *passed))
    assert not kept.promoted
    assert registry.champion("bandit_policy").version == pair[0]
    assert "below" in registry.history("bandit_policy")[-1].reason


def test_a_verdict_without_a_check_promotes_nothing(registry: Registry, pair: tuple[str, str]) -> None:
    assert not promote(registry, verdict(pair)).promoted
    assert registry.champion("bandit_policy").version == pair[0]


def test_a_rollback_gives_the_previous_champion_back(registry: Registry, pair: tuple[str, str]) -> None:
    promote(registry, verdict(pair, True))
    registry.rollback("bandit_policy")
    assert registry.champion("bandit_policy").version == pair[0]


def test_a_policy_that_was_valued_on_a_day_of_flipped_labels_stays_out_and_the_reason_names_the_day(
    own_home: Path,
) -> None:
    state = State(Settings(home=own_home))
    before, _ = training.challenge_bandit(state)
    assert before.checks[-1].passed  # true labels are let through
    day = training.first_held_out(state)
    with duckdb.connect(str(state.settings.warehouse)) as marts:
        marts.execute(
            "update training_examples set clicked = 1 - clicked where event_day = ? and hash(impression_id) % 20 = 0",
            [day],
        )
    serving = state.registry.champion("bandit_policy")
    verdict, _ = training.challenge_bandit(state)
    kept = training.crown(state, "bandit_policy")
    assert not verdict.checks[-1].passed
    assert not kept.promoted
    assert f"clicks of {day} are " in kept.reason
    assert state.registry.champion("bandit_policy") == serving
