"""A Bento is built without a network from a copy of the tree, serves that copy's code, and is built again for new code alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from adplatform import batch, bento, inputs
from adplatform.assembly import brief_of
from adplatform.contracts.creative import CreativeRequest, CreativeSet
from adplatform.contracts.measurement import ExperimentDecision
from adplatform.contracts.serving import Decision
from adplatform.contracts.targeting import RankRequest, SegmentRanking
from adplatform.serve import free_port
from adplatform.settings import Settings
from adplatform.state import State
from adplatform.store.library import Library
from benchmarks.served import group
from tests.homes import REPOSITORY, adplatform

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
NO_NETWORK = {"HTTPS_PROXY": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "127.0.0.1"}


def build(tree: Path, store: Path, *services: str) -> list[str]:
    env = {**os.environ, "BENTOML_HOME": str(store), "ADPLATFORM_HOME": str(store / "home"), **NO_NETWORK}
    command = [sys.executable, "-m", "bentos.build", *services]
    ran = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return [line for line in ran.stdout.splitlines() if line.split(":")[0] in bento.SERVICES]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy whose services say that they are one."""
    root = tmp_path_factory.mktemp("tree")
    for name in ("adplatform", "bentos"):
        shutil.copytree(REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / bento.REQUIREMENTS, root)
    text = (root / "bentos" / "http.py").read_text()
    (root / "bentos" / "http.py").write_text(text.replace("FastAPI(title=", 'FastAPI(description="the copy", title='))
    return root


@pytest.fixture(scope="module")
def store(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bentos")
    version = bento.code_version(tree)
    assert build(tree, path) == [f"{service}:{version}" for service in bento.SERVICES]
    return path


@contextmanager
def served(store: Path, tree: Path, service: str, home: Path, key: str) -> Iterator[httpx.Client]:
    port = free_port()
    start = [str(Path(sys.executable).with_name("bentoml")), "serve", f"{service}:{bento.code_version(tree)}"]
    env = {"BENTOML_HOME": str(store), "ADPLATFORM_HOME": str(home), **NO_NETWORK}
    log = home / f"{service}.log"
    with group([*start, "--host", "127.0.0.1", "--port", str(port)], port, log, key, env) as (_, client):
        page = client.get("/openapi.json").json()
        assert page["info"]["description"] == "the copy"
        yield client


def test_every_bento_serves_its_own_code_and_answers(store: Path, tree: Path, home: Path, key: str) -> None:
    """Bentos hold no model: each is answered with what the home has published."""
    state = State(Settings(home=home))
    inputs.publish(state.settings.snapshots, batch.agent_inputs(state), 3)
    with served(store, tree, "gateway", home, key) as client:
        candidates = list(Library(state.settings.landing).creatives)[:5]
        made = Decision.model_validate_json(client.post("/v1/decide", json={"candidates": candidates}).content)
        assert made.policy_version != "uniform"
    with served(store, tree, "targeting", home, key) as client:
        asked = RankRequest(creatives=batch.measurement_inputs(state).library[:2], limit=5).model_dump(mode="json")
        assert SegmentRanking.model_validate_json(client.post("/v1/segments/rank", json=asked).content).scores
    with served(store, tree, "measurement", home, key) as client:
        counts = batch.agent_inputs(state).market.experiments[0]
        answer = client.post("/v1/lift", json=counts.model_dump(mode="json"))
        assert ExperimentDecision.model_validate_json(answer.content).experiment_id == counts.experiment_id
    with served(store, tree, "creative", home, key) as client:
        brief = CreativeRequest(brief=brief_of(state.settings, "c01"), seed=state.settings.seed)  # worded by the demo
        answer = client.post("/v1/creatives", json=brief.model_dump(mode="json"))
        assert CreativeSet.model_validate_json(answer.content).variants


def test_a_gateway_without_any_model_decides_by_the_rule_within(store: Path, tree: Path, home: Path, key: str) -> None:
    """Runs after the others: it takes the policy's pointer away."""
    pointer = home / "models" / "bandit_policy" / "champion.json"
    away = pointer.rename(pointer.with_suffix(".away"))
    try:
        with served(store, tree, "gateway", home, key) as client:
            candidates = list(Library(home / "landing").creatives)[:4]
            made = Decision.model_validate_json(client.post("/v1/decide", json={"candidates": candidates}).content)
            assert (made.policy_version, made.propensity) == ("uniform", 0.25)
    finally:
        away.rename(pointer)


def test_the_same_code_is_built_once_and_other_code_is_another_bento(store: Path, tree: Path) -> None:
    version = bento.code_version(tree)
    made = store / "bentos" / "gateway" / version / "bento.yaml"
    before = made.read_bytes()
    assert build(tree, store, "gateway") == [f"gateway:{version}"]
    assert made.read_bytes() == before
    changed = tree / "adplatform" / "store" / "keys.py"
    changed.write_text(changed.read_text() + "\n")
    other = bento.code_version(tree)
    assert other != version
    assert build(tree, store, "gateway") == [f"gateway:{other}"]
    docs = tree / "adplatform" / "cli.py"
    docs.write_text(docs.read_text() + "\n")
    assert bento.code_version(tree) == other  # no service runs it


def test_a_bento_holds_its_code_alone(store: Path, tree: Path) -> None:
    source = store / "bentos" / "gateway"
    (first, *_) = [p for p in source.iterdir() if p.is_dir()]
    found = {p.relative_to(first / "src").as_posix() for p in (first / "src").rglob("*") if p.is_file()}
    assert found - {"bentofile.yaml"} == set(bento.code_files(tree))


def test_the_asset_builds_the_bento_of_this_checkout(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENTOML_HOME", raising=False)
    ran = adplatform(own_home, "materialize", "key:targeting_bento")
    assert ran.code == 0, ran.err
    made = own_home / "bentoml" / "bentos" / "targeting" / bento.code_version()
    assert (made / "bento.yaml").exists()


def test_a_service_that_is_none_is_refused_in_one_line() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "bentos.build", "nothing"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert ran.returncode != 0
    assert ran.stderr.strip().startswith("nothing is no service; give some of gateway")
