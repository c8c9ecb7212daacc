"""The demo's traffic: every slot answered, every event accepted, clicks by the truth of the market."""

from __future__ import annotations

import json

import pytest

from adplatform.demo import online
from adplatform.demo.loop import _reaches_today
from adplatform.store.registry import Registry
from benchmarks.served import Gateway

pytestmark = pytest.mark.slow


def test_what_the_demo_plays_is_decided_logged_and_clicked(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(online, "DECISIONS", 200)
    market = online.market_of(json.loads((gateway.home / "dataset.json").read_text()))
    played = online.play(gateway.client, market, seed=7)
    assert (played.decisions, played.impressions) == (200, 200)
    assert 0 < played.personal < 200
    assert 0 < played.expected_clicks < 60
    assert played.median_ms > 0
    candidates = market.oracle().creative_ids("c01")
    assert online.seconds_until(gateway.client, candidates, played.policy_version) is not None


def test_the_demo_swaps_to_what_was_promoted_else_to_the_champion_before_and_back(gateway: Gateway) -> None:
    registry, candidates = Registry(gateway.home / "models"), gateway.creatives[:3]
    first, *_, last = [p for p in registry.history("bandit_policy") if p.promoted]
    kept = online.swap(gateway.client, registry, candidates, last.champion)
    assert (kept.policy_after_retraining, kept.swap) == (last.champion, "the champion before, and back")
    assert kept.swap_seconds is not None
    rolled, back = registry.history("bandit_policy")[-2:]
    assert (rolled.champion, back.champion, back.reason) == (first.champion, last.champion, last.reason)
    new = online.swap(gateway.client, registry, candidates, first.champion)
    assert (new.policy_after_retraining, new.swap) == (last.champion, "the new champion")
    assert new.swap_seconds is not None


def test_a_policy_that_the_gateway_does_not_take_is_told(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(online, "SWAP_SECONDS", 1.0)
    other = Registry(gateway.home / "models-that-nobody-serves")
    for name in ("one", "two"):
        folder = gateway.home / "made" / name
        folder.mkdir(parents=True)
        (folder / "model.json").write_text(name)
        version = other.publish("bandit_policy", folder, data_version="d").version
        other.promote("bandit_policy", version, name)
    assert online.swap(gateway.client, other, gateway.creatives[:3], version).swap_seconds is None


def test_traffic_of_today_follows_only_data_that_ends_yesterday() -> None:
    assert not _reaches_today({"name": "simulated", "last_day": "2026-01-01"})
    assert not _reaches_today({"name": "open-bandit", "last_day": "2019-11-30"})
