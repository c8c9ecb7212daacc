"""The status page in a terminal: what is wrong first, then what must be fresh, drift, and what serves."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from adplatform.contracts.alerts import duration
from adplatform.report.status import DriftStatus, Status

SILENT: Final = timedelta(minutes=5)
"""Dagster's daemon gives a sign of life twice a minute."""
_COLOURS: Final = {"error": "red", "warning": "yellow", "info": "default"}


def print_status(out: Console, found: Status) -> None:
    """One page of lines, the worst first. What is well takes one line; no tables, they break in a narrow window."""
    out.print(_headline(found), highlight=False)
    for text in found.unknown:
        out.print(f"[red]cannot be looked at[/red]: {escape(text)}", highlight=False)
    _alerts(out, found)
    _freshness(out, found)
    for line in (_drift(found.drift), _daemon(found), _data(found)):
        out.print(line, highlight=False)
    _agents(out, found)


def _under(out: Console, text: str) -> None:
    out.print(Padding(f"[dim]{escape(text)}[/dim]", (0, 0, 0, 4)), highlight=False)


def _headline(found: Status) -> str:
    behind = sum(row.state != "fresh" for row in found.freshness)
    parts = [
        *(f"{n} open {s}{'s' if n > 1 and s != 'info' else ''}" for s in _COLOURS if (n := _count(found, s))),
        *([f"{behind} not fresh"] if behind else []),
        *(["drift"] if found.drift and found.drift.alarms else []),
        *([f"{len(found.unknown)} cannot be looked at"] if found.unknown else []),
    ]
    worst = _count(found, "error") or found.unknown or any(row.state == "error" for row in found.freshness)
    colour = "red" if worst else "yellow" if parts else "green"
    return f"[bold {colour}]{', '.join(parts) or 'nothing is open'}[/] at {found.at:%Y-%m-%d %H:%M} UTC"


def _count(found: Status, severity: str) -> int:
    return sum(held.alert.severity.value == severity for held in found.alerts)


def _ago(at: datetime, now: datetime) -> str:
    return f"{duration(max(0.0, (now - at).total_seconds()))} ago"


def _alerts(out: Console, found: Status) -> None:
    for held in found.alerts:
        alert, severity = held.alert, held.alert.severity.value
        since = f"since {_ago(alert.since, found.at)}" + (f", {held.count} times" if held.count > 1 else "")
        out.print(f"[{_COLOURS[severity]}]{severity}[/] [bold]{escape(alert.title)}[/], {since}", highlight=False)
        _under(out, alert.what)
        _under(out, f"see {alert.runbook}; key {alert.key}")


def _freshness(out: Console, found: Status) -> None:
    late = [row for row in found.freshness if row.state != "fresh"]
    for row in late:
        out.print(
            f"[{_COLOURS[row.state]}]not fresh[/] [bold]{row.asset}[/] ({row.by}): {escape(row.what)}", highlight=False
        )
    unjudged = (
        "" if any(r.by == "freshness policy" for r in found.freshness) else "; no freshness policy was judged yet"
    )
    out.print(f"fresh: {len(found.freshness) - len(late)} of {len(found.freshness)}{unjudged}", highlight=False)


def _drift(found: DriftStatus | None) -> str:
    if found is None:
        return "drift: no report yet (adplatform materialize key:drift_report)"
    if not found.tested:
        return (
            f"drift: cannot tell yet on {found.day}, none of {found.cannot_tell} statistics has enough days before it"
        )
    untold = f", {found.cannot_tell} cannot tell yet" if found.cannot_tell else ""
    if not found.alarms:
        return f"drift: none on {found.day}; {found.tested} statistics tested{untold}; {escape(found.decision)}"
    more = f" and {len(found.alarms) - 1} more" if len(found.alarms) > 1 else ""
    text = f"[yellow]drift since {found.alarmed_since}[/], {len(found.alarms)} of {found.tested} statistics alarm"
    return f"{text}: {escape(found.alarms[0])}{more}; {escape(found.decision)}"


def _daemon(found: Status) -> str:
    seen = found.daemon_seen
    if seen is not None and found.at - seen < SILENT:
        return f"daemon: seen {_ago(seen, found.at)}"
    when = f"last seen {_ago(seen, found.at)}" if seen else "never seen"
    return f"[yellow]daemon: {when}[/]; without it nothing runs by itself and no alert is told (make dev)"


def _data(found: Status) -> str:
    return f"data: through {found.data_through or 'no day yet'}, version {found.data_version or 'none'}"


def _agents(out: Console, found: Status) -> None:
    for row in found.agents:
        if row.champion is None:
            out.print(f"[bold]{row.agent}[/]: nothing serves yet", highlight=False)
            continue
        since = f"{row.since:%Y-%m-%d %H:%M}, {_ago(row.since, found.at)}" if row.since else "unknown"
        out.print(f"[bold]{row.agent}[/] {row.champion} serves since {since}", highlight=False)
        kept = row.looked_at is not None and row.since is not None and row.looked_at > row.since
        word = f"kept {row.looked_at:%Y-%m-%d %H:%M}" if kept else "promoted"
        _under(out, f"{word}: {row.reason}")
        if row.shadow:
            _under(out, f"{row.shadow} runs in shadow")
