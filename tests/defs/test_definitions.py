"""The catalogue as a data team sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.homes import REPOSITORY

SNAPSHOT = Path(__file__).with_name("catalogue.json")
LOOK = """
import json, sys
from adplatform.definitions import defs
import dagster as dg
graph = defs.resolve_asset_graph()
rows = {}
for key in sorted(graph.materializable_asset_keys):
    node = graph.get(key)
    checks = sorted(c.name for c in graph.asset_check_keys if c.asset_key == key)
    own = [c for c in checks if not node.group_name == "behaviour"]
    rows[key.to_user_string()] = {
        "group": node.group_name, "owners": sorted(node.owners), "kinds": sorted(node.kinds), "described": bool(node.description),
        "partitioned": node.is_partitioned, "checks": own, "upstream": sorted(k.to_user_string() for k in node.parent_keys),
    }
jobs = sorted(j.name for j in defs.resolve_all_job_defs() if not j.name.startswith("__"))
heavy = [m for m in ("torch", "pymc", "lightgbm", "transformers", "sklearn") if m in sys.modules]
print(json.dumps({"assets": rows, "jobs": jobs, "heavy": heavy}))
"""


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> dict:
    home = tmp_path_factory.mktemp("home")
    env = {**os.environ, "ADPLATFORM_HOME": str(home)}
    ran = subprocess.run(
        [sys.executable, "-c", LOOK], env=env, cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return json.loads(ran.stdout.splitlines()[-1])


def test_definitions_load_without_the_heavy_libraries(catalogue: dict) -> None:
    assert catalogue["heavy"] == []


def test_every_asset_has_owner_group_kind_and_description(catalogue: dict) -> None:
    poor = [
        n for n, a in catalogue["assets"].items() if not (a["owners"] and a["kinds"] and a["described"] and a["group"])
    ]
    assert poor == []


def test_everything_downstream_depends_on_champions_and_never_on_a_challenger(catalogue: dict) -> None:
    for name, asset in catalogue["assets"].items():
        challengers = [u for u in asset["upstream"] if u.endswith("_challenger")]
        if challengers:
            assert name in {"policy_evaluation", *(c.replace("_challenger", "_champion") for c in challengers)}


def test_the_catalogue_is_the_one_that_was_agreed(catalogue: dict) -> None:
    """A change here is a change for a data team: look at it, then ``ADPLATFORM_ACCEPT=1`` writes it."""
    now = {k: catalogue[k] for k in ("assets", "jobs")}
    if os.environ.get("ADPLATFORM_ACCEPT"):
        SNAPSHOT.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")
    assert now == json.loads(SNAPSHOT.read_text())
