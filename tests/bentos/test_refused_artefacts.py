"""Each agent's service that cannot take what was published serves the one before, and somebody is told."""

from __future__ import annotations

import importlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from adplatform.assembly import brief_of
from adplatform.settings import Settings
from adplatform.store.alerts import AlertBook
from adplatform.store.registry import Registry
from adplatform.store.snapshots import Snapshots
from bentos.agents import AgentService, Held
from bentos.gateway.worker import BUDGET, Worker

pytestmark = pytest.mark.slow
Mend = Callable[[], object]


def replaced(path: Path, content: bytes) -> Mend:
    """Write a file by rename, as a publication would; how to undo it."""
    before = path.read_bytes()

    def write(new: bytes) -> None:
        path.with_suffix(".new").write_bytes(new)
        path.with_suffix(".new").replace(path)

    write(content)
    return lambda: write(before)


def promoted_and_truncated(config: Settings) -> Mend:
    """A promoted response model whose file was cut off, in a version of its own."""
    registry = Registry(config.models)
    champion = registry.champion("response_model")
    assert champion
    with tempfile.TemporaryDirectory() as name:
        for file in registry.path("response_model", champion.version).rglob("*"):
            (Path(name) / file.name).write_bytes(file.read_bytes())
        (Path(name) / "note").write_text("another")
        version = registry.publish("response_model", Path(name), data_version="test").version
    registry.promote("response_model", version, "better")
    model = registry.path("response_model", version) / "model.txt"
    model.write_bytes(model.read_bytes()[:100])
    return lambda: registry.rollback("response_model")


def snapshot_truncated(config: Settings) -> Mend:
    snapshots = Snapshots(config.snapshots)
    pointed = snapshots.current()
    assert pointed
    mend = replaced(snapshots.path(pointed.version) / "market.json", b"{}")
    pointer = config.snapshots / "current.json"
    moved = pointer.read_bytes()
    replaced(pointer, moved)

    def both() -> None:
        mend()
        replaced(pointer, moved)

    return both


def pointer_to_nothing(config: Settings) -> Mend:
    pointer = config.models / "copy_model" / "champion.json"
    return replaced(pointer, json.dumps({**json.loads(pointer.read_text()), "champion": "0" * 16}).encode())


@pytest.mark.parametrize(
    ("agent", "held", "damage"),
    [
        ("targeting", "agent", promoted_and_truncated),
        ("measurement", "loaded", snapshot_truncated),
        ("creative", "agent", pointer_to_nothing),
    ],
)
def test_what_a_service_cannot_take_is_an_alert_until_it_can(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, agent: str, held: str, damage: Callable[[Settings], Mend]
) -> None:
    monkeypatch.setenv("ADPLATFORM_HOME", str(own_home))
    module: Any = importlib.import_module(f"bentos.{agent}.service")
    present: Held[Any] = getattr(module, held)
    services = [s for s in AgentService.__subclasses__() if s.__module__ == module.__name__]
    assert [s.held for s in services] == [present]  # what the service watches is what its routes ask
    book, key = AlertBook(own_home), f"artefact_refused:{agent}"
    fresh = Held[Any](agent, present._mark, present._build)
    fresh.refresh()
    served = fresh.get()
    assert key not in book.read().open
    mend = damage(Settings(home=own_home))
    fresh.refresh()
    alert = book.read().open[key].alert
    assert alert.severity == "error"
    assert "damaged" in alert.what or "no version" in alert.what
    assert fresh.get() is served
    mend()
    fresh.refresh()
    assert key not in book.read().open
    assert fresh.get() is not served


def test_a_plan_goes_by_the_budget_policy_before_a_broken_one_or_by_a_rule_where_there_is_none(own_home: Path) -> None:
    config = Settings(home=own_home)
    pointer = config.models / BUDGET / "champion.json"
    broken = json.dumps({**json.loads(pointer.read_text()), "champion": "0" * 16}).encode()

    def budgeted(worker: Worker) -> tuple[str, str | None]:
        planned = worker.plan(brief_of(config, "c01"), time.perf_counter() + 60, "r1")
        (step,) = (s for s in planned.trace if s.agent == "budget")
        return step.version, step.fallback

    with opened(config) as running:
        before = budgeted(running)
        assert before[1] is None
        mend = replaced(pointer, broken)
        running.budget.refresh()
        assert budgeted(running) == before
        with opened(config) as started:
            assert budgeted(started)[1] is not None
        assert f"artefact_refused:{BUDGET}" in AlertBook(own_home).read().open
        mend()
        running.budget.refresh()
        assert f"artefact_refused:{BUDGET}" not in AlertBook(own_home).read().open


@contextmanager
def opened(config: Settings) -> Iterator[Worker]:
    worker = Worker()
    worker.open(config)
    try:
        yield worker
    finally:
        worker.close()


def test_before_anything_is_published_a_service_says_so_and_nobody_is_alarmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADPLATFORM_HOME", str(tmp_path))
    for agent, held in (("targeting", "agent"), ("measurement", "loaded"), ("creative", "agent")):
        present = getattr(importlib.import_module(f"bentos.{agent}.service"), held)
        fresh = Held[Any](agent, present._mark, present._build)
        fresh.refresh()
        with pytest.raises(Exception, match="materialize"):
            fresh.get()
    assert AlertBook(tmp_path).read().open == {}
