"""A promoted policy reaches every worker without a failed or a mixed answer; a broken one is refused."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from adplatform.store.profiles import Profiles
from adplatform.store.registry import Registry
from benchmarks import swap_claim
from benchmarks.served import Gateway, served
from benchmarks.swap_claim import AGENT, ask, mixed_answers, policies, taken_after
from bentos.gateway.deciding import Deciding

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def swapping(home: Path, key: str) -> Iterator[Gateway]:
    with served(home, key, ADPLATFORM_WORKERS="2") as found:
        yield found


@pytest.fixture(scope="module")
def versions(home: Path) -> list[str]:
    return policies(home)


def test_swaps_under_load_fail_and_mix_nothing(demo_home: Path) -> None:
    """How soon they arrive is for `make prove` and the demo to say, not for a machine that runs other tests."""
    claim = swap_claim.run(swaps=5, source=demo_home)
    assert (claim.detail["failed"], claim.detail["mixed"]) == ([], 0)
    assert claim.detail["twin_mixed_with_another_version"] > 0
    assert claim.detail["answers"] >= claim.n


def test_an_answer_that_names_another_version_is_found_out(swapping: Gateway, versions: list[str]) -> None:
    registry = Registry(swapping.home / "models")
    registry.promote(AGENT, versions[0], "first")
    assert taken_after(swapping, versions[0]) is not None
    honest = ask(swapping, swapping.client)
    assert mixed_answers(swapping.home, [honest])[0] == 0
    assert mixed_answers(swapping.home, [honest.model_copy(update={"policy_version": versions[2]})])[0] == 1


def test_a_rollback_arrives_likewise(swapping: Gateway, versions: list[str]) -> None:
    registry = Registry(swapping.home / "models")
    registry.promote(AGENT, versions[0], "first")
    registry.promote(AGENT, versions[1], "second")
    assert taken_after(swapping, versions[1]) is not None
    assert registry.rollback(AGENT).champion == versions[0]
    assert taken_after(swapping, versions[0]) is not None


@pytest.mark.parametrize("damage", ["truncated", "changed", "gone", "pointer"])
def test_a_broken_artefact_is_refused_and_the_old_one_serves_on(
    swapping: Gateway, versions: list[str], damage: str
) -> None:
    registry = Registry(swapping.home / "models")
    registry.promote(AGENT, versions[1], "good")
    assert taken_after(swapping, versions[1]) is not None
    victim = registry.path(AGENT, versions[2]) / "model" / "model.txt"
    whole, pointer = victim.read_bytes(), registry.root / AGENT / "champion.json"
    present = json.loads(pointer.read_text())
    try:
        if damage == "gone":
            victim.unlink()
        elif damage != "pointer":
            victim.write_bytes(whole[: len(whole) // 2] if damage == "truncated" else whole.replace(b"1", b"2", 1))
        changed = pointer.with_suffix(".new")
        changed.write_text("{" if damage == "pointer" else json.dumps({**present, "champion": versions[2]}))
        changed.replace(pointer)
        time.sleep(1.5)
        assert taken_after(swapping, versions[1], 10) is not None
        assert f"{'?' if damage == 'pointer' else versions[2]} is refused" in swapping.log.read_text()
        restarted = Deciding(registry, dict, Profiles(swapping.home / "profiles"))
        assert restarted.serving.version == versions[1]
    finally:
        victim.write_bytes(whole)
        restored = pointer.with_suffix(".new")
        restored.write_text(json.dumps(present))
        restored.replace(pointer)
