"""What drift and retraining come to, for the report: what alarms or nearly does, and what came of each challenger."""

from __future__ import annotations

from typing import Any, Final

from adplatform import asset_keys as keys
from adplatform.contracts.base import Message
from adplatform.contracts.monitoring import DriftReport, DriftStatistic
from adplatform.contracts.promotion import Verdict
from adplatform.state import State
from adplatform.training import VERDICTS

NEARLY: Final = 0.7
"""Share of its limit from which a statistic is shown."""


class Challenge(Message):
    """The last challenger of an agent: the gate's verdict, and what serves since."""

    agent: str
    challenger: str
    against: str | None
    """The champion that it was judged against."""
    passed: bool
    reason: str
    promoted: bool
    serves: str | None


def challenges(state: State) -> list[Challenge]:
    """Of every agent whose challenger was judged."""
    found = []
    for agent in keys.AGENTS:
        verdict, serving = state.documents.find(VERDICTS, agent, Verdict), state.registry.champion(agent)
        if verdict is not None:
            serves = serving.version if serving else None
            found.append(
                Challenge(
                    agent=agent, challenger=verdict.challenger, against=verdict.champion, passed=verdict.passed,
                    reason=verdict.reason, promoted=verdict.passed and serves == verdict.challenger, serves=serves,
                )
            )  # fmt: skip
    return found


def share_of_limit(statistic: DriftStatistic) -> float | None:
    """How near it is to an alarm, 1 being there; None where it cannot tell."""
    return None if statistic.z is None or not statistic.limit else abs(statistic.z) / statistic.limit


def notable(report: DriftReport) -> list[DriftStatistic]:
    """The statistics that alarm, or whose z is near its limit or beyond; the nearest alone where none is."""
    near = [s for s in report.statistics if s.alarm or (share_of_limit(s) or 0.0) >= NEARLY]
    return (
        near
        or sorted(
            (s for s in report.statistics if s.z is not None), key=lambda s: share_of_limit(s) or 0.0, reverse=True
        )[:1]
    )


def drift_figures(report: DriftReport) -> dict[str, Any]:
    """The report for machines, without its decision."""
    tested = sum(s.z is not None for s in report.statistics)
    return {
        **report.model_dump(mode="json", exclude={"decision"}),
        "alarms": [s.name for s in report.alarms], "reason": report.reason, "tested": tested,
        "cannot_tell": len(report.statistics) - tested,
    }  # fmt: skip


def retraining_figures(report: DriftReport | None, challenged: list[Challenge]) -> dict[str, Any]:
    """The priced decision and what came of the challengers, for machines; {} where there is neither."""
    if report is None and not challenged:
        return {}
    return {
        "decision": report.decision.model_dump(mode="json") if report else None,
        "challengers": [c.model_dump(mode="json") for c in challenged],
    }
