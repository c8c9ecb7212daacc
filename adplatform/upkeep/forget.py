"""``adplatform delete-user``: a person leaves everything under the home; sums and trained weights stay.

Each step finds by itself what is left to do, and a note is kept until the last is done: what a kill cut off is completed
by running the command again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from adplatform import asset_keys as keys
from adplatform.batch import agent_inputs
from adplatform.contracts.errors import AdPlatformError, InputError
from adplatform.inputs import publish
from adplatform.publishing import publish_profiles
from adplatform.settings import Settings
from adplatform.state import State
from adplatform.store.atomic import write_json
from adplatform.store.decision_erase import Erased, erase_user, scrub
from adplatform.store.landed_erase import erase_delivered, erase_landed, their_impressions
from adplatform.store.snapshots import Pointed, Snapshots
from adplatform.store.text_erase import is_sqlite, mask_database, mask_file
from adplatform.upkeep.factors import forget_factors
from adplatform.upkeep.traces import FACTORS, files, traces

DATA_VERSION_TAG: Final = "dagster/data_version"
SERVERS_SECONDS: Final = 2.0
"""Running gateways look for new profiles twice a second; until then they may still decide for the person."""


class Forgotten(NamedTuple):
    """What was removed, by place, and what stays by intent."""

    removed: dict[str, int]
    republished: tuple[str, ...]
    stays: tuple[str, ...]


STAYS: Final = (
    "sums over many people (marts by day, reports, weights of trained models); the next training has no row of the person",
    "backups and copies outside the home, and what source systems deliver again",
)


def present(config: Settings, user_id: str) -> dict[str, int]:
    """Where the person is: file -> rows. Raises InputError for an id of nobody, unless a deletion of it was cut off."""
    found = traces(State(config), user_id)
    if not found and not _note(config, user_id).exists():
        raise InputError(
            f"user {user_id}", f"nothing under {config.home} is kept of this id", "check how it is spelled"
        )
    return found


def delete_user(config: Settings, user_id: str, step: Callable[[str], None] = lambda name: None) -> Forgotten:
    """Remove the person. Raises InputError for an id of nobody, AdPlatformError where something is left, which it names."""
    present(config, user_id)
    note, state = _note(config, user_id), State(config)
    write_json(note, {"started_at": datetime.now(UTC).isoformat()})
    removed: dict[str, int] = {}
    step("inbox")
    removed["inbox"] = erase_delivered(config.home / "inbox", user_id, their_impressions(config, user_id))
    step("decision log")
    _add(removed, _erase_logs(config, user_id))
    step("landing zone")
    removed |= erase_landed(config, user_id)
    republished = _rebuild(config, state, step)
    step("models")
    versions = forget_factors(state, user_id)
    if versions:
        removed["versions of interaction_factors"] = versions
        republished.append(FACTORS)
    step("decision log again")
    if config.decisions.exists():
        time.sleep(SERVERS_SECONDS)
    _add(removed, _erase_logs(config, user_id))
    for path in _logs(config):
        scrub(path)
    step("logs and documents")
    removed["mentions in logs, documents and Dagster's history"] = _mask(config, user_id)
    step("looking for what is left")
    left = traces(State(config), user_id)
    if left:
        places = ", ".join(f"{path} ({n})" for path, n in left.items())
        raise AdPlatformError(f"user {user_id}: is left in {places}; run the command again, or remove those by hand")
    note.unlink()
    return Forgotten({k: n for k, n in removed.items() if n}, tuple(republished), STAYS)


def _rebuild(config: Settings, state: State, step: Callable[[str], None]) -> list[str]:
    """Build the marts and publish what endpoints read without the person; drop the versions before."""
    if not config.warehouse.exists():
        return []
    step("warehouse")
    _build_marts(config)
    state.warehouse.rewrite()
    step("profiles")
    published: dict[str, Pointed] = {}
    if Snapshots(config.profiles).current() is not None:
        published[keys.USER_PROFILES] = publish_profiles(state)
        Snapshots(config.profiles).prune(1)
    if Snapshots(config.snapshots).current() is not None:
        published[keys.AGENT_SNAPSHOT] = publish(config.snapshots, agent_inputs(state), config.keep_snapshots)
        Snapshots(config.snapshots).prune(1)
    _tell_dagster(config, published)
    return ["marts", *published]


def _build_marts(config: Settings) -> None:
    """The ordinary build, as a Dagster run: it finds the days that changed."""
    from adplatform.definitions import defs
    from adplatform.defs.runs import instance
    from adplatform.launch import materialize, root_cause

    with instance(config) as found:
        result = materialize(defs, found, "group:behaviour")
    failed = [f"{e.step_key}: {root_cause(e)}" for e in result.all_events if e.is_step_failure]
    if not result.success:
        raise AdPlatformError(
            f"the marts could not be built ({'; '.join(failed)}); mend it, then run the command again"
        )


def _tell_dagster(config: Settings, published: dict[str, Pointed]) -> None:
    """What was published outside a run shows on its asset, with the reason. A run's checks must not hold a deletion up."""
    import dagster as dg

    from adplatform.defs.runs import instance

    with instance(config) as found:
        for key, pointed in published.items():
            metadata = {"version": pointed.version, "reason": "published again without a person who was deleted"}
            tags = {DATA_VERSION_TAG: pointed.version}
            found.report_runless_asset_event(dg.AssetMaterialization(key, metadata=metadata, tags=tags))


def _logs(config: Settings) -> list[Path]:
    """The decision log, and those that a restore kept beside it."""
    folder = config.decisions.parent
    found = [p for p in folder.glob(f"{config.decisions.name}*") if not p.name.endswith(("-wal", "-shm", "-journal"))]
    return [p for p in sorted(found) if is_sqlite(p)]


def _erase_logs(config: Settings, user_id: str) -> Erased:
    erased = [erase_user(path, user_id) for path in _logs(config)]
    return Erased(*(sum(counts) for counts in zip(*erased, strict=True))) if erased else Erased()


def _add(removed: dict[str, int], erased: Erased) -> None:
    for name, n in erased._asdict().items():
        removed[f"{name} of the decision log"] = removed.get(f"{name} of the decision log", 0) + n


def _mask(config: Settings, user_id: str) -> int:
    """Overwrite mentions wherever no rows are kept and no hash names the content."""
    rows = [config.landing, config.home / "inbox", config.models, config.profiles, config.snapshots]
    total = 0
    for path in files(config.home):
        if path == config.warehouse or path in _logs(config) or any(root in path.parents for root in rows):
            continue
        total += mask_database(path, user_id) if is_sqlite(path) else mask_file(path, user_id)
    return total


def _note(config: Settings, user_id: str) -> Path:
    """The note of a deletion under way. It names the person by a hash, and goes with the last step."""
    return config.home / f".deleting-{hashlib.sha256(json.dumps(user_id).encode()).hexdigest()[:16]}"


def as_json(found: Forgotten) -> dict[str, Any]:
    """For a machine."""
    return {**found._asdict(), "republished": list(found.republished), "stays": list(found.stays)}
