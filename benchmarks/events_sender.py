"""A client that sends decisions and events whatever is killed, and remembers what it was told."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import cycle
from typing import Any, Final

import httpx

KINDS: Final = ("impression", *["click"] * 8, "conversion")
"""Of the events of each decision: as many as the long form has events for each of its decisions, so that both end together."""
_TRANSPORT: Final = (httpx.TransportError,)


class Sender:
    """A batch that was not answered is sent again, as a client of an idempotent endpoint does. Each has one event that is
    no event, which must be rejected alone.
    """

    def __init__(self, port: int, key: str, creatives: Sequence[str], users: Sequence[str]) -> None:
        self.url, self.headers = f"http://127.0.0.1:{port}", {"authorization": f"Bearer {key}"}
        self.creatives, self.users = list(creatives[:3]), cycle(users)
        self.decided: set[str] = set()
        self.sent: set[str] = set()
        self.stored: set[str] = set()
        """Events whose batch was answered."""
        self.spoiled: set[str] = set()
        self.rejected: set[str] = set()
        """Of the spoiled, those whose batch was answered."""
        self.wrong: list[str] = []
        self.too_late = 0
        """Refused, for they had waited longer than their deadline where the killed were; sent again like the unanswered."""
        self._stop = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def __enter__(self) -> Sender:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.thread.join(60)

    def _run(self) -> None:
        with httpx.Client(base_url=self.url, headers=self.headers, timeout=5) as client:
            while not self._stop.is_set():
                made = self._told(client, "/v1/decide", {"candidates": self.creatives, "user_id": next(self.users)})
                if made is not None:
                    self.decided.add(made["decision_id"])
                    self._follow(client, made["decision_id"])

    def _follow(self, client: httpx.Client, decision: str) -> None:
        """Send what followed a decision until it is answered."""
        common = {"decision_id": decision, "occurred_at": datetime.now(UTC).isoformat()}
        batch: list[dict[str, Any]] = [{"event_id": uuid.uuid4().hex, "kind": kind, **common} for kind in KINDS]
        batch[-1]["value"] = 1.5
        spoiled: dict[str, Any] = {"event_id": uuid.uuid4().hex, "kind": "click", "value": 1.5, **common}
        ids = {e["event_id"] for e in batch}
        self.sent |= ids
        self.spoiled.add(spoiled["event_id"])
        while not self._stop.is_set():
            report = self._told(client, "/v1/events", {"events": [*batch, spoiled]})
            if report is None:
                continue
            refused = [r["event_id"] for r in report["rejected"]]
            if report["accepted"] + report["duplicates"] != len(batch) or refused != [spoiled["event_id"]]:
                self.wrong.append(str(report))
            self.stored |= ids
            self.rejected.add(spoiled["event_id"])
            return

    def _told(self, client: httpx.Client, path: str, body: object) -> dict[str, Any] | None:
        """The answer; None where there was none, so that nothing was promised."""
        try:
            answer = client.post(path, json=body)
        except _TRANSPORT:
            time.sleep(0.02)
            return None
        if answer.status_code == 503 and answer.json()["error"] == "too_late":
            self.too_late += 1
            time.sleep(0.02)
            return None
        if answer.status_code != 200:
            self.wrong.append(f"{answer.status_code} {answer.text[:200]}")
            return None
        found: dict[str, Any] = answer.json()
        return found
