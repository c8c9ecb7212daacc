"""What counts as an alert: finished runs, freshness, the registry's history, drift and the disk, as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time
from typing import Final, NamedTuple

from adplatform.contracts.alerts import Alert, AlertKind, Severity
from adplatform.contracts.monitoring import DriftReport
from adplatform.contracts.promotion import Promotion, Verdict

FRESHNESS_CHECK: Final = "latest_day_is_there"
VERDICT_CHECK: Final = "verdict"
"""A challenger's checks are its verdict; the registry's history tells of it."""
_DISK: Final = ("disk is full", "No space left on device")
_LOCK: Final = "another process has held the lock"
DISK_KEY: Final = f"{AlertKind.DISK_FULL.value}:home"
RANGE: Final = "..."
"""Between the first and the last partition of a run over several."""


class CheckResult(NamedTuple):
    """One evaluation of an asset check. ``partition`` is '' without one; ``step`` is where it ran."""

    asset: str
    check: str
    partition: str
    passed: bool
    error: bool
    """Whether its severity is ERROR, not WARN."""
    blocking: bool
    reason: str
    step: str


class FinishedRun(NamedTuple):
    """A run that ended, and what its steps came to."""

    run_id: str
    job: str
    partition: str
    """'' without one, ``first...last`` over several."""
    ended_at: datetime
    succeeded: bool
    failed: dict[str, str]
    """Step -> innermost error."""
    done: frozenset[str]
    """Steps that succeeded."""
    cut_off: frozenset[str]
    """Steps that began and did not end."""
    killed: bool
    """Whether its process was gone and the platform failed it."""
    reason: str
    checks: tuple[CheckResult, ...]


class Changes(NamedTuple):
    """What is to be raised, and the keys of what is over."""

    raised: tuple[Alert, ...]
    resolved: tuple[str, ...]


def at(subject: str, partition: str) -> str:
    """A subject, of one partition or range where there is one."""
    return f"{subject}@{partition}" if partition else subject


def covers(done: str, open_: str) -> bool:
    """Whether success over ``done`` makes good what failed over ``open_``: the same, or days within its days."""
    if done == open_:
        return True
    first, _, last = done.partition(RANGE)
    lowest, _, highest = open_.partition(RANGE)
    days = (first, last or first, lowest, highest or lowest)
    return all(_is_day(d) for d in days) and first <= lowest and (highest or lowest) <= (last or first)


def of_runs(runs: Iterable[FinishedRun], known: Iterable[str]) -> Changes:
    """What the runs, oldest first, come to together: a step that failed and then succeeded is no alert.

    ``known``: keys that are open.
    """
    before = set(known)
    raised: dict[str, Alert] = {}
    resolved: set[str] = set()
    for run in runs:
        good = {key for key in before | set(raised) if _made_good(key, run)}
        resolved |= good & before
        raised = {key: alert for key, alert in raised.items() if key not in good}
        for alert in _alerts(run):
            raised[alert.key] = alert
            resolved.discard(alert.key)
    return Changes(tuple(raised.values()), tuple(sorted(resolved)))


def _made_good(key: str, run: FinishedRun) -> bool:
    kind, _, rest = key.partition(":")
    subject, _, partition = rest.partition("@")
    if kind in (AlertKind.RUN_FAILED, AlertKind.DEAD_RUN, AlertKind.DISK_FULL, AlertKind.LOCK_HELD):
        ended_well = subject in run.done or (run.succeeded and subject == _whole(run))
        return ended_well and covers(run.partition, partition)
    if kind in (AlertKind.CHECK_FAILED, AlertKind.STALE):
        return any(
            c.passed and subject == f"{c.asset}:{c.check}" and covers(c.partition, partition) for c in run.checks
        )
    return False


def _alerts(run: FinishedRun) -> list[Alert]:
    found = [_of_check(check, run) for check in run.checks if not check.passed and _tells(check)]
    if run.succeeded:
        return found
    told = {check.step for check in run.checks if not check.passed and check.blocking and check.error}
    if run.killed:
        return [*found, *(_failed(step, run.reason, run) for step in sorted(run.cut_off) or [_whole(run)])]
    failed = {step: why for step, why in run.failed.items() if step not in told}
    if not run.failed:
        failed = {_whole(run): run.reason or "it failed before its first step"}
    return [*found, *(_failed(step, why, run) for step, why in sorted(failed.items()))]


def _tells(check: CheckResult) -> bool:
    return check.check == FRESHNESS_CHECK or (check.error and check.check != VERDICT_CHECK)


def _of_check(check: CheckResult, run: FinishedRun) -> Alert:
    facts: dict[str, str | int | float | bool] = {"run": run.run_id, "job": run.job, "blocking": check.blocking}
    subject = at(f"{check.asset}:{check.check}", check.partition)
    if check.check == FRESHNESS_CHECK:
        kind, title = AlertKind.STALE, f"{check.asset} is not up to date"
        severity = Severity.ERROR if check.error else Severity.WARNING
    else:
        kind, title = AlertKind.CHECK_FAILED, f"{at(check.asset, check.partition)}: check {check.check} failed"
        severity = Severity.ERROR if check.blocking else Severity.WARNING
    what = check.reason or "the check gave no reason"
    return Alert(kind=kind, subject=subject, severity=severity, title=title, what=what, since=run.ended_at, facts=facts)


def _failed(step: str, why: str, run: FinishedRun) -> Alert:
    kind, title = AlertKind.RUN_FAILED, f"{at(step, run.partition)} failed"
    if run.killed:
        kind, title = AlertKind.DEAD_RUN, f"{at(step, run.partition)} was killed"
    elif any(text in why for text in _DISK):
        kind, title = AlertKind.DISK_FULL, f"{at(step, run.partition)} failed: the disk is full"
    elif _LOCK in why:
        kind, title = AlertKind.LOCK_HELD, f"{at(step, run.partition)} failed: the warehouse is held"
    facts: dict[str, str | int | float | bool] = {"run": run.run_id, "job": run.job}
    return Alert(
        kind=kind, subject=at(step, run.partition), severity=Severity.ERROR, title=title,
        what=why or "it gave no reason", since=run.ended_at, facts=facts,
    )  # fmt: skip


def _whole(run: FinishedRun) -> str:
    return f"job {run.job}"


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def of_freshness(asset: str, state: str, since: datetime) -> Changes:
    """By the state of an asset's freshness policy: FAIL, WARN or PASS; any other says nothing."""
    key = f"{AlertKind.STALE.value}:{asset}"
    if state == "PASS":
        return Changes((), (key,))
    if state not in ("FAIL", "WARN"):
        return Changes((), ())
    alert = Alert(
        kind=AlertKind.STALE, subject=asset, severity=Severity.ERROR if state == "FAIL" else Severity.WARNING,
        title=f"{asset} has not been made anew in time", what=f"its freshness policy says {state}", since=since,
    )  # fmt: skip
    return Changes((alert,), ())


