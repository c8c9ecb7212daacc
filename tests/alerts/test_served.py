"""A broken artefact is refused with an alert that is over when the servers take a champion again."""

from __future__ import annotations

from pathlib import Path

import pytest

from adplatform.settings import Settings
from adplatform.store.alerts import AlertBook
from adplatform.store.registry import Registry
from adplatform.targeting.bandit import UniformPolicy
from bentos.gateway.worker import Worker


@pytest.mark.parametrize("mend", ["rollback", "promote"])
def test_a_broken_policy_is_an_alert_until_a_champion_is_taken(
    tmp_path: Path, mend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bentos.gateway.worker.POLL_SECONDS", 3600)  # only the test looks at the pointer
    registry, folder = Registry(tmp_path / "models"), tmp_path / "made"
    versions = []
    for n in range(3):
        UniformPolicy().save(folder)
        (folder / "note.txt").write_text(str(n))
        versions.append(registry.publish("bandit_policy", folder, data_version="d").version)
    registry.promote("bandit_policy", versions[0], "first")
    worker = Worker()
    worker.open(Settings(home=tmp_path))
    try:
        assert worker.deciding.serving.version == versions[0]
        registry.promote("bandit_policy", versions[1], "better")
        note = registry.path("bandit_policy", versions[1]) / "note.txt"
        note.write_text("damaged")
        worker.deciding.refresh()
        held = AlertBook(tmp_path).read().open["artefact_refused:bandit_policy"]
        assert held.alert.facts == {"version": versions[1]}
        assert "damaged" in held.alert.what
        assert worker.deciding.serving.version == versions[0]
        if mend == "rollback":
            registry.rollback("bandit_policy")
        else:
            registry.promote("bandit_policy", versions[2], "sound")
        worker.deciding.refresh()
        assert AlertBook(tmp_path).read().open == {}
    finally:
        worker.close()
