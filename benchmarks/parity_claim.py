"""Claim ``parity``: what was answered online is what batch computes of what was logged, to the last bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from adplatform.contracts.claims import Claim
from adplatform.contracts.serving import Decision, LoggedDecision
from adplatform.contracts.targeting import CreativeAttributes
from adplatform.settings import Settings
from adplatform.store.decision_file import reading
from adplatform.store.library import Library
from adplatform.store.profiles import Profiles
from adplatform.store.registry import Registry
from adplatform.targeting.bandit import Policy, SoftmaxPolicy, load_policy
from adplatform.targeting.features import RequestFeatures
from adplatform.targeting.request import features
from benchmarks.served import Gateway, scratch, served

TOLERANCE: Final = 1e-12
PLACEMENTS: Final = ("feed", "banner", "story", "search", None, "a new place")


def run(
    n: int = 10_000, seed: int = 105, progress: Callable[[float], None] | None = None, source: Path | None = None
) -> Claim:
    """``n`` requests of every kind (known, unknown and no users; 1 to 40 candidates; old and new places), then compared.

    Of each logged decision: the probabilities by the batch path (a table of candidate rows, ``predict``), the propensity,
    and the features from a profile that is looked up anew. The twin compares with another policy's probabilities.
    """
    with scratch(source) as (home, key), served(home, key) as gateway:
        asked = _ask(gateway, n, np.random.default_rng(seed), progress)
        return compare(home, asked)


def _ask(
    gateway: Gateway, n: int, rng: np.random.Generator, progress: Callable[[float], None] | None
) -> list[Decision]:
    users = [*gateway.users(True), *gateway.users(False)[:20], "nobody"]
    made = []
    for number in range(n):
        candidates = rng.permutation(gateway.creatives)[: rng.integers(1, 41)].tolist()
        body: dict[str, Any] = {"candidates": candidates, "position": int(rng.integers(1, 6))}
        place, user = PLACEMENTS[rng.integers(len(PLACEMENTS))], rng.integers(len(users) + 50)
        body |= {"placement": place} if place else {}
        body |= {"user_id": users[user]} if user < len(users) else {}
        answer = gateway.post("/v1/decide", body)
        answer.raise_for_status()
        made.append(Decision.model_validate_json(answer.content))
        if progress and number % 50 == 0:
            progress(number / n)
    return made


def compare(home: Path, made: list[Decision]) -> Claim:
    """The claim of these answers, from the log, registry, library and profiles of ``home``."""
    registry, library = Registry(home / "models"), Library(home / "landing").creatives
    profiles = Profiles(Settings(home=home).profiles)
    profiles.refresh()
    policies = {v: load_policy(registry.path("bandit_policy", v)) for v in {d.policy_version for d in made}}
    apart, twin, skewed = 0.0, 0.0, 0
    with reading(home / "online" / "decisions.sqlite") as log:
        for decision in made:
            row = log.execute("select payload from decisions where decision_id = ?", (decision.decision_id,)).fetchone()
            kept = LoggedDecision.model_validate_json(row[0])
            policy = policies[decision.policy_version]
            again = batch_probabilities(policy, kept, library)
            at = kept.request.candidates.index(decision.creative_id)
            apart = max(apart, float(np.abs(again - kept.probabilities).max()), abs(again[at] - decision.propensity))
            if len(again) > 1 and isinstance(policy, SoftmaxPolicy):
                other = SoftmaxPolicy(policy.model, 2 * policy.temperature, policy.exploration)
                twin = max(twin, float(np.abs(batch_probabilities(other, kept, library) - kept.probabilities).max()))
            skewed += _differs(kept, profiles, library)
    return Claim(
        name="parity",
        claim="probabilities equal to 1e-12 and features bit for bit, endpoint against batch, on what was logged online",
        figure=max(apart, float(skewed)),
        holds=None if len(made) < 100 else bool(apart <= TOLERANCE and skewed == 0 and twin > TOLERANCE),
        n=len(made),
        detail={"largest_distance": apart, "decisions_with_other_features": skewed, "twin_other_temperature": twin},
    )


def batch_probabilities(policy: Policy, kept: LoggedDecision, library: Mapping[str, CreativeAttributes]) -> np.ndarray:
    """By the batch path: candidate rows as a table, ``predict``, and the policy's weights; shape (candidates,)."""
    creatives = [library[c] for c in kept.request.candidates]
    request = RequestFeatures(kept.context, creatives, kept.exposures)
    if not isinstance(policy, SoftmaxPolicy):
        return np.asarray(policy.probabilities(request.table().slice(0, 1), creatives)[0])
    rewards = policy.model.predict(request.table())
    return np.asarray(policy.of_rewards(rewards[None])[0])


def _differs(kept: LoggedDecision, profiles: Profiles, library: Mapping[str, CreativeAttributes]) -> bool:
    """Whether the features served differ from those computed anew as of that time."""
    asked = kept.request
    profile = profiles.get(asked.user_id, kept.decision.decided_at) if asked.user_id else None
    creatives = [library[c] for c in asked.candidates]
    anew = features(profile, asked.placement, asked.position, kept.decision.decided_at, creatives)
    return dict(anew.context) != dict(kept.context) or tuple(anew.exposures) != kept.exposures
