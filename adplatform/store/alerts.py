"""Open alerts and the notices that are still to be sent: one file under the home, changed under a lock.

Any process may raise and resolve: a run, a sensor, an endpoint. Nothing here opens a connection; ``alerts.deliver``
sends what is queued. Every notice is a line in ``logs/alerts.log`` and goes to Python's logging at once.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

from pydantic import Field, ValidationError

from adplatform.contracts.alerts import Alert, Notice, NoticeState, OpenAlert, Severity
from adplatform.contracts.base import Message
from adplatform.contracts.errors import AdPlatformError
from adplatform.settings import Settings
from adplatform.store.atomic import disk_errors, write_bytes
from adplatform.store.lock import file_lock

LOCK_SECONDS: Final = 5.0
MOST_QUEUED: Final = 500
"""Notices kept for channels that do not answer; the oldest are dropped then, and stay in the log."""
_LEVELS: Final = {Severity.INFO: logging.INFO, Severity.WARNING: logging.WARNING, Severity.ERROR: logging.ERROR}
_log = logging.getLogger("adplatform.alerts")
T = TypeVar("T")


class _Memory:
    """What this process knows of a home whose book cannot be written (its disk is full)."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.open: dict[str, OpenAlert] = {}
        self.loose: list[Notice] = []


_memories: defaultdict[Path, _Memory] = defaultdict(_Memory)


class Queued(Message):
    """A notice with the channels that have not taken it yet."""

    notice: Notice
    channels: tuple[str, ...]


class Book(Message):
    """What the file holds. ``open`` by key; ``queue`` oldest first."""

    open: dict[str, OpenAlert] = Field(default_factory=dict)
    queue: tuple[Queued, ...] = ()


