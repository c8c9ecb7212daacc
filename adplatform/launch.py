"""Materialize a selection in this process: what the command line and the demo call."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import dagster as dg
from rich.console import Console

from adplatform.contracts.errors import InputError
from adplatform.defs.runs import PROCESS_TAG, instance
from adplatform.processes import process_tag
from adplatform.settings import Settings, settings

_RANGE_START, _RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


_CONSOLE = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Dagster's events are in its storage and in the UI; a terminal shows progress and what failed."""


@contextmanager
def quiet(config: Settings) -> Iterator[None]:
    """What dbt and the libraries print goes to ``logs/materialize.log`` in the home, not to the terminal."""
    path = config.home / "logs" / "materialize.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as log, redirect_stdout(log), redirect_stderr(log), warnings.catch_warnings():
        warnings.simplefilter("default")
        yield


def _partition_arguments(partition: str | None) -> tuple[str | None, dict[str, str]]:
    if partition and "..." in partition:
        first, last = partition.split("...", 1)
        return None, {_RANGE_START: first, _RANGE_END: last}
    return partition, {}


def resolve(definitions: dg.Definitions, selection: str) -> set[dg.AssetKey]:
    """The keys that a selection string names. Raises InputError when it names none or cannot be read."""
    graph = definitions.resolve_asset_graph()
    try:
        keys = dg.AssetSelection.from_string(selection).resolve(graph)
    except Exception as error:  # noqa: BLE001  dagster's parser raises several kinds
        raise InputError(
            "SELECTION", f"cannot read {selection!r} ({error})", "try 'key:campaign_plans' or 'group:targeting'"
        ) from None
    keys = set(keys) & set(graph.materializable_asset_keys)
    if not keys:
        raise InputError("SELECTION", f"{selection!r} names no asset", "see the keys in Dagster's UI")
    return keys


def materialize(
    definitions: dg.Definitions,
    found: dg.DagsterInstance,
    selection: Sequence[str] | str,
    partition: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> dg.ExecuteInProcessResult:
    """Run the selected assets and their checks in this process, recorded in the instance; never raises on a failed step."""
    names = [selection] if isinstance(selection, str) else list(selection)
    keys: set[dg.AssetKey] = set().union(*(resolve(definitions, name) for name in names))
    key, range_tags = _partition_arguments(partition)
    job = dg.define_asset_job("by_hand", selection=dg.AssetSelection.assets(*keys), executor_def=dg.in_process_executor)
    merged = dg.Definitions.merge(definitions, dg.Definitions(jobs=[job]))
    run_tags = {PROCESS_TAG: process_tag(), **range_tags, **(tags or {})}
    try:
        with quiet(settings()):
            return merged.resolve_job_def("by_hand").execute_in_process(
                instance=found, partition_key=key, tags=run_tags, raise_on_error=False, run_config=_CONSOLE
            )
    except (dg.DagsterInvalidDefinitionError, dg.DagsterInvariantViolationError) as error:
        raise InputError(
            "SELECTION", " ".join(str(error).split()), "daily, per-campaign and other assets need a run each"
        ) from None


def materialize_selection(config: Settings, selection: str, partition: str | None, console: Console) -> bool:
    """``adplatform materialize``; prints what failed and why. True when all went well."""
    from adplatform.definitions import defs

    with instance(config) as found, console.status(f"materializing {selection}"):
        result = materialize(defs, found, selection, partition)
    for event in result.all_events:
        if event.is_step_failure and event.step_failure_data.error is not None:
            console.print(f"{event.step_key}: {root_cause(event)}", markup=False, soft_wrap=True)
    for check in failed_checks(result):
        console.print(f"check failed: {check}", markup=False, soft_wrap=True)
    return result.success


def root_cause(event: dg.DagsterEvent) -> str:
    """First line of the innermost error of a failed step."""
    error = event.step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return " ".join(error.message.split()) if error else "unknown"


def failed_checks(result: dg.ExecuteInProcessResult) -> list[str]:
    """Names and reasons of checks that failed with severity ERROR."""
    return [
        f"{e.asset_key.to_user_string()}: {e.check_name} {e.description or ''}".strip()
        for e in result.get_asset_check_evaluations()
        if not e.passed and e.severity == dg.AssetCheckSeverity.ERROR
    ]
