"""Runs that ended since somebody looked last, and what their steps and checks came to, as plain values."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import dagster as dg

from adplatform.alerts import rules
from adplatform.defs.runs import KILLED

LOOK_BACK: Final = timedelta(hours=24)
"""Of a sensor that was never asked before; older failures are known or forgotten."""
OVERLAP: Final = timedelta(minutes=10)
"""A run that ended earlier may be written later; so runs of the last minutes are looked at again and told once."""
MOST_RUNS: Final = 200
_ENDED: Final = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
_TYPES: Final = {
    dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.STEP_SKIPPED, dg.DagsterEventType.ASSET_CHECK_EVALUATION, dg.DagsterEventType.RUN_FAILURE,
}  # fmt: skip


def _partition(tags: Mapping[str, str]) -> str:
    first, last = (tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
    if first and last:
        return first if first == last else f"{first}{rules.RANGE}{last}"
    return tags.get("dagster/partition", "")


def _innermost(error: Any) -> str:
    while error is not None and error.cause is not None:
        error = error.cause
    return " ".join(error.message.split()) if error is not None else ""


def _check(event: dg.DagsterEvent, step: str, run_partition: str, partitioned: bool) -> rules.CheckResult:
    found: Any = event.event_specific_data
    return rules.CheckResult(
        found.asset_key.to_user_string(), found.check_name,
        found.partition or (run_partition if partitioned and rules.RANGE in run_partition else ""),
        found.passed, found.severity == dg.AssetCheckSeverity.ERROR, bool(found.blocking), found.description or "", step,
    )  # fmt: skip


def finished(instance: dg.DagsterInstance, record: dg.RunRecord, partitioned: frozenset[str]) -> rules.FinishedRun:
    """What a run that ended came to. ``partitioned``: ``asset:check`` of the checks that are of one partition."""
    run, failed = record.dagster_run, dict[str, str]()
    started, done, skipped, reason = set[str](), set[str](), set[str](), ""
    checks, partition = list[rules.CheckResult](), _partition(run.tags)
    for entry in instance.get_records_for_run(run.run_id, of_type=_TYPES).records:
        event = entry.event_log_entry.dagster_event
        if event is None:
            continue
        step, kind = event.step_key or "", event.event_type
        if kind == dg.DagsterEventType.STEP_START:
            started.add(step)
        elif kind == dg.DagsterEventType.STEP_SUCCESS:
            done.add(step)
        elif kind == dg.DagsterEventType.STEP_SKIPPED:
            skipped.add(step)
        elif kind == dg.DagsterEventType.STEP_FAILURE:
            failed[step] = _innermost(event.step_failure_data.error)
        elif kind == dg.DagsterEventType.RUN_FAILURE:
            reason = event.message or ""
        else:
            found: Any = event.event_specific_data
            name = f"{found.asset_key.to_user_string()}:{found.check_name}"
            checks.append(_check(event, step, partition, name in partitioned))
    return rules.FinishedRun(
        run.run_id, run.job_name, partition, datetime.fromtimestamp(record.end_time or 0, UTC),
        run.status == dg.DagsterRunStatus.SUCCESS, failed, frozenset(done),
        frozenset(started - done - set(failed) - skipped), KILLED in reason, reason, tuple(checks),
    )  # fmt: skip


def new_runs(instance: dg.DagsterInstance, cursor: str | None, now: datetime) -> tuple[list[dg.RunRecord], str]:
    """Runs that ended since the cursor, oldest first, and the next cursor."""
    held = json.loads(cursor) if cursor else {"through": (now - LOOK_BACK).timestamp(), "seen": {}}
    seen: dict[str, float] = dict(held["seen"])
    after = datetime.fromtimestamp(held["through"], UTC) - (OVERLAP if cursor else timedelta())
    found = instance.get_run_records(
        dg.RunsFilter(statuses=_ENDED, updated_after=after),
        limit=MOST_RUNS,
        order_by="update_timestamp",
        ascending=True,
    )
    fresh = [r for r in found if r.dagster_run.run_id not in seen and (r.end_time or 0) >= after.timestamp()]
    through = max([held["through"], *(r.update_timestamp.timestamp() for r in found)])
    seen |= {r.dagster_run.run_id: r.end_time or 0.0 for r in fresh}
    seen = {run: end for run, end in seen.items() if end >= through - 2 * OVERLAP.total_seconds()}
    return sorted(fresh, key=lambda r: r.end_time or 0), json.dumps({"through": through, "seen": seen})
