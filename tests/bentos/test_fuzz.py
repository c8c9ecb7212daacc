"""What schemathesis makes of the served OpenAPI, answered as the page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import fuzz_claim

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_schemathesis_finds_nothing(demo_home: Path) -> None:
    claim = fuzz_claim.run(examples=40, seed=5, source=demo_home)
    assert claim.holds, claim.detail