class AlertBook:
    """The alerts of one home. Every method may be called by several threads and processes at once."""

    def __init__(
        self,
        home: Path,
        channels: Sequence[str] = (),
        repeat: timedelta = timedelta(hours=24),
        secrets: Sequence[str] = (),
    ) -> None:
        """``channels``: names of those that notices are queued for; ``secrets``: texts that never leave."""
        self.path, self.log_path = home / "alerts" / "book.json", home / "logs" / "alerts.log"
        self.channels, self.repeat, self._secrets = tuple(channels), repeat, tuple(s for s in secrets if s)
        self._memory = _memories[self.path]

    @classmethod
    def of(cls, config: Settings) -> AlertBook:
        """The book of the home, for the channels that are configured."""
        secrets = (config.webhook_url, config.smtp_password, config.service_key)
        return cls(
            config.home, config.alert_channels, timedelta(hours=config.alert_repeat_hours),
            [s.get_secret_value() for s in secrets if s],
        )  # fmt: skip

    def read(self) -> Book:
        """Open alerts and queue as they are; empty before the first, and where the file is damaged."""
        try:
            return Book.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return Book()
        except (ValidationError, OSError) as error:
            _log.error("%s cannot be read and counts as empty: %s", self.path, type(error).__name__)
            return Book()

    def raise_(self, alert: Alert, now: datetime | None = None) -> Notice | None:
        """Open the alert, or count it where it is open and occurred again; the notice, where one is due.

        One is due the first time, when it became worse, and every ``repeat`` while it is raised again (info: never).
        Raises nothing: where the book can't be kept, this process remembers, and ``loose`` has the notice.
        """
        now, alert = now or datetime.now(UTC), self._clean(alert)
        try:
            notice = self._change(lambda book: self._raised(book, alert, now))
        except (AdPlatformError, OSError) as error:
            _log.error("the book of alerts cannot be kept (%s)", self._redact(str(error)))
            with self._memory.lock:
                notice, known = self._opened(self._memory.open.get(alert.key), alert, now)
                self._memory.open[alert.key] = known
                self._memory.loose += [notice] if notice else []
        if notice:
            self._write_log(notice)
        return notice

    def resolve(self, key: str, now: datetime | None = None) -> Notice | None:
        """Close the alert; the notice that says how long it lasted, None where it was not open. Raises nothing."""
        now = now or datetime.now(UTC)
        with self._memory.lock:
            held = self._memory.open.pop(key, None)
        if held is None and key not in self.read().open:
            return None
        notice: Notice | None = None
        try:
            notice = self._change(lambda book: self._resolved(book, key, held, now))
        except (AdPlatformError, OSError) as error:
            _log.error("%s stays open, the book of alerts cannot be kept (%s)", key, self._redact(str(error)))
            with self._memory.lock:
                self._memory.open |= {key: held} if held else {}
        if notice:
            self._write_log(notice)
        return notice

    def remind(self, now: datetime | None = None) -> list[Notice]:
        """Tell again what is open and was told longer ago than ``repeat`` (info: never). Raises nothing."""
        now = now or datetime.now(UTC)
        due = [held for held in self.read().open.values() if now - held.told_at >= self.repeat]
        told = [self.raise_(held.alert.model_copy(update={"since": held.last_since}), now) for held in due]
        return [notice for notice in told if notice]

    def loose(self) -> list[Notice]:
        """Notices that could not be queued since the last call; the caller sends them as well as it can."""
        with self._memory.lock:
            taken, self._memory.loose = self._memory.loose, []
        return taken

    def settle(self, channel: str, notice_ids: Sequence[str]) -> None:
        """These notices reached ``channel``. Raises SetupError or OSError where that cannot be written."""
        done = set(notice_ids)

        def work(book: Book) -> tuple[Book, None]:
            left = []
            for queued in book.queue:
                names = queued.channels
                if queued.notice.notice_id in done:
                    names = tuple(c for c in names if c != channel)
                if names:
                    left.append(Queued(notice=queued.notice, channels=names))
            return book.model_copy(update={"queue": tuple(left)}), None

        self._change(work)

    def _change(self, work: Callable[[Book], tuple[Book, T]]) -> T:
        with disk_errors("keeping alerts"), file_lock(self.path.with_name("book.lock"), LOCK_SECONDS):
            before = self.read()
            after, result = work(before)
            if after != before:
                write_bytes(self.path, after.model_dump_json(indent=1).encode())
            return result

    def _raised(self, book: Book, alert: Alert, now: datetime) -> tuple[Book, Notice | None]:
        notice, known = self._opened(book.open.get(alert.key), alert, now)
        return self._queued(book, {**book.open, alert.key: known}, notice), notice

    def _opened(self, held: OpenAlert | None, alert: Alert, now: datetime) -> tuple[Notice | None, OpenAlert]:
        if held is None:
            first = OpenAlert(alert=alert, notice_id=uuid.uuid4().hex, told_at=now, last_since=alert.since, count=1)
            return _notice(NoticeState.RAISED, first, now), first
        since = min(alert.since, held.alert.since)
        again = alert.since != held.last_since
        known = held.model_copy(
            update={
                "alert": alert.model_copy(update={"since": since}),
                "last_since": alert.since,
                "count": held.count + again,
            }
        )
        order = list(Severity)
        worse = order.index(alert.severity) > order.index(held.alert.severity)
        due = alert.severity is not Severity.INFO and now - held.told_at >= self.repeat
        if not worse and not due:
            return None, known
        known = known.model_copy(update={"told_at": now})
        return _notice(NoticeState.REPEATED, known, now), known

    def _resolved(self, book: Book, key: str, held: OpenAlert | None, now: datetime) -> tuple[Book, Notice | None]:
        held = book.open.get(key) or held
        if held is None:
            return book, None
        notice = _notice(NoticeState.RESOLVED, held, now)
        return self._queued(book, {k: v for k, v in book.open.items() if k != key}, notice), notice

    def _queued(self, book: Book, known: dict[str, OpenAlert], notice: Notice | None) -> Book:
        queue = book.queue
        if notice and self.channels:
            queue = (*queue, Queued(notice=notice, channels=self.channels))
            for dropped in queue[:-MOST_QUEUED]:
                _log.error("a notice was never sent: %s", dropped.notice.headline)
        return Book(open=known, queue=queue[-MOST_QUEUED:])

    def _clean(self, alert: Alert) -> Alert:
        facts = {k: self._redact(v) if isinstance(v, str) else v for k, v in alert.facts.items()}
        texts = {name: self._redact(getattr(alert, name)) for name in ("subject", "title", "what")}
        return alert.model_copy(update={**texts, "facts": facts})

    def _redact(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _write_log(self, notice: Notice) -> None:
        line = {
            "headline": notice.headline,
            **notice.model_dump(mode="json"),
            "key": notice.alert.key,
            "runbook": notice.alert.runbook,
        }
        level = logging.INFO if notice.state is NoticeState.RESOLVED else _LEVELS[notice.alert.severity]
        _log.log(level, "%s: %s (%s)", notice.headline, notice.alert.what, notice.alert.runbook)
        try:
            self.log_path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                os.write(handle, (json.dumps(line) + "\n").encode())
            finally:
                os.close(handle)
        except OSError as error:
            _log.error("%s cannot be written: %s", self.log_path, error.strerror)


def _notice(state: NoticeState, held: OpenAlert, now: datetime) -> Notice:
    seconds = max(0.0, (now - held.alert.since).total_seconds())
    return Notice(
        notice_id=held.notice_id if state is NoticeState.RAISED else uuid.uuid4().hex,
        thread_id=held.notice_id, state=state, at=now, alert=held.alert, count=held.count, seconds=seconds,
    )  # fmt: skip
