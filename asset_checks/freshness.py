"""The latest day is there and not empty. Freshness policies know no partitions: a backfill of an old day turns them green.

A check runs with its asset, so what never comes would never be looked at: a job of these checks runs every morning.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import dagster as dg

from adplatform import asset_keys as keys
from adplatform.settings import Settings, settings
from adplatform.state import State
from adplatform.store.decision_file import bounds, from_micros, reading
from asset_checks.platform import state

NAME: Final = "latest_day_is_there"
JOB: Final = "look_at_freshness"
DAY_OF_MART: Final = {
    "fct_impressions": ("event_day", 0),
    "training_examples": ("event_day", 0),
    "campaign_daily": ("budget_day", 0),
    "feature_drift": ("event_day", 0),
    "reward_statistics_daily": ("event_day", 0),
    "user_features": ("feature_day", 1),
    "user_creative_exposures": ("feature_day", 1),
}
"""Column of a mart's day, and by how many days it is ahead: features are as of the day after what they know.

Left out: marts without a day, and those whose day may rightly be empty: experiment_daily where no experiment runs, and
drift_statistics_daily where every campaign that is on air begins or ends.
"""


class Found(NamedTuple):
    """The last day that is there, how many rows the wanted day has, and which day is wanted (None: none yet)."""

    last: date | None
    rows: int
    wanted: date | None


def due(config: Settings, now: datetime) -> date:
    """The last day whose data should be there by ``now``."""
    return (now - timedelta(hours=config.due_hours)).date() - timedelta(days=1)


def wanted_day(config: Settings, landed: tuple[date, ...], now: datetime) -> date:
    """The day that should be the last. A data set that was loaded ends where it says, until something newer lands."""
    last_day = config.dataset.get("last_day")
    ends = date.fromisoformat(last_day) if last_day else None
    goes_on = ends is None or any(day > ends for day in landed)
    return due(config, now) if goes_on or ends is None else min(ends, due(config, now))


def judge(found: Found, loaded: bool) -> dg.AssetCheckResult:
    """Passed where the wanted day has rows. One day behind, or a data set that was loaded, is a warning; else an error."""
    behind = (found.wanted - found.last).days if found.wanted and found.last else None
    passed = found.wanted is None or (behind is not None and behind <= 0 and found.rows > 0)
    soft = loaded or behind == 1 or found.last is None
    metadata: dict[str, Any] = {"rows": found.rows}
    metadata |= {"last_day": found.last.isoformat()} if found.last else {}
    metadata |= {"wanted_day": found.wanted.isoformat()} if found.wanted else {}
    metadata |= {"days_behind": max(behind, 0)} if behind is not None else {}
    return dg.AssetCheckResult(
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN if soft else dg.AssetCheckSeverity.ERROR,
        metadata=metadata,
        description=_words(found, behind),
    )


def _words(found: Found, behind: int | None) -> str:
    if found.wanted is None:
        return "nothing is due yet"
    if found.last is None or behind is None:
        return f"nothing is there; {found.wanted} should be"
    if behind > 0:
        return f"ends on {found.last}, {behind} days behind; {found.wanted} should be there"
    return f"{found.wanted} is there with {found.rows:,} rows" if found.rows else f"{found.wanted} has no rows"


def landed(home: State, table: str, now: datetime) -> Found:
    """A daily landing table."""
    days = home.landing.days(table)
    wanted = wanted_day(home.settings, days, now)
    rows = home.landing.read(table, wanted).num_rows if wanted in days else 0
    return Found(days[-1] if days else None, rows, wanted)


def logged(home: State, now: datetime) -> Found:
    """The decision log: the last due day on which something was decided is to be landed."""
    wanted = last_decided(home.settings.decisions, due(home.settings, now))
    days = home.landing.days(keys.DECISION_LOG)
    rows = home.landing.read(keys.DECISION_LOG, wanted).num_rows if wanted in days else 0
    return Found(days[-1] if days else None, rows, wanted)


def last_decided(path: Path, through: date) -> date | None:
    """Last UTC day, not after ``through``, of which the log has a decision; None where there is no log or none."""
    if not path.exists():
        return None
    with reading(path) as log:
        row = log.execute("select max(decided_at) from decisions where decided_at < ?", bounds(through)[1:]).fetchone()
    return from_micros(row[0]).date() if row[0] is not None else None


def marts(home: State, names: list[str], now: datetime) -> dict[str, Found]:
    """The marts, in one read of the warehouse. Raises SetupError before the first build."""
    wanted = wanted_day(home.settings, home.landing.days("impressions"), now)
    parts = [
        f"select '{name}' as mart, max({day}) as last, count(*) filter (where {day} = $wanted::date + {ahead}) as n, "
        f"{ahead} as ahead from {name}"
        for name, (day, ahead) in DAY_OF_MART.items()
        if name in names
    ]
    rows = home.warehouse.read(" union all ".join(parts), {"wanted": wanted}).to_pylist()
    ahead = {row["mart"]: timedelta(days=row["ahead"]) for row in rows}
    return {r["mart"]: Found(_day(r["last"]), r["n"], wanted + ahead[r["mart"]]) for r in rows}


def _day(value: date | None) -> date | None:
    return value.date() if isinstance(value, datetime) else value


def _check(table: str, look: Callable[[State, datetime], Found]) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=table, name=NAME)
    def check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        """The day that is due has rows."""
        home = state()
        return judge(look(home, datetime.now(UTC)), bool(home.settings.dataset))

    return check


@dg.multi_asset_check(
    name="marts_latest_day",
    specs=[dg.AssetCheckSpec(NAME, asset=name, description="The day that is due has rows.") for name in DAY_OF_MART],
    can_subset=True,
)
def latest_day_of_marts(context: dg.AssetCheckExecutionContext) -> Any:
    """One step for all marts: one read of the warehouse under its lock."""
    home = state()
    names = sorted(key.asset_key.to_user_string() for key in context.selected_asset_check_keys)
    for name, found in marts(home, names, datetime.now(UTC)).items():
        yield judge(found, bool(home.settings.dataset))._replace(asset_key=dg.AssetKey(name), check_name=NAME)


def _landing(table: str) -> Callable[[State, datetime], Found]:
    return lambda home, now: landed(home, table, now)


def checks(present: frozenset[str]) -> list[dg.AssetChecksDefinition]:
    """Checks on the latest day of every daily landing table that the data set has, of the decision log and of the marts."""
    daily = [_check(name, _landing(name)) for name in keys.LANDING_DAILY if name in present]
    return [*daily, _check(keys.DECISION_LOG, logged), latest_day_of_marts]


def job(present: frozenset[str]) -> Any:
    """The checks alone, without their assets."""
    names = [*(n for n in keys.LANDING_DAILY if n in present), keys.DECISION_LOG, *DAY_OF_MART]
    wanted = dg.AssetSelection.checks(*(dg.AssetCheckKey(dg.AssetKey(name), NAME) for name in names))
    return dg.define_asset_job(JOB, selection=wanted)


@dg.schedule(cron_schedule="40 3 * * *", job_name=JOB, default_status=dg.DefaultScheduleStatus.RUNNING)
def every_morning(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Look whether yesterday came, whether or not anything ran."""
    if not settings().warehouse.exists():
        return dg.SkipReason("nothing is built yet")
    return dg.RunRequest(run_key=f"freshness-{context.scheduled_execution_time:%Y-%m-%d}")
