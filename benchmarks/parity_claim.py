"""Claim ``parity``: what was answered online is what batch computes of what was logged, to the last bit.

Several clients ask at once, so that decisions share a call of the model, as they do under load. Probabilities are computed
again by the batch path (a table of candidate rows, ``predict``). Features are compared with the marts: the log is landed,
dbt builds that day, and ``user_features`` and ``user_creative_exposures`` are what the endpoint must have served.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import stamina

from adplatform.contracts.claims import Claim
from adplatform.contracts.serving import Decision, LoggedDecision
from adplatform.contracts.tables import DECISION_LOG
from adplatform.contracts.targeting import CreativeAttributes
from adplatform.decisions import land_day
from adplatform.settings import Settings
from adplatform.skew import difference, profiles_of
from adplatform.state import State
from adplatform.store.decision_file import reading
from adplatform.store.library import Library
from adplatform.store.registry import Registry
from adplatform.targeting.bandit import Policy, SoftmaxPolicy, load_policy
from adplatform.targeting.features import RequestFeatures
from benchmarks.dbt_build import dbt
from benchmarks.served import Gateway, scratch, served

TOLERANCE: Final = 1e-12
CLIENTS: Final = 4
TRIES: Final = 20
SHOWN: Final = 20
"""Of so many decisions one is shown, so that the day is one that the marts build."""
PLACEMENTS: Final = ("feed", "banner", "story", "search", None, "a new place")


def run(
    n: int = 10_000, seed: int = 105, progress: Callable[[float], None] | None = None, source: Path | None = None
) -> Claim:
    """``n`` requests of every kind (known, unknown and no users; 1 to 40 candidates; old and new places), then compared.

    The twins compare with another policy's probabilities, and with features of which one differs by one.
    """
    with scratch(source) as (home, key):
        with served(home, key) as gateway:
            asked = _ask(gateway, n, np.random.default_rng(seed), progress)
        return compare(home, asked)


def _ask(
    gateway: Gateway, n: int, rng: np.random.Generator, progress: Callable[[float], None] | None
) -> list[Decision]:
    users, creatives = [*gateway.users(True), *gateway.users(False)[:20], "nobody"], gateway.creatives
    bodies = []
    for _ in range(n):
        body: dict[str, Any] = {"candidates": rng.permutation(creatives)[: rng.integers(1, 41)].tolist()}
        body |= {"position": int(rng.integers(1, 6))}
        place, user = PLACEMENTS[rng.integers(len(PLACEMENTS))], rng.integers(len(users) + 50)
        body |= {"placement": place} if place else {}
        body |= {"user_id": users[user]} if user < len(users) else {}
        bodies.append(body)
    done = itertools.count(1)

    def ask(body: dict[str, Any]) -> Decision:
        made = Decision.model_validate_json(_posted(gateway, "/v1/decide", body).content)
        number = next(done)
        if number % SHOWN == 1:
            at = {"decision_id": made.decision_id, "occurred_at": made.decided_at.isoformat()}
            event = {"event_id": f"shown-{made.decision_id}", "kind": "impression", **at}
            _posted(gateway, "/v1/events", {"events": [event]})
        if progress:
            progress(number / n)
        return made

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(ask, bodies))


def _posted(gateway: Gateway, path: str, body: dict[str, Any]) -> httpx.Response:
    """The answer. What waited too long while the machine stood still is refused, and asked again as its refusal says."""
    tries = stamina.retry_context(
        _refused, attempts=TRIES, timeout=None, wait_initial=0.1, wait_max=0.1, wait_jitter=0.0
    )
    for attempt in tries:
        with attempt:
            answer = gateway.post(path, body).raise_for_status()
    return answer


def _refused(error: Exception) -> bool:
    return isinstance(error, httpx.HTTPStatusError) and error.response.status_code == 503


def compare(home: Path, made: list[Decision]) -> Claim:
    """The claim of these answers, from the log, registry, library and marts of ``home``."""
    registry, library = Registry(home / "models"), Library(home / "landing").creatives
    policies = {v: load_policy(registry.path("bandit_policy", v)) for v in {d.policy_version for d in made}}
    apart, twin = 0.0, 0.0
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
    features = _features(home, {d.decision_id for d in made})
    whole = features["compared"] == len(made) and features["personal"] > 0
    noticed = features["twins_noticed"] == features["personal"]
    equal = apart <= TOLERANCE and not features["other"] and twin > TOLERANCE and noticed
    return Claim(
        name="parity",
        claim="probabilities equal to 1e-12, and features bit for bit those of the marts, endpoint against batch, on what was "
        "logged online",
        figure=max(apart, float(features["other"])),
        holds=None if len(made) < 100 else bool(equal and whole),
        n=len(made),
        detail={"largest_distance": apart, "twin_other_temperature": twin, "features": features},
    )


def _features(home: Path, made: set[str]) -> dict[str, Any]:
    """Decisions compared with the marts, after these have been built: those with features of the user, those with other
    features than the marts', and those of the twin that were noticed.
    """
    config = Settings(home=home)
    state = State(config)
    with reading(config.decisions) as log:
        days = [row[0] for row in log.execute("select distinct date(decided_at / 1000000, 'unixepoch') from decisions")]
    for day in map(date.fromisoformat, days):
        land_day(state, day)
    dbt(
        "run", "--quiet", "--select", "+user_features", "+user_creative_exposures", "+dim_users",
        landing=config.landing, warehouse=config.warehouse, scratch=home / "dbt-scratch",
        attribution_days=config.attribution_days,
    )  # fmt: skip
    found: dict[str, Any] = {"compared": 0, "personal": 0, "other": 0, "twins_noticed": 0, "first": None}
    for day in map(date.fromisoformat, days):
        profiles = profiles_of(state, day)
        for row in state.landing.read(DECISION_LOG.name, day).to_pylist():
            if row["decision_id"] not in made:
                continue
            profile = profiles.get(row["user_id"])
            different = difference(row, profile)
            found["compared"] += 1
            found["other"] += different is not None
            found["first"] = found["first"] or different
            if profile is not None:
                found["personal"] += 1
                found["twins_noticed"] += difference(_one_more(row), profile) is not None
    return found


def _one_more(row: dict[str, Any]) -> dict[str, Any]:
    """The row with one more impression of the user."""
    context = json.loads(row["context"])
    context["user_impressions_7d"] = (context["user_impressions_7d"] or 0) + 1
    return {**row, "context": json.dumps(context)}


def batch_probabilities(policy: Policy, kept: LoggedDecision, library: Mapping[str, CreativeAttributes]) -> np.ndarray:
    """By the batch path: candidate rows as a table, ``predict``, and the policy's weights; shape (candidates,)."""
    creatives = [library[c] for c in kept.request.candidates]
    request = RequestFeatures(kept.context, creatives, kept.exposures)
    if not isinstance(policy, SoftmaxPolicy):
        return np.asarray(policy.probabilities(request.table().slice(0, 1), creatives)[0])
    rewards = policy.model.predict(request.table())
    return np.asarray(policy.of_rewards(rewards[None])[0])
