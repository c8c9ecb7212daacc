"""Upkeep of the decision log with what only the whole home knows: what has landed, and what profiles still need."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from adplatform.contracts.errors import InputError
from adplatform.publishing import LATE_DAYS
from adplatform.settings import Settings
from adplatform.state import State
from adplatform.store.decision_compact import Compacted, compact
from adplatform.store.decision_upkeep import Progress
from adplatform.store.profile_snapshot import ProfileSnapshot
from adplatform.store.snapshots import Snapshots


def compact_log(config: Settings, keep_days: int | None, now: datetime, progress: Progress) -> Compacted:
    """Compact the log. Raises InputError where there is none, or where ``keep_days`` is shorter than outcomes may take.

    Days that the published profiles do not know yet stay: a server that starts reads them from the log.
    """
    if not config.decisions.exists():
        raise InputError(str(config.decisions), "there is no decision log", "serve first")
    keep = config.keep_decision_days if keep_days is None else keep_days
    least = config.attribution_days + LATE_DAYS
    if keep < least:
        raise InputError("--keep-days", f"{keep} is too few", f"keep {least} at least: outcomes may come so late")
    before = now.astimezone(UTC).date() - timedelta(days=keep)
    known = _known_to_profiles(config)
    if known is not None:
        before = min(before, known)
    answers = now - timedelta(days=config.keep_answer_days)
    return compact(config.decisions, State(config).landing.zone.root, before, answers, progress)


def _known_to_profiles(config: Settings) -> date | None:
    """First day that the published profiles do not know; None where none are published."""
    snapshots = Snapshots(config.profiles)
    pointed = snapshots.current()
    if pointed is None:
        return None
    return ProfileSnapshot(snapshots.path(pointed.version), pointed.version).manifest.as_of
