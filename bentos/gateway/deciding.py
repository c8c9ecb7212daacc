"""What a worker decides with: policy, library and profiles, each replaced whole when a newer one is published.

A request takes one ``Serving`` and keeps it: no answer mixes two versions. Whatever cannot be read leaves the one before
in place; with none before, every candidate is as likely as the other.
"""

from __future__ import annotations

import logging
import math
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import orjson

from adplatform.contracts.errors import AdPlatformError, InputError
from adplatform.contracts.profiles import Profile
from adplatform.contracts.serving import DecideRequest
from adplatform.contracts.targeting import CreativeAttributes
from adplatform.store.decision_writes import NewDecision
from adplatform.store.registry import Registry
from adplatform.targeting.bandit import Policy, UniformPolicy, choose, load_policy
from adplatform.targeting.request import features
from bentos.gateway.shadowing import Shadowing

AGENT: Final = "bandit_policy"
UNIFORM: Final = "uniform"
HURRY_SECONDS: Final = 0.02
"""With less time left nothing is looked up or scored, so that the commit may be in time: 17 ms is the goal for the whole."""
_log = logging.getLogger(__name__)


class ProfileSource(Protocol):
    """Where users are looked up."""

    @property
    def version(self) -> str | None: ...  # noqa: D102
    def get(self, user_id: str, at: datetime) -> Profile | None: ...  # noqa: D102


class Serving(NamedTuple):
    """One policy and the version that names it in the registry."""

    version: str
    policy: Policy


class Made(NamedTuple):
    """A decision before it is durable."""

    record: NewDecision
    policy_version: str
    fallback: bool


@dataclass
class Deciding:
    """Chooses creatives. ``refused`` hears of an artefact that could not be taken, ``taken`` when the champion serves."""

    registry: Registry
    library: Callable[[], Mapping[str, CreativeAttributes]]
    profiles: ProfileSource
    refused: Callable[[str, str], None] = lambda version, why: _log.error("%s is refused: %s", version, why)
    taken: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.serving = Serving(UNIFORM, UniformPolicy())
        self._rng = np.random.default_rng()
        self._seen: tuple[int, int] | None = None
        self.shadow = Shadowing(self.registry, AGENT)
        self.refresh()
        self.shadow.refresh()

    def refresh(self) -> bool:
        """Take the champion if the pointer has moved; whether it was taken. A broken one is refused once."""
        seen = self.registry.mark(AGENT)
        if seen is None or seen == self._seen:
            return False
        version = "?"
        try:
            champion = self.registry.champion(AGENT)
            if champion is None:
                return False
            if champion.version == self.serving.version:
                self.taken()
                return False
            version = champion.version
            self.serving = Serving(version, load_policy(self.registry.path(AGENT, version)))
        except (AdPlatformError, OSError, ValueError, KeyError, TypeError) as error:
            self.refused(version, " ".join(str(error).split()))
            return False
        finally:
            self._seen = seen
        _log.info("policy %s serves", version)
        self.taken()
        return True

    def decide(self, asked: DecideRequest, at: datetime, deadline: float = math.inf) -> Made:
        """One choice; by the default rule where looking up or scoring fails, or too little is left before ``deadline``
        (``time.perf_counter``). Raises InputError where a candidate is not in the library.
        """
        serving, library = self.serving, self.library()
        candidates = [library[c] for c in asked.candidates if c in library]
        if len(candidates) < len(asked.candidates):
            unknown = next(c for c in asked.candidates if c not in library)
            raise InputError("candidates", f"{unknown} is no creative of the library", "send ids that are landed")
        profile, trouble = self._look_up(asked.user_id, at, deadline)
        reasons = ["nothing personal was used"] if trouble else [_known(asked.user_id, profile)]
        request = features(profile, asked.placement, asked.position, at, candidates)
        if not trouble and _hurried(deadline):
            trouble = "no time was left to score"
        if not trouble:
            try:
                probabilities = serving.policy.of_request(request)
                reasons.insert(0, f"drawn by policy {serving.version}")
            except Exception:  # noqa: BLE001 - a policy that breaks must not cost the slot
                _log.exception("policy %s failed", serving.version)
                trouble = "the policy failed"
        if trouble:
            serving = Serving(UNIFORM, UniformPolicy())
            probabilities = serving.policy.of_request(request)
            reasons.insert(0, f"default rule: {trouble}, every candidate is as likely")
        shares = probabilities.tolist()
        index = choose(shares, self._rng)
        decision: dict[str, Any] = {
            "decision_id": secrets.token_hex(16),
            "decided_at": at,
            "creative_id": asked.candidates[index],
            "propensity": shares[index],
            "policy_version": serving.version,
            **({"profile_version": profile.version} if profile else {}),
            "reasons": reasons,
        }
        logged = {
            "decision": decision,
            "request": _request(asked, profile),
            "personal": profile is not None,
            "context": request.context,
            "exposures": request.exposures,
            "probabilities": shares,
        }
        shadow = None if trouble else self.shadow.of(request, asked.candidates)
        if shadow:
            logged["shadow"] = shadow
        answer = orjson.dumps(decision)
        user = asked.user_id if profile else None
        record = NewDecision(decision["decision_id"], at, user, decision["creative_id"], orjson.dumps(logged), answer)
        return Made(record, serving.version, serving.version == UNIFORM)

    def _look_up(self, user_id: str | None, at: datetime, deadline: float) -> tuple[Profile | None, str | None]:
        """The user's profile, None where nobody is known; and why it could not be looked up, if so."""
        if user_id is None or self.profiles.version is None:
            return None, None
        if _hurried(deadline):
            return None, "no time was left to look the user up"
        try:
            return self.profiles.get(user_id, at), None
        except Exception:  # noqa: BLE001 - a store that breaks must not cost the slot
            _log.exception("the look-up of a user failed")
            return None, "the user could not be looked up"


def _hurried(deadline: float) -> bool:
    return deadline - time.perf_counter() < HURRY_SECONDS


def _known(user_id: str | None, profile: Profile | None) -> str:
    if user_id is None:
        return "no user was named: nothing personal was used"
    if profile is None:
        return "cold start: the user is unknown or has not consented, nothing personal was used"
    return f"features of the user as of the day, from profiles {profile.version}"


def _request(asked: DecideRequest, profile: Profile | None) -> dict[str, Any]:
    """The request as it is kept: without the user's id where nothing of the user was used."""
    return {
        "candidates": asked.candidates,
        "placement": asked.placement,
        "position": asked.position,
        **({"user_id": asked.user_id} if profile else {}),
    }
