"""The last whole day is like the days before it."""

import dagster as dg

from adplatform import asset_keys as keys
from asset_checks.platform import state


@dg.asset_check(asset=keys.DRIFT_REPORT, name="no_drift")
def no_drift() -> dg.AssetCheckResult:
    """No statistic of traffic, calibration or reward alarms on the last whole day; a warning, with what alarmed."""
    from adplatform import monitor

    report = monitor.latest(state())
    if report is None:
        return dg.AssetCheckResult(
            passed=False, severity=dg.AssetCheckSeverity.WARN, description="there is no drift report yet"
        )
    return dg.AssetCheckResult(
        passed=not report.alarms,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{report.reason}. {report.decision.reason}" if report.alarms else None,
        metadata={
            "day": report.day.isoformat(),
            "alarms": len(report.alarms),
            "tested": sum(s.z is not None for s in report.statistics),
            "cannot_tell": sum(s.z is None for s in report.statistics),
            "alarmed_since": str(report.alarmed_since) if report.alarmed_since else "no alarm",
        },
    )


def checks(present: frozenset[str]) -> list[dg.AssetChecksDefinition]:
    """Checks of the drift report."""
    return [no_drift]
