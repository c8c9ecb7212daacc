"""Alerts: what a person is told, once, and told again when it is over."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AwareDatetime, BeforeValidator, Field

from adplatform.contracts.base import Message


class AlertKind(StrEnum):
    """What may be wrong. Each has an entry of its name in the runbook (``runbook_anchor``)."""

    RUN_FAILED = "run_failed"
    DEAD_RUN = "dead_run"
    CHECK_FAILED = "check_failed"
    STALE = "stale"
    DRIFT = "drift"
    CHAMPION_KEPT = "champion_kept"
    ARTEFACT_REFUSED = "artefact_refused"
    DISK_FULL = "disk_full"
    LOCK_HELD = "lock_held"
    TEST = "test"


class Severity(StrEnum):
    """Info: good to know, told once. Warning: look today. Error: look now."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class NoticeState(StrEnum):
    """What a notice says of its alert."""

    RAISED = "raised"
    REPEATED = "repeated"
    RESOLVED = "resolved"


RUNBOOK: Final = "docs/operations.md"


def one_line(text: object, limit: int = 500) -> str:
    """Any text as one line without control characters, so that it is safe in a header, a log line and a message."""
    plain = "".join(c if c.isprintable() else " " for c in str(text))
    words = " ".join(plain.split())
    return words if len(words) <= limit else words[: limit - 1] + "…"


Line = Annotated[str, BeforeValidator(one_line), Field(min_length=1, max_length=500)]
Title = Annotated[str, BeforeValidator(lambda text: one_line(text, 150)), Field(min_length=1, max_length=150)]
Subject = Annotated[str, BeforeValidator(lambda text: one_line(text, 250)), Field(min_length=1, max_length=250)]


def runbook_anchor(kind: AlertKind) -> str:
    """The runbook's heading of a kind, as it stands in a link."""
    return f"alert-{kind.value}"


class Alert(Message):
    """Something that a person should know. The same ``key`` again, while it is open, is the same trouble."""

    kind: AlertKind
    subject: Subject
    """What it is about: an asset, a check, a step, an agent."""
    severity: Severity
    title: Title
    what: Line
    """What happened."""
    since: AwareDatetime
    facts: dict[str, str | int | float | bool] = {}

    @property
    def key(self) -> str:
        """Kind and subject: what deduplication and resolution go by."""
        return f"{self.kind.value}:{self.subject}"

    @property
    def runbook(self) -> str:
        """Its entry in the runbook."""
        return f"{RUNBOOK}#{runbook_anchor(self.kind)}"


class OpenAlert(Message):
    """An alert that is not over yet."""

    alert: Alert
    notice_id: str
    """Of the notice that told it first; an answer in a mail thread refers to it."""
    told_at: AwareDatetime
    """When it was told last."""
    last_since: AwareDatetime
    """``since`` of what raised it last; the same again is the same occurrence, and not counted."""
    count: Annotated[int, Field(ge=1)]
    """How often it occurred."""


class Notice(Message):
    """One message to every channel. A channel may get it twice after a crash: ``notice_id`` tells."""

    notice_id: str
    thread_id: str
    """``notice_id`` of the notice that told the alert first."""
    state: NoticeState
    at: AwareDatetime
    alert: Alert
    count: Annotated[int, Field(ge=1)]
    seconds: Annotated[float, Field(ge=0)]
    """How long it has lasted so far; when resolved, how long it lasted."""

    @property
    def headline(self) -> str:
        """State, severity and title in one line."""
        word = self.state.value if self.state is NoticeState.RESOLVED else self.alert.severity.value
        again = " (still open)" if self.state is NoticeState.REPEATED else ""
        return f"[{word}] {self.alert.title}{again}"

    @property
    def lasted(self) -> str:
        """``seconds`` as a person says it."""
        return duration(self.seconds)


def artefact_refused(agent: str, version: str | None, why: str, now: datetime) -> Alert:
    """A server could not take ``version`` (None: ``why`` says of what) that was published; the one before serves on."""
    return Alert(
        kind=AlertKind.ARTEFACT_REFUSED, subject=agent, severity=Severity.ERROR, since=now,
        title=f"{agent}: a broken artefact was refused", what=why or "it cannot be loaded",
        facts={"version": version} if version else {},
    )  # fmt: skip


def duration(seconds: float) -> str:
    """Seconds in words: ``45 s``, ``12 min``, ``3 h 20 min``, ``2 d 4 h``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"
