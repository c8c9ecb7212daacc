from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from adplatform.settings import Settings
from adplatform.state import State
from adplatform.store.landing import Landing
from tests.store.world import new_landing


@pytest.fixture(autouse=True)
def _quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for the disk in this process: what a sync is for, no test can see without pulling the plug."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that holds the entities and no event."""
    return new_landing(tmp_path_factory.mktemp("template") / "home").settings.home


@pytest.fixture
def new_home(template: Path) -> Callable[[Path], Landing]:
    """``new_home(path)``: a landing zone of its own that holds the entities and no event."""

    def make(home: Path) -> Landing:
        shutil.copytree(template, home)
        return Landing(Settings(home=home))

    return make


@pytest.fixture
def landing(tmp_path: Path, new_home: Callable[[Path], Landing]) -> Landing:
    """A landing zone that holds the entities and no event."""
    return new_home(tmp_path / "home")


@pytest.fixture
def state(tmp_path: Path, new_home: Callable[[Path], Landing]) -> State:
    """A home that holds the entities and no event."""
    return State(Settings(home=new_home(tmp_path / "home").settings.home))
