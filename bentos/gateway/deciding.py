"""What a worker decides with: policy, library and profiles, each replaced whole when a newer one is published.

A request takes one ``Serving`` and keeps it: no answer mixes two versions. Whatever cannot be read leaves the one before
in place; with none before, every candidate is as likely as the other.
"""

from __future__ import annotations

import logging
import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import orjson

from adplatform.contracts.errors import UNREADABLE, InputError
from adplatform.contracts.profiles import Profile
from adplatform.contracts.serving import DecideRequest
from adplatform.contracts.targeting import CreativeAttributes
from adplatform.store.decision_writes import NewDecision
from adplatform.store.registry import Registry
from adplatform.targeting.bandit import Policy, UniformPolicy, choose, load_policy
from adplatform.targeting.features import RequestFeatures
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


class Asked(NamedTuple):
    """A request, when it was made, and when its answer is too late (``time.perf_counter``)."""

    request: DecideRequest
    at: datetime
    deadline: float = math.inf


class Made(NamedTuple):
    """A decision before it is durable."""

    record: NewDecision
    policy_version: str
    fallback: bool


@dataclass(slots=True)
class _Under:
    """A request that is being decided: what is known of it so far, what of the user was used, and why it goes by the
    default rule, if so.
    """

    asked: Asked
    features: RequestFeatures
    profile: Profile | None
    used: str
    trouble: str | None
    shares: list[float] = field(default_factory=list)


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
        """Take the champion if the pointer has moved; whether it was taken. A broken one is refused once, and the one before
        stays; a worker that has none takes the last champion before it that can be read.
        """
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
        except UNREADABLE as error:
            self.refused(version, " ".join(str(error).split()))
            if self.serving.version == UNIFORM:
                self._take_earlier()
            return False
        finally:
            self._seen = seen
        _log.info("policy %s serves", version)
        self.taken()
        return True

    def _take_earlier(self) -> None:
        for version in self.registry.champions(AGENT):
            with suppress(*UNREADABLE):
                self.serving = Serving(version, load_policy(self.registry.path(AGENT, version)))
                _log.warning("policy %s, a champion before, serves", version)
                return

    def decide(self, some: Sequence[Asked]) -> list[Made | InputError]:
        """One choice for each, scored together; by the default rule where looking up or scoring fails, or too little is
        left before its deadline. InputError where a candidate is not in the library.
        """
        serving, library = self.serving, self.library()
        begun = [self._begin(asked, library) for asked in some]
        self._score(serving, [one for one in begun if isinstance(one, _Under)])
        return [self._made(serving, one) if isinstance(one, _Under) else one for one in begun]

    def _begin(self, asked: Asked, library: Mapping[str, CreativeAttributes]) -> _Under | InputError:
        request = asked.request
        candidates = [library[c] for c in request.candidates if c in library]
        if len(candidates) < len(request.candidates):
            unknown = next(c for c in request.candidates if c not in library)
            return InputError("candidates", f"{unknown} is no creative of the library", "send ids that are landed")
        profile, trouble = self._look_up(request.user_id, asked.at, asked.deadline)
        known = features(profile, request.placement, request.position, asked.at, candidates)
        used = "nothing personal was used" if trouble else _known(request.user_id, profile)
        return _Under(asked, known, profile, used, trouble)

    def _score(self, serving: Serving, some: Sequence[_Under]) -> None:
        """Give each its shares by the policy, but for those in trouble."""
        for one in some:
            if not one.trouble and _hurried(one.asked.deadline):
                one.trouble = "no time was left to score"
        todo = [one for one in some if not one.trouble]
        if not todo:
            return
        try:
            found = serving.policy.of_requests([one.features for one in todo])
            for one, probabilities in zip(todo, found, strict=True):
                one.shares = probabilities.tolist()
        except Exception:  # noqa: BLE001 - a policy that breaks must not cost the slot
            _log.exception("policy %s failed", serving.version)
            if len(todo) == 1:
                todo[0].trouble = "the policy failed"
            else:
                for one in todo:  # what one request breaks must not cost others their policy
                    self._score(serving, [one])

    def _made(self, serving: Serving, one: _Under) -> Made:
        request, profile, known = one.asked.request, one.profile, one.features
        if one.trouble:
            serving = Serving(UNIFORM, UniformPolicy())
            one.shares = serving.policy.of_requests([known])[0].tolist()
            how = f"default rule: {one.trouble}, every candidate is as likely"
        else:
            how = f"drawn by policy {serving.version}"
        index = choose(one.shares, self._rng)
        decision: dict[str, Any] = {
            "decision_id": secrets.token_hex(16),
            "decided_at": one.asked.at,
            "creative_id": request.candidates[index],
            "propensity": one.shares[index],
            "policy_version": serving.version,
            **({"profile_version": profile.version} if profile else {}),
            "reasons": [how, one.used],
        }
        logged = {
            "decision": decision,
            "request": _request(request, profile),
            "personal": profile is not None,
            "context": known.context,
            "exposures": known.exposures,
            "probabilities": one.shares,
        }
        shadow = None if one.trouble else self.shadow.of(known, request.candidates)
        if shadow:
            logged["shadow"] = shadow
        answer = orjson.dumps(decision)
        user = request.user_id if profile else None
        payload = orjson.dumps(logged)
        record = NewDecision(decision["decision_id"], one.asked.at, user, decision["creative_id"], payload, answer)
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
