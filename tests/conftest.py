"""Fixtures for every room."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

if os.environ.get("PYTEST_XDIST_WORKER"):  # the workers share the cores: a second thread of each would spin in wait
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.homes import demo_home, own_home  # noqa: F401

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture
def shared_data() -> Callable[[str], Path]:
    """``shared_data("hillstrom")``: directory of a real data set, or skip when this machine has none."""
    root = Path(os.environ.get("ADPLATFORM_DATA", REPOSITORY.parent / "shared" / "data"))

    def find(name: str) -> Path:
        path = root / name
        if not path.exists():
            pytest.skip(f"real data {name!r} is not in {root}; set ADPLATFORM_DATA to where it is")
        return path

    return find


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the modules, which ``--dist loadfile`` hands out whole as workers get free. One that needs the demo's home is
    first, so that one worker makes it while another tests what is slow without it; then come the rest of those, and what
    is quick fills the end.
    """
    needing = {item.path for item in items if "demo_home" in getattr(item, "fixturenames", ())}
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    maker = next((item.path for item in items if item.path in needing), None)

    def place(item: pytest.Item) -> int:
        return 0 if item.path == maker else 2 if item.path in needing else 1 if item.path in slow else 3

    items.sort(key=place)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a program that is missing; where ADPLATFORM_REQUIRE names it (in CI) that is a failure."""
    for marker in item.iter_markers("needs"):
        program = marker.args[0]
        if shutil.which(program):
            continue
        if program in os.environ.get("ADPLATFORM_REQUIRE", "").split(","):
            pytest.fail(f"{program} is required here and is not installed")
        pytest.skip(f"{program} is not installed (apt-get install {program})")
