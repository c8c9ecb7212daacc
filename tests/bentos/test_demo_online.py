"""The demo's traffic: every slot answered, every event accepted, clicks by the truth of the market."""

from __future__ import annotations

import json

import pytest

from adplatform.demo import online
from adplatform.demo.loop import _reaches_today
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


def test_traffic_of_today_follows_only_data_that_ends_yesterday() -> None:
    assert not _reaches_today({"name": "simulated", "last_day": "2026-01-01"})
    assert not _reaches_today({"name": "open-bandit", "last_day": "2019-11-30"})
