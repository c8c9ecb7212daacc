"""A home with nothing in it, and a Dagster instance."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.alerts.world import BROKEN, World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("ADPLATFORM_HOME", str(home))
    monkeypatch.setenv("ADPLATFORM_DISK_RESERVE_MB", "0")
    BROKEN.clear()
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield World(home, instance)
