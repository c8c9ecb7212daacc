"""The commands ``alerts …``; ``cli`` adds them to ``adplatform``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from adplatform.contracts.alerts import RUNBOOK, duration
from adplatform.contracts.errors import InputError
from adplatform.settings import settings
from adplatform.terminal import JsonFlag, console, emit, out

alerts = typer.Typer(no_args_is_help=True, help="What people are told when something is wrong.")


@alerts.command("test")
def alerts_test() -> None:
    """Send one test alert and its resolution through every configured channel. Exit code 1 if one failed."""
    from adplatform.alerts.delivery import send_test

    config = settings()
    with console.status("sending"):
        outcomes = send_test(config)
    table = Table("channel", "outcome", "mend")
    for o in outcomes:
        table.add_row(o.channel, f"{o.sent} of 2 sent" if o.ok else f"failed: {escape(o.problem)}", escape(o.mend))
    out.print(table)
    if not config.alert_channels:
        out.print("only the log is configured; set ADPLATFORM_WEBHOOK_URL or ADPLATFORM_SMTP_HOST", soft_wrap=True)
    if not all(o.ok for o in outcomes):
        raise typer.Exit(1)


@alerts.command("list")
def alerts_list(json_: JsonFlag = False) -> None:
    """Open alerts, and how many notices wait for a channel."""
    from adplatform.store.alerts import AlertBook

    book = AlertBook.of(settings()).read()
    if json_:
        rows = [
            {"key": key, "runbook": held.alert.runbook, **held.model_dump(mode="json")}
            for key, held in sorted(book.open.items())
        ]
        waiting = [q.model_dump(mode="json") for q in book.queue]
        emit({"open": rows, "waiting": waiting})
        return
    table = Table(Column("key", overflow="fold"), "severity", "since", "for", "times", "what")
    now = datetime.now(UTC)
    for key, held in sorted(book.open.items()):
        alert = held.alert
        lasted = duration(max(0.0, (now - alert.since).total_seconds()))
        times = str(held.count)
        table.add_row(
            escape(key),
            alert.severity.value,
            f"{alert.since:%Y-%m-%d %H:%M}",
            lasted,
            times,
            escape(alert.what),
        )
    out.print(table if book.open else "no alert is open")
    if book.open:
        out.print(f"what to do: {RUNBOOK}, the entry of each kind (the word before the colon)", soft_wrap=True)
    if book.queue:
        out.print(f"{len(book.queue)} notices wait for a channel: adplatform alerts test says why", soft_wrap=True)


@alerts.command("resolve")
def alerts_resolve(key: Annotated[str, typer.Argument(help="Key of the alert, as alerts list shows it.")]) -> None:
    """Close an alert by hand, where nothing will run again that would close it."""
    from adplatform.alerts.delivery import deliver
    from adplatform.store.alerts import AlertBook

    book = AlertBook.of(settings())
    if book.resolve(key) is None:
        known = ", ".join(sorted(book.read().open)) or "there are none"
        raise InputError(f"alert {key}", "is not open", f"choose from: {known}")
    deliver(settings(), book)
    out.print(f"{key} is resolved", soft_wrap=True, markup=False)
