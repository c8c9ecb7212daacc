"""The endpoint's answer is batch's, to the last bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import parity_claim

pytestmark = pytest.mark.slow


def test_what_was_answered_online_is_what_batch_computes_of_the_log(demo_home: Path) -> None:
    claim = parity_claim.run(n=200, seed=3, source=demo_home)
    assert claim.holds, claim.detail
    assert claim.detail["twin_other_temperature"] > 1e-6
