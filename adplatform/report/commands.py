"""The commands ``status`` and ``report``; ``cli`` adds them to ``adplatform``."""

from __future__ import annotations

from datetime import UTC, datetime

from adplatform.settings import settings
from adplatform.terminal import JsonFlag, console, emit, out


def status(json_: JsonFlag = False) -> None:
    """How it stands: open alerts, what is not fresh, drift, and what serves since when and why."""
    from adplatform.report.status import status as look
    from adplatform.report.status_text import print_status

    found = look(settings())
    if json_:
        emit(found.model_dump(mode="json"))
    else:
        print_status(out, found)


def report() -> None:
    """Write report.html and summary.json of the home as it stands: plans, lift, what happened online, drift, retraining."""
    from adplatform.contracts.tables import IMPRESSIONS
    from adplatform.report.summary import write_report
    from adplatform.state import State

    config = settings()
    days = State(config).landing.days(IMPRESSIONS.name)
    own = {"name": "own data", "first_day": min(days, default=None), "last_day": max(days, default=None)}
    with console.status("writing the report"):
        path, _ = write_report(config, config.dataset or own, {}, [], [], datetime.now(UTC))
    out.print(f"report: {path}", soft_wrap=True)
