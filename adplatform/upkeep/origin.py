"""Where a policy version came from: its registry record, its promotion, and Dagster's run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from adplatform.contracts.errors import AdPlatformError
from adplatform.contracts.promotion import ModelVersion
from adplatform.settings import Settings
from adplatform.state import State

AGENT: Final = "bandit_policy"
PAGE: Final = 100


def record_of(state: State, version: str) -> ModelVersion | None:
    """The registry's record; None where the version is not there."""
    try:
        return state.registry.get(AGENT, version)
    except AdPlatformError:
        return None


def promotion_of(state: State, version: str, at: datetime) -> dict[str, Any] | None:
    """The history's entry by which the version served at ``at``: its last move to the pointer before."""
    moves = [p for p in state.registry.history(AGENT) if p.champion == version and p.promoted]
    before = [p for p in moves if datetime.fromisoformat(p.at) <= at]
    found = before[-1] if before else None
    return found.model_dump(mode="json", exclude={"agent", "champion", "promoted"}) if found else None


def materialization_of(config: Settings, version: str) -> dict[str, Any] | None:
    """The materialization that made the version: the first of the challenger that names it, or, for a first champion,
    which its challenger's run made to be compared with, the first that names it as the champion. None where none does."""
    if not config.dagster_home.exists():
        return None
    import dagster as dg

    from adplatform.defs.runs import prepare

    prepare(config)
    asset = f"{AGENT}_challenger"
    with dg.DagsterInstance.get() as instance:
        named = _records(instance, dg.AssetKey(asset))
        for role in ("challenger", "champion"):
            for record in reversed(named):  # oldest first
                made = record.asset_materialization
                if made is not None and role in made.metadata and made.metadata[role].value == version:
                    return {"asset": asset, "as": role, **_shown(instance, record, made)}
    return None


def _records(instance: Any, key: Any) -> list[Any]:
    """Every materialization, newest first."""
    found: list[Any] = []
    cursor = None
    while True:
        page = instance.fetch_materializations(key, limit=PAGE, cursor=cursor)
        found += page.records
        if not page.has_more:
            return found
        cursor = page.cursor


def _shown(instance: Any, record: Any, made: Any) -> dict[str, Any]:
    run = instance.get_run_by_id(record.run_id)
    prefix = "dagster/input_data_version/"
    return {
        "run_id": record.run_id,
        "run_status": run.status.value if run else None,
        "at": datetime.fromtimestamp(record.timestamp, UTC).isoformat(),
        "inputs": {k.removeprefix(prefix): v for k, v in (made.tags or {}).items() if k.startswith(prefix)},
    }
