"""Commands over what happened online: a decision explained, a person forgotten, the log looked after."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from adplatform.contracts.serving import DecideRequest
from adplatform.decisions import land_day
from adplatform.settings import Settings
from adplatform.state import State
from adplatform.store.decision_log import DecisionLog
from adplatform.store.decision_writes import Idempotency
from adplatform.store.judging import judge
from adplatform.store.library import Library
from adplatform.store.profiles import Profiles
from adplatform.targeting.collaborative import InteractionFactors
from adplatform.upkeep.explain import explain
from bentos.gateway.deciding import Asked, Deciding
from tests.bentos.meanwhile import meanwhile
from tests.homes import adplatform

NOW = datetime.now(UTC)


def decide(state: State, user: str | None, many: int = 1, clicked: bool = True) -> list[str]:
    """What a worker of the gateway does, in this process: decisions, recorded, each shown and clicked."""
    config = state.settings
    library, profiles = Library(config.landing), Profiles(config.profiles)
    profiles.refresh()
    deciding = Deciding(state.registry, lambda: library.creatives, profiles)
    candidates = tuple(sorted(library.creatives)[:4])
    asked = DecideRequest(candidates=candidates, user_id=user, placement="feed")
    made = deciding.decide([Asked(asked, datetime.now(UTC))] * many)
    with DecisionLog(config.decisions) as log:
        for one in made:
            log.record(one.record, Idempotency.of("key", f"{user}-{uuid.uuid4().hex}", b"")).result(5)
        for one in made if clicked else ():
            sent = [
                {"event_id": uuid.uuid4().hex, "kind": kind, "decision_id": one.record.decision_id,
                 "occurred_at": datetime.now(UTC).isoformat(), **({"value": 9.5} if kind == "conversion" else {})}
                for kind in ("impression", "click", "conversion")
            ]  # fmt: skip
            assert log.accept([judge(e, datetime.now(UTC)) for e in sent], datetime.now(UTC)).result(5).accepted == 3
    return [one.record.decision_id for one in made]


def consenting(state: State) -> list[str]:
    rows = state.warehouse.read(
        "select user_id from fct_impressions where user_id is not null group by 1 order by count(*) desc"
    )
    return [str(u) for u in rows["user_id"].to_pylist()]


@pytest.fixture
def state(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    monkeypatch.setenv("ADPLATFORM_HOME", str(own_home))
    return State(Settings(home=own_home))


def test_a_decision_names_its_policy_and_the_run_that_made_it(state: State) -> None:
    user = consenting(state)[0]
    decision = decide(state, user)[0]
    found = explain(state.settings, decision)
    policy = found["policy"]
    champion = state.registry.champion("bandit_policy")
    assert champion is not None
    assert policy["version"] == champion.version == found["decision"]["policy_version"]
    assert found["request"]["user_id"] == user
    assert found["recomputed"] == {"equal": True, "largest_difference": 0.0, "text": "equal"}
    assert abs(sum(c["probability"] for c in found["candidates"]) - 1) < 1e-9
    assert policy["materialization"]["asset"] == "bandit_policy_challenger"
    assert policy["materialization"]["run_status"] == "SUCCESS"
    assert uuid.UUID(policy["materialization"]["run_id"])
    assert policy["promotion"]["reason"]
    assert [e["kind"] for e in found["outcomes"]["events"]] == ["impression", "click", "conversion"]
    text = adplatform(state.settings.home, "explain", decision)
    assert text.code == 0, text.err
    for words in ("recomputed: equal", champion.version, policy["materialization"]["run_id"]):
        assert words in text.out


def test_a_decision_that_left_the_log_is_explained_from_what_has_landed(state: State) -> None:
    decision = decide(state, consenting(state)[0])[0]
    before = explain(state.settings, decision)
    land_day(state, datetime.now(UTC).date())
    state.settings.decisions.unlink()
    after = explain(state.settings, decision)
    assert after["decision"]["source"].startswith("landed decision_log")
    same = ("candidates", "features", "policy", "request", "recomputed")
    assert {k: after[k] for k in same} == {k: before[k] for k in same}
    assert after["decision"]["reasons"] is None
    assert any(text.startswith("reasons:") for text in after["unknown"])


def test_probabilities_that_the_version_does_not_give_are_told(state: State) -> None:
    decision = decide(state, consenting(state)[0])[0]
    import sqlite3

    with sqlite3.connect(state.settings.decisions) as log:
        payload = json.loads(
            log.execute("select payload from decisions where decision_id = ?", (decision,)).fetchone()[0]
        )
        payload["probabilities"][0] += 0.001
        log.execute("update decisions set payload = ? where decision_id = ?", (json.dumps(payload), decision))
    ran = adplatform(state.settings.home, "explain", decision, "--json")
    found = json.loads(ran.out)["recomputed"]
    assert ran.code == 1
    assert not found["equal"]
    assert found["largest_difference"] == pytest.approx(0.001)


def test_a_default_rule_is_said_to_have_no_training_and_an_unknown_id_is_one_line(state: State) -> None:
    shutil.rmtree(state.settings.models / "bandit_policy")
    found = explain(state.settings, decide(state, None)[0])
    assert found["policy"]["version"] == "uniform"
    assert any("nothing was trained" in text for text in found["unknown"])
    assert found["recomputed"]["equal"]
    ran = adplatform(state.settings.home, "explain", "d-nobody-knows")
    assert (ran.code, ran.out, ran.error.count("\n")) == (2, "", 0)
    assert "d-nobody-knows" in ran.error


def test_the_log_is_backed_up_restored_and_compacted_by_commands(state: State, tmp_path: Path) -> None:
    home, copy = state.settings.home, tmp_path / "copy.sqlite"
    decide(state, consenting(state)[0], 3)
    saved = json.loads(adplatform(home, "log", "backup", str(copy), "--json").out)
    again = adplatform(home, "log", "backup", str(copy))
    assert (again.code, again.error.count("\n")) == (2, 0)
    compacted = json.loads(adplatform(home, "log", "compact", "--json").out)
    assert compacted["decisions"] == 0
    restored = json.loads(adplatform(home, "log", "restore", str(copy), "--json").out)
    assert restored["decisions"] == saved["decisions"] >= 3
    assert Path(restored["aside"]).exists()
    with DecisionLog(state.settings.decisions):
        held = adplatform(home, "log", "restore", str(copy))
    assert (held.code, held.error.count("\n")) == (3, 0)
    assert adplatform(home, "log", "replay", "--json").code == 0
    assert adplatform(home, "log", "compact", "--keep-days", "1").code == 2


def everywhere(home: Path, word: str) -> Iterator[str]:
    """Every place under the home that has the word: raw bytes, values of Parquet, of DuckDB; journals of databases too."""
    for path in sorted(home.rglob("*")):
        if path.is_file() and word.encode() in path.read_bytes():
            yield f"bytes of {path.relative_to(home)}"
        if path.suffix == ".parquet":
            with pq.ParquetFile(path) as file:
                rows = file.read()
            for name in rows.column_names:
                if any(word in str(value) for value in rows[name].unique().to_pylist()):
                    yield f"{name} of {path.relative_to(home)}"
    if (home / "warehouse.duckdb").exists():
        with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as warehouse:
            names = warehouse.sql(
                "select table_name, column_name from information_schema.columns where data_type = 'VARCHAR'"
            ).fetchall()
            for table_name, column in names:
                if warehouse.sql(
                    f'select 1 from "{table_name}" where contains("{column}", \'{word}\') limit 1'
                ).fetchall():
                    yield f"{column} of {table_name} in the warehouse"


def plant(state: State, demo_home: Path, user: str) -> list[str]:
    """Use the person wherever one can be: online, landed, delivered again, in logs, a kept log, Dagster's history."""
    import dagster as dg

    from adplatform.defs.runs import instance

    home = state.settings.home
    shutil.copytree(demo_home / "inbox", home / "inbox", dirs_exist_ok=True)
    delivered = pq.read_table(home / "inbox" / "users.parquet").to_pylist()
    (home / "inbox" / "users.csv").write_text(
        "user_id,consent\n" + "".join(f"{r['user_id']},{r['consent']}\n" for r in delivered)
    )
    made = decide(state, user, 5)
    with DecisionLog(state.settings.decisions) as log:
        bad = {"event_id": "x", "kind": "view", "user_id": user}
        log.accept([judge(bad, NOW)], NOW).result(5)
    land_day(state, datetime.now(UTC).date())
    shutil.copy(state.settings.decisions, state.settings.decisions.with_name("decisions.sqlite.before-x"))
    for folder in ("logs", "documents"):
        (home / folder / "mention.log").write_text(f'row 3: "{user}" is no audience\nnext line\n')
    with instance(state.settings) as found:
        found.report_runless_asset_event(dg.AssetMaterialization("users", description=f"row 7: {user!r} is odd"))
    return made


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_person_is_deleted_from_every_file_and_everybody_else_stays(state: State, demo_home: Path) -> None:
    home, (user, other) = state.settings.home, consenting(state)[:2]
    plant(state, demo_home, user)
    kept_decision = decide(state, other)[0]
    before = {p.split(" of ")[-1].split("/")[0] for p in everywhere(home, user)}
    assert {
        "inbox",
        "landing",
        "online",
        "profiles",
        "models",
        "logs",
        "documents",
        "dagster",
        "warehouse.duckdb",
    } <= before
    factors = champion_factors(state)
    counts = others(state, user)

    refused = adplatform(home, "delete-user", user)
    assert (refused.code, "--yes" in refused.error) == (2, True)
    with meanwhile(home, other) as ask:
        assert "profile_version" in ask(user)
        ran = adplatform(home, "delete-user", user, "--yes", "--json")
        assert ran.code == 0, ran.err + ran.out
        assert "profile_version" not in ask(user)

    assert list(everywhere(home, user)) == []
    assert others(state, user) == counts
    assert (home / "logs" / "mention.log").read_text().endswith('" is no audience\nnext line\n')
    now = champion_factors(state)
    assert set(factors.users) - set(now.users) == {user}
    creative = np.array(now.creatives)
    one = np.full(len(creative), other)
    assert np.array_equal(now.scores(one, creative), factors.scores(one, creative))
    assert explain(state.settings, kept_decision)["recomputed"]["equal"]
    profiles = Profiles(state.settings.profiles)
    profiles.refresh()
    assert profiles.get(user, NOW) is None
    assert profiles.get(other, NOW) is not None
    again = adplatform(home, "delete-user", user, "--yes")
    assert (again.code, again.error.count("\n")) == (2, 0)
    assert explain(state.settings, decide(state, user)[0])["request"]["user_id"] is None


def champion_factors(state: State) -> InteractionFactors:
    version = state.registry.champion("interaction_factors")
    assert version is not None
    return InteractionFactors.load(state.registry.path("interaction_factors", version.version))


def others(state: State, user: str) -> dict[str, Any]:
    """Rows of everybody else: landed, in the marts, in the training set."""
    found: dict[str, Any] = {}
    for name in ("users", "assignments", "impressions", "conversions"):
        rows = state.landing.read(name).to_pylist()
        found[name] = sum(r["user_id"] != user for r in rows)
    for name in ("fct_impressions", "user_features", "training_examples", "dim_users"):
        if name in ("user_features", "dim_users"):
            day = " and feature_day <= date '2026-11-20'" if name == "user_features" else ""  # the demo's last day
            sql = f"select count(*) as n from {name} where user_id <> '{user}'{day}"
        else:
            sql = f"select count(*) as n from {name} where user_id is distinct from '{user}' and event_day < current_date - 2"
        found[name] = state.warehouse.read(sql)["n"][0].as_py()
    return found
