"""A deletion that is killed at any point is completed by running it again, and takes nobody else with it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from adplatform.contracts.errors import InputError
from adplatform.settings import Settings
from adplatform.state import State
from adplatform.store.decision_file import reading
from adplatform.store.decision_log import DecisionLog
from adplatform.store.landing import Landing
from adplatform.targeting.collaborative import InteractionFactors
from adplatform.upkeep import forget
from tests.cli.test_online_commands import everywhere
from tests.homes import REPOSITORY
from tests.store.decisions import decision
from tests.store.world import NOW, click, csv, entities, impression, parquet, table, users

PERSON = "zq7-person-93"
POINTS = 40

# A process of its own, for it forks.
KILLED = """
import json, sys, time
from pathlib import Path
from adplatform.settings import Settings
from adplatform.upkeep import forget
import adplatform.upkeep.factors, adplatform.targeting.collaborative, numpy
from tests.killing import exit_codes

time.sleep = lambda seconds: None
work = lambda home: forget.delete_user(Settings(home=home), sys.argv[1])
codes = exit_codes(sys.argv[4:], work, step=int(sys.argv[3]))
Path(sys.argv[2]).write_text(json.dumps(codes))
"""


def make(home: Path) -> State:
    """A home with the person everywhere but in a warehouse, which is built anew anyway."""
    state = State(Settings(home=home))
    landing = Landing(state.settings)
    entities(landing)
    landing.ingest_table("users", table("users", users("u-1", "u-2", "u-3", PERSON)), now=NOW)
    theirs = [impression(i, day=i % 2, user_id=PERSON) for i in range(4)]
    rows = [*theirs, *(impression(100 + i, day=i % 2) for i in range(4))]
    landing.ingest_table("impressions", table("impressions", rows), now=NOW)
    clicks = [click(0), click(100)]
    landing.ingest_table("clicks", table("clicks", clicks), now=NOW)
    (home / "inbox").mkdir()
    csv(home / "inbox" / "users.csv", "users", users("u-1", PERSON))
    parquet(home / "inbox" / "impressions.parquet", "impressions", rows)
    parquet(home / "inbox" / "clicks.parquet", "clicks", clicks)
    with DecisionLog(state.settings.decisions) as log:
        for new in (decision("d1"), decision("d2", PERSON)):
            log.record(new).result(5)
    (home / "logs").mkdir()
    (home / "logs" / "a.log").write_text(f"user {PERSON} is odd\n")
    factors = InteractionFactors(["u-1", PERSON], ["k-1"], np.ones((2, 3)), np.ones((1, 3)), np.zeros(1))
    factors.save(home / "made")
    version = state.registry.publish("interaction_factors", home / "made", data_version="v")
    state.registry.promote("interaction_factors", version.version, "first")
    shutil.rmtree(home / "made")
    return state


def kept(home: Path) -> dict[str, object]:
    """What is left, of everybody."""
    state = State(Settings(home=home))
    champion = state.registry.champion("interaction_factors")
    assert champion is not None
    with reading(state.settings.decisions) as log:
        decisions = [row[0] for row in log.execute("select decision_id from decisions")]
    return {
        "users": state.landing.read("users")["user_id"].to_pylist(),
        "impressions": state.landing.read("impressions").num_rows,
        "clicks": state.landing.read("clicks")["click_id"].to_pylist(),
        "decisions": decisions,
        "factors": InteractionFactors.load(state.registry.path("interaction_factors", champion.version)).users,
        "inbox": (home / "inbox" / "users.csv").read_text().count("\n"),
    }


@pytest.mark.slow
def test_a_deletion_that_is_killed_anywhere_is_completed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "home")
    homes = [tmp_path / f"home-{i}" for i in range(POINTS)]
    for home in homes:
        shutil.copytree(tmp_path / "home", home)
    out = tmp_path / "statuses.json"
    arguments = [sys.executable, "-c", KILLED, PERSON, str(out), "7", *map(str, homes)]
    subprocess.run(arguments, check=True, cwd=REPOSITORY)
    statuses = json.loads(out.read_text())
    killed = statuses.count(-9)
    assert statuses == [-9] * killed + [0] * (POINTS - killed)
    assert 10 < killed < POINTS, "every part of the work must have been cut off"
    monkeypatch.setattr(forget, "SERVERS_SECONDS", 0.0)
    for home, status in zip(homes, statuses, strict=True):
        if status:
            forget.delete_user(Settings(home=home), PERSON)
        with pytest.raises(InputError):
            forget.delete_user(Settings(home=home), PERSON)
        assert list(everywhere(home, PERSON)) == []
        assert kept(home) == {
            "users": ["u-1", "u-2", "u-3"], "impressions": 4, "clicks": ["k-100"], "decisions": ["d1"],
            "factors": ["u-1"], "inbox": 2,
        }  # fmt: skip
        assert not [
            p for p in home.rglob("*") if p.name.startswith(".deleting") or p.name in (".staging", ".journal.json")
        ]
