"""Sensors that tell people: what finished runs came to, and how the home stands. Both send what is queued.

A tick costs a query for runs that ended since the last one, their events, and one query for all freshness states.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

import dagster as dg

from adplatform import asset_keys as keys
from adplatform import monitor
from adplatform.alerts import rules
from adplatform.alerts.delivery import deliver
from adplatform.contracts.errors import AdPlatformError
from adplatform.contracts.promotion import Verdict
from adplatform.defs.run_outcomes import finished, new_runs
from adplatform.settings import Settings, settings
from adplatform.state import State
from adplatform.store.alerts import AlertBook
from adplatform.training import VERDICTS


def apply(book: AlertBook, changes: Iterable[rules.Changes]) -> int:
    """Raise and resolve; how many notices that made."""
    made = 0
    for change in changes:
        made += sum(book.resolve(key) is not None for key in change.resolved)
        made += sum(book.raise_(alert) is not None for alert in change.raised)
    return made


def _tell(config: Settings, changes: Iterable[rules.Changes]) -> dg.SkipReason:
    book = AlertBook.of(config)
    made = apply(book, changes) + len(book.remind())
    bad = [f"{o.channel}: {o.problem}" for o in deliver(config, book) if not o.ok]
    return dg.SkipReason(f"{made} notices" + (f"; not sent by {'; '.join(bad)}" if bad else ""))


@dg.sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def run_alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Alerts of runs and checks that failed, and their end: the next run or check of the same that is green."""
    config = settings()
    if not config.home.exists():
        return dg.SkipReason(f"{config.home} is not there yet")
    records, cursor = new_runs(context.instance, context.cursor, datetime.now(UTC))
    graph = context.repository_def.asset_graph if context.repository_def else None
    partitioned = frozenset(
        f"{key.asset_key.to_user_string()}:{key.name}"
        for key in (graph.asset_check_keys if graph else ())
        if graph and graph.get(key).partitions_def is not None
    )
    runs = [finished(context.instance, record, partitioned) for record in records]
    told = _tell(config, [rules.of_runs(runs, AlertBook.of(config).read().open)])
    context.update_cursor(cursor)
    return told


def _guarded(context: dg.SensorEvaluationContext, look: Callable[[], list[rules.Changes]]) -> list[rules.Changes]:
    try:
        return look()
    except (AdPlatformError, OSError, ValueError):
        context.log.exception("one thing could not be looked at; the others are")
        return []


def _freshness(context: dg.SensorEvaluationContext) -> list[rules.Changes]:
    if context.repository_def is None:
        return []
    graph = context.repository_def.asset_graph
    fresh = [key for key in graph.materializable_asset_keys if graph.get(key).freshness_policy is not None]
    states = context.instance.event_log_storage.get_freshness_state_records(fresh)
    return [
        rules.of_freshness(key.to_user_string(), record.freshness_state.value, record.updated_at)
        for key, record in states.items()
    ]


def _champions(state: State) -> list[rules.Changes]:
    return [
        rules.of_history(agent, state.registry.history(agent), state.documents.find(VERDICTS, agent, Verdict))
        for agent in keys.AGENTS
    ]


def _drift(state: State) -> list[rules.Changes]:
    report = monitor.latest(state)
    return [rules.of_drift(report)] if report else []


def _changes(context: dg.SensorEvaluationContext, config: Settings) -> Iterator[rules.Changes]:
    state = State(config)
    free = shutil.disk_usage(config.home).free / 1e6
    held = AlertBook.of(config).read().open.get(rules.DISK_KEY)
    yield rules.of_disk(free, config.disk_reserve_mb, held.last_since if held else datetime.now(UTC))
    for look in (lambda: _freshness(context), lambda: _champions(state), lambda: _drift(state)):
        yield from _guarded(context, look)


@dg.sensor(minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def home_alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Alerts of assets that are not fresh, challengers that were rejected, drift, and a disk that is nearly full."""
    config = settings()
    if not config.home.exists():
        return dg.SkipReason(f"{config.home} is not there yet")
    return _tell(config, _changes(context, config))
