"""How a home stands: open alerts, what must be fresh, drift, and what serves.

Nothing is judged here: the checks say which day is due, Dagster's daemon what its policies say, the book what is open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from adplatform import asset_keys as keys
from adplatform.alerts import rules
from adplatform.contracts.alerts import OpenAlert, one_line
from adplatform.contracts.base import Message
from adplatform.contracts.tables import TABLES
from adplatform.settings import Settings
from adplatform.state import State
from adplatform.store.alerts import AlertBook

if TYPE_CHECKING:
    from asset_checks.freshness import Found

WAIT_SECONDS: Final = 2.0
"""For the warehouse: this page is for when something hangs."""
T = TypeVar("T")


class AgentStatus(Message):
    """What serves of one agent, and what came of its last challenger."""

    agent: str
    champion: str | None
    since: datetime | None
    """When the champion began to serve."""
    looked_at: datetime | None
    """When it was last promoted, kept or rolled back to."""
    reason: str | None
    shadow: str | None = None
    """The challenger that runs in shadow."""


class Freshness(Message):
    """One thing that must be fresh, as the check of its latest day or its freshness policy says."""

    asset: str
    by: Literal["latest day", "freshness policy"]
    state: Literal["fresh", "warning", "error"]
    what: str


class DriftStatus(Message):
    """The latest drift report in short."""

    day: date
    champion: str
    alarms: tuple[str, ...]
    alarmed_since: date | None
    tested: int
    cannot_tell: int
    retrain: bool
    decision: str
    expected_gain: float
    cost: float


class Status(Message):
    """The whole page. ``unknown`` holds what could not be looked at, and why."""

    at: datetime
    alerts: tuple[OpenAlert, ...]
    freshness: tuple[Freshness, ...]
    drift: DriftStatus | None
    agents: tuple[AgentStatus, ...]
    data_through: date | None
    data_version: str | None
    daemon_seen: datetime | None
    """Last sign of life of Dagster's daemon, without which nothing runs by itself and no alert is told."""
    unknown: tuple[str, ...]


def status(config: Settings, now: datetime | None = None) -> Status:
    """Look at everything; what cannot be looked at costs nothing else. Changes nothing, and waits for nobody long."""
    now = now or datetime.now(UTC)
    state = State(config.model_copy(update={"lock_seconds": min(WAIT_SECONDS, config.lock_seconds)}))
    unknown: list[str] = []

    def tried(what: str, look: Callable[[], T]) -> T | None:
        try:
            return look()
        except Exception as error:  # noqa: BLE001  the page is for when things are broken
            unknown.append(f"{what}: {one_line(error) or type(error).__name__}")
            return None

    names = (*keys.AGENTS, keys.COPY_MODEL, keys.INTERACTION_FACTORS)
    agents = [tried(name, partial(agent_status, state, name)) or _nothing(name) for name in names]
    fresh = tried("landing", lambda: list(_landed(state, now))) or []
    through, version = None, None
    if config.warehouse.exists():
        fresh += tried("marts", lambda: list(_marts(state, now))) or []
        through = tried("data through", state.warehouse.data_through)
        version = tried("data version", state.warehouse.data_version)
    policies, seen = tried("Dagster", lambda: _dagster(config)) or ([], None)
    order = ("error", "warning", "info")
    alerts = sorted(AlertBook.of(config).read().open.values(), key=lambda o: (order.index(o.alert.severity), o.told_at))
    return Status(
        at=now, alerts=tuple(alerts), freshness=(*fresh, *policies),
        drift=tried("drift", lambda: drift_status(state)), agents=tuple(agents), data_through=through,
        data_version=version, daemon_seen=seen, unknown=tuple(unknown),
    )  # fmt: skip


def _nothing(agent: str) -> AgentStatus:
    return AgentStatus(agent=agent, champion=None, since=None, looked_at=None, reason=None)


def agent_status(state: State, agent: str) -> AgentStatus:
    """What the registry's history says of the agent."""
    history = state.registry.history(agent)
    if not history:
        return _nothing(agent)
    last, shadow = history[-1], state.registry.shadow(agent)
    moved = [p for p in history if p.promoted and p.champion == last.champion]
    return AgentStatus(
        agent=agent, champion=last.champion, since=datetime.fromisoformat(moved[-1].at) if moved else None,
        looked_at=datetime.fromisoformat(last.at), reason=last.reason, shadow=shadow.version if shadow else None,
    )  # fmt: skip


def drift_status(state: State) -> DriftStatus | None:
    """The latest report in short, None before the first."""
    from adplatform import monitor

    report = monitor.latest(state)
    if report is None:
        return None
    tested = sum(s.z is not None for s in report.statistics)
    return DriftStatus(
        day=report.day, champion=report.champion, alarms=tuple(s.reason for s in report.alarms),
        alarmed_since=report.alarmed_since, tested=tested, cannot_tell=len(report.statistics) - tested,
        retrain=report.decision.retrain, decision=report.decision.reason, expected_gain=report.decision.expected_gain,
        cost=report.decision.cost,
    )  # fmt: skip


def _landed(state: State, now: datetime) -> Iterator[Freshness]:
    from asset_checks.freshness import landed, logged

    present = state.settings.dataset.get("tables", TABLES)
    for table in keys.LANDING_DAILY:
        if table in present:
            yield _of_check(state, table, landed(state, table, now))
    if state.settings.decisions.exists():
        yield _of_check(state, keys.DECISION_LOG, logged(state, now))


def _marts(state: State, now: datetime) -> Iterator[Freshness]:
    from asset_checks.freshness import DAY_OF_MART, marts

    for name, found in marts(state, list(DAY_OF_MART), now).items():
        yield _of_check(state, name, found)


def _of_check(state: State, asset: str, found: Found) -> Freshness:
    from asset_checks.freshness import judge

    result = judge(found, bool(state.settings.dataset))
    severity: Literal["warning", "error"] = "error" if result.severity.value == "ERROR" else "warning"
    return Freshness(
        asset=asset, by="latest day", state="fresh" if result.passed else severity, what=result.description or ""
    )


def _dagster(config: Settings) -> tuple[list[Freshness], datetime | None]:
    """What freshness policies say, as the daemon last judged them, and when it was last seen."""
    if not config.dagster_home.exists():
        return [], None
    import dagster as dg

    from adplatform.defs.runs import prepare

    prepare(config)
    with dg.DagsterInstance.get() as instance:
        records = instance.event_log_storage.get_freshness_state_records(instance.all_asset_keys())
        beats = [beat.timestamp for beat in instance.get_daemon_heartbeats().values()]
    found = []
    for key, record in records.items():
        asset = key.to_user_string()
        changes = rules.of_freshness(asset, record.freshness_state.value, record.updated_at)
        if changes.raised:
            alert = changes.raised[0]
            state: Literal["warning", "error"] = "error" if alert.severity.value == "error" else "warning"
            found.append(Freshness(asset=asset, by="freshness policy", state=state, what=alert.title))
        elif changes.resolved:
            found.append(Freshness(asset=asset, by="freshness policy", state="fresh", what="made anew in time"))
    return found, datetime.fromtimestamp(max(beats), UTC) if beats else None
