"""Fixtures for every room."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

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
