"""``interaction_factors`` knows users by id: a version without the person takes the place of those with."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from adplatform.state import State
from adplatform.upkeep.traces import FACTORS


def forget_factors(state: State, user_id: str) -> int:
    """Publish the champion again without the person's row and remove every version that has it; how many were removed.

    Nobody else's scores change. Cut off half-way, the next call does the rest.
    """
    import numpy as np

    from adplatform.targeting.collaborative import InteractionFactors

    state.registry.discard()
    champion = state.registry.champion(FACTORS)
    if champion is not None and _has(state, champion.version, user_id):
        held = InteractionFactors.load(state.registry.path(FACTORS, champion.version))
        at = held.users.index(user_id)
        users = held.users[:at] + held.users[at + 1 :]
        factors = np.delete(held.user_factors, at, axis=0)
        without = InteractionFactors(users, held.creatives, factors, held.creative_factors, held.popularity)
        with tempfile.TemporaryDirectory() as folder:
            without.save(Path(folder))
            version = state.registry.publish(
                FACTORS, Path(folder), data_version=champion.data_version, data_through=champion.data_through,
                seed=champion.seed, metrics=champion.metrics, trained_on=champion.trained_on,
                judged_on=champion.judged_on,
            )  # fmt: skip
        state.registry.promote(FACTORS, version.version, "without a person who was deleted; the rest is the same")
    gone = [v.version for v in state.registry.versions(FACTORS) if _has(state, v.version, user_id)]
    for name in gone:
        state.registry.remove(FACTORS, name)
    return len(gone)


def _has(state: State, version: str, user_id: str) -> bool:
    ids = state.registry.path(FACTORS, version, verify=False) / "ids.json"
    return user_id in json.loads(ids.read_bytes())["users"]
