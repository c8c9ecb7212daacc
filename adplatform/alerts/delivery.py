"""Sending what is queued: bounded in time, one channel's trouble never the other's, and what failed stays queued."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import stamina
import stamina.instrumentation

from adplatform.alerts.channels import Channel, ChannelError, configured
from adplatform.contracts.alerts import Alert, AlertKind, Notice, NoticeState, Severity
from adplatform.contracts.errors import AdPlatformError
from adplatform.settings import Settings
from adplatform.store.alerts import AlertBook
from adplatform.store.lock import file_lock

ATTEMPTS: Final = 3
FIRST_WAIT: Final = 0.2
CHANNEL_SECONDS: Final = 20.0
"""For all that a channel is sent in one tick: Dagster gives a sensor 60 s."""

# What failed is told by the outcome; stamina's own hooks would log each try (to stdout where structlog is installed).
stamina.instrumentation.set_on_retry_hooks(())


class Outcome(NamedTuple):
    """How a channel fared. ``problem`` and ``mend`` are empty where all was sent."""

    channel: str
    sent: int
    problem: str = ""
    mend: str = ""

    @property
    def ok(self) -> bool:
        """Whether everything that was to be sent has been."""
        return not self.problem


def deliver(config: Settings, book: AlertBook | None = None) -> list[Outcome]:
    """Send what is queued to every configured channel; one outcome for each that had something. Raises nothing.

    A process that finds another one sending leaves it to that one. After a crash a notice may be sent twice, never lost.
    """
    book = book or AlertBook.of(config)
    channels = configured(config)
    loose = book.loose()
    found = [_send_all(channel, loose) for channel in channels] if loose else []
    if not book.read().queue:
        return found
    try:
        with file_lock(book.path.with_name("sending.lock"), 0):
            for channel in channels:
                waiting = [q.notice for q in book.read().queue if channel.name in q.channels]
                if waiting:
                    outcome = _send_all(channel, waiting)
                    book.settle(channel.name, [n.notice_id for n in waiting[: outcome.sent]])
                    found.append(outcome)
            _forget_channels(book, [c.name for c in channels])
    except (AdPlatformError, OSError):
        return found  # another process is sending, or the book cannot be written: the next tick goes on
    return found


def _forget_channels(book: AlertBook, known: Sequence[str]) -> None:
    """A channel that is configured no longer would keep its notices queued for ever."""
    queue = book.read().queue
    for name in sorted({c for q in queue for c in q.channels} - set(known)):
        book.settle(name, [q.notice.notice_id for q in queue])


def _send_all(channel: Channel, notices: Sequence[Notice]) -> Outcome:
    """Notices in order until one fails; the rest waits, so that a channel that is down costs one bounded try a tick."""
    sent, deadline = 0, time.monotonic() + CHANNEL_SECONDS
    for notice in notices:
        left = deadline - time.monotonic()
        if left <= 0:
            return Outcome(channel.name, sent, "there was no time to send all", "nothing: the rest goes out next")
        problem = _bounded(channel, notice, left)
        if problem is not None:
            return Outcome(channel.name, sent, problem.problem, problem.mend)
        sent += 1
    return Outcome(channel.name, sent)


def _bounded(channel: Channel, notice: Notice, seconds: float) -> ChannelError | None:
    """Send with retries in a thread that is left alone after ``seconds``: a server may trickle past every timeout."""
    problems: list[ChannelError | None] = []

    def work() -> None:
        try:
            for attempt in stamina.retry_context(
                on=lambda error: isinstance(error, ChannelError) and error.again,
                attempts=ATTEMPTS, timeout=seconds, wait_initial=FIRST_WAIT, wait_max=2.0, wait_jitter=0.1,
            ):  # fmt: skip
                with attempt:
                    channel.send(notice)
            problems.append(None)
        except ChannelError as error:
            problems.append(error)
        except Exception as error:  # noqa: BLE001 - an alert must never end what it tells of
            problems.append(ChannelError(f"it failed ({type(error).__name__})", "report it"))

    thread = threading.Thread(target=work, daemon=True, name=f"alert-{channel.name}")
    thread.start()
    thread.join(seconds)
    return problems[0] if problems else ChannelError(f"no answer within {seconds:.0f} s", "wait, or check the server")


def send_test(config: Settings) -> list[Outcome]:
    """Send one test alert and its resolution through every channel, the log first, past the queue. Raises nothing."""
    now = datetime.now(UTC)
    alert = Alert(
        kind=AlertKind.TEST, subject=uuid.uuid4().hex[:12], severity=Severity.INFO, title="Test of the alerts",
        what="adplatform alerts test was run; nothing is wrong", since=now,
    )  # fmt: skip
    quiet = AlertBook(config.home)  # nothing is queued: the test's own sending is what is tested
    raised = quiet.raise_(alert, now)
    resolved = quiet.resolve(alert.key, now + timedelta(seconds=1))
    quiet.loose()
    log = _log_outcome(quiet, alert)
    notices = [n for n in (raised, resolved) if n]
    if len(notices) < 2:  # the book cannot be written; channels are tried all the same
        notices = [_made(alert, NoticeState.RAISED), _made(alert, NoticeState.RESOLVED)]
    return [log, *(_send_all(channel, notices) for channel in configured(config))]


def _log_outcome(book: AlertBook, alert: Alert) -> Outcome:
    try:
        lines = sum(alert.key in line for line in book.log_path.read_text().splitlines()[-20:])
    except OSError as error:
        lines, problem = 0, f"{book.log_path} cannot be read ({error.strerror})"
    else:
        problem = f"{book.log_path} cannot be written"
    return Outcome("log", lines) if lines == 2 else Outcome("log", lines, problem, "make ADPLATFORM_HOME writable")


def _made(alert: Alert, state: NoticeState) -> Notice:
    return Notice(
        notice_id=f"{alert.subject}-{state.value}", thread_id=f"{alert.subject}-raised", state=state,
        at=alert.since, alert=alert, count=1, seconds=0,
    )  # fmt: skip
