"""The gateway with slow parts: ``slow.json`` in its home says how many seconds a look-up, a commit or scoring takes, and
whether a look-up fails. Read at each call, so that one server serves every test.
"""

from __future__ import annotations

import json
import sqlite3
import time
from datetime import datetime
from typing import Any

from adplatform.contracts.profiles import Profile
from adplatform.settings import settings
from bentos.gateway.service import Gateway, worker
from bentos.gateway.turns import TurnLog

__all__ = ["Gateway"]


def said(what: str) -> Any:
    path = settings().home / "slow.json"
    return json.loads(path.read_text()).get(what, 0) if path.exists() else 0


class SlowProfiles:
    def __init__(self, profiles: Any) -> None:
        self.profiles, self.version = profiles, profiles.version

    def get(self, user_id: str, at: datetime) -> Profile | None:
        time.sleep(said("look_up"))
        if said("look_up_fails"):
            raise OSError("on purpose")
        found: Profile | None = self.profiles.get(user_id, at)
        return found


def commit(connection: sqlite3.Connection) -> None:
    time.sleep(said("commit"))
    connection.commit()


whole = worker.open


def opened() -> None:
    whole()
    worker.log.__exit__()
    worker.log = TurnLog(worker.config.decisions, commit)
    worker.log.__enter__()
    worker.deciding.profiles = SlowProfiles(worker.profiles)


worker.open = opened  # type: ignore[method-assign,assignment]
