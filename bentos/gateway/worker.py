"""What one worker process holds open while it serves."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import Final

from adplatform.contracts.errors import AdPlatformError
from adplatform.settings import Settings, settings
from adplatform.store.decision_log import DecisionLog
from adplatform.store.decision_rows import Tail
from adplatform.store.library import Library
from adplatform.store.profiles import Profiles
from adplatform.store.registry import Registry
from bentos.gateway.deciding import Deciding

POLL_SECONDS: Final = 0.5
EXPIRE_SECONDS: Final = 60.0
_log = logging.getLogger(__name__)


class Worker:
    """Decision log, policy, profiles and library; ``open`` before the first request, ``close`` after the last."""

    log: DecisionLog
    deciding: Deciding

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def open(self, config: Settings | None = None) -> None:
        """Open everything. Raises SetupError where the log is damaged."""
        config = config or settings()
        self.log = DecisionLog(config.decisions).__enter__()
        self.profiles = Profiles(config.profiles)
        self.library = Library(config.landing)
        self.deciding = Deciding(Registry(config.models), lambda: self.library.creatives, self.profiles)
        self.tail = Tail(config.decisions)
        self._refresh()
        self.horizon = timedelta(hours=config.horizon_hours)
        self._every(POLL_SECONDS, self._refresh)
        self._every(EXPIRE_SECONDS, self._expire)

    def close(self) -> None:
        """Commit what is queued and end."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.log.__exit__()
        self.tail.close()

    def _every(self, seconds: float, work: object) -> None:
        def run() -> None:
            while not self._stop.wait(seconds):
                try:
                    work()  # type: ignore[operator]
                except (AdPlatformError, OSError):
                    _log.exception("will be tried again")

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _refresh(self) -> None:
        self.deciding.refresh()
        self.profiles.refresh()
        while outcomes := self.tail.read():
            self.profiles.replay(outcomes)
        self.library.refresh()

    def _expire(self) -> None:
        moved = self.log.expire(datetime.now(UTC), self.horizon).result()
        if moved:
            _log.warning("%d events were rejected: their decision never came", moved)
