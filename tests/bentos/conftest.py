"""A gateway that serves a copy of the demo's home, started once for all tests that do not kill it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from adplatform.settings import Settings
from adplatform.store.keys import Keys, Scope
from benchmarks.served import Gateway, copied, served
from tests.bentos.tiny_server import bare, bento, inner, secret, server, tiny_keys  # noqa: F401


@pytest.fixture(scope="session")
def home(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with published profiles."""
    return copied(demo_home, tmp_path_factory.mktemp("online") / "home")


@pytest.fixture(scope="session")
def key(home: Path) -> str:
    """The secret of a key with every scope."""
    return Keys(Settings(home=home).keys).add("tests", list(Scope))[1]


@pytest.fixture(scope="session")
def gateway(home: Path, key: str) -> Iterator[Gateway]:
    """A served gateway."""
    with served(home, key) as found:
        yield found
