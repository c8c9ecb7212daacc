"""A home in which the whole loop has run once, shared by every test that reads and never by one that writes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from filelock import FileLock

REPOSITORY = Path(__file__).resolve().parent.parent


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that an error is."""
        return self.err.strip()


def adplatform(home: Path, *arguments: str, **environment: str) -> Ran:
    """Run the command line in a process of its own, on ``home``."""
    env = {**os.environ, "ADPLATFORM_HOME": str(home), "COLUMNS": "200", "NO_COLOR": "1", **environment}
    command = [sys.executable, "-m", "adplatform.cli", *arguments]
    found = subprocess.run(command, env=env, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return Ran(found.returncode, found.stdout, found.stderr)


@pytest.fixture(scope="session")
def demo_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``adplatform demo`` at tiny scale, one campaign planned, no claims; made once for all workers.

    ADPLATFORM_TEST_HOME says where; one that is there already is taken, for a second run of pytest.
    """
    root = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        root = root.parent
    home = Path(os.environ.get("ADPLATFORM_TEST_HOME") or root / "demo_home")
    with FileLock(root / "demo_home.lock"):
        if not (home / "reports" / "latest" / "report.html").exists():
            ran = adplatform(home, "demo", "--no-claims", "--campaigns", "1", "--last-day", "2026-11-20")
            assert ran.code == 0, ran.err[-4000:] + ran.out[-2000:]
    return home


@pytest.fixture
def own_home(demo_home: Path, tmp_path: Path) -> Path:
    """A copy of the demo's home that a test may change."""
    target = tmp_path / "home"
    shutil.copytree(demo_home, target, ignore=shutil.ignore_patterns("inbox", "*.lock"))
    return target
