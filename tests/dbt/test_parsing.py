"""The dbt project is parsed by one process at a time: two that write one manifest leave neither's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from adplatform.defs.behaviour import project
from adplatform.settings import Settings
from tests.homes import REPOSITORY

NODES = "import json; from adplatform.defs.behaviour import project; print(len(json.loads(project().manifest_path.read_text())['nodes']))"


@pytest.mark.slow
def test_processes_that_start_at_once_on_a_new_home_all_have_the_manifest(tmp_path: Path) -> None:
    env = {**os.environ, "ADPLATFORM_HOME": str(tmp_path)}
    command = [sys.executable, "-c", NODES]
    started = [subprocess.Popen(command, env=env, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    counts = {process.communicate(timeout=120)[0].splitlines()[-1] for process in started}
    assert [process.returncode for process in started] == [0, 0]
    assert len(counts) == 1
    assert int(counts.pop()) > 50
    manifest = project(Settings(home=tmp_path)).manifest_path
    assert len(list((tmp_path / "dbt").glob("*.lock"))) == 1
    written = manifest.stat().st_mtime_ns
    project(Settings(home=tmp_path))
    assert manifest.stat().st_mtime_ns == written  # nothing has changed, nothing is parsed
    manifest.write_text(manifest.read_text()[:1000])
    (manifest.parent / "parsed-from").unlink()  # as a parse that was killed leaves it
    assert json.loads(project(Settings(home=tmp_path)).manifest_path.read_text())["nodes"]