def of_history(agent: str, history: Sequence[Promotion], verdict: Verdict | None) -> Changes:
    """Whether the last challenger was rejected. A champion that was confirmed is no rejection."""
    key = f"{AlertKind.CHAMPION_KEPT.value}:{agent}"
    last = history[-1] if history else None
    if last is None or last.promoted or verdict is None or verdict.passed:
        return Changes((), (key,))
    alert = Alert(
        kind=AlertKind.CHAMPION_KEPT, subject=agent, severity=Severity.INFO, title=f"{agent}: the champion stays",
        what=last.reason, since=datetime.fromisoformat(last.at),
        facts={"champion": last.champion, "rejected": verdict.challenger},
    )  # fmt: skip
    return Changes((alert,), ())


def of_drift(report: DriftReport) -> Changes:
    """Whether the last day's report alarms."""
    subject = "behaviour"
    if not report.alarms:
        return Changes((), (f"{AlertKind.DRIFT.value}:{subject}",))
    decision, since = report.decision, report.alarmed_since or report.day
    alert = Alert(
        kind=AlertKind.DRIFT, subject=subject, severity=Severity.WARNING,
        title=f"Drift since {since}", what=report.reason, since=datetime.combine(since, time(), UTC),
        facts={"day": report.day.isoformat(), "champion": report.champion, "retrain": decision.retrain,
               "expected_gain": decision.expected_gain, "cost": decision.cost, "why": decision.reason},
    )  # fmt: skip
    return Changes((alert,), ())


def of_disk(free_mb: float, reserve_mb: float, since: datetime) -> Changes:
    """Whether less is free than the reserve; over once a quarter more than the reserve is, so that it does not flap."""
    if free_mb >= reserve_mb * 1.25:
        return Changes((), (DISK_KEY,))
    if free_mb >= reserve_mb:
        return Changes((), ())
    alert = Alert(
        kind=AlertKind.DISK_FULL, subject="home", severity=Severity.ERROR, title="The disk is nearly full",
        what=f"{free_mb:.0f} MB are free, {reserve_mb:.0f} MB are kept in reserve", since=since,
        facts={"free_mb": round(free_mb, 1)},
    )  # fmt: skip
    return Changes((alert,), ())
