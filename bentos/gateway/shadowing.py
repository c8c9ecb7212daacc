"""Shadow mode: a challenger is asked what the champion is asked. What it says is logged, and never answered."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from adplatform.contracts.errors import UNREADABLE
from adplatform.store.registry import Registry
from adplatform.targeting.bandit import Policy, choose, load_policy
from adplatform.targeting.features import RequestFeatures
from bentos import metrics

POINTER: Final = "shadow"
_log = logging.getLogger(__name__)


class Shadowing:
    """The challenger of ``agent`` that the registry names, if any. One that fails is dropped until the pointer moves."""

    def __init__(self, registry: Registry, agent: str) -> None:
        self._registry, self._agent = registry, agent
        self._rng = np.random.default_rng()  # its own: the champion draws as it would alone
        self._seen: tuple[int, int] | None = None
        self.running: tuple[str, Policy] | None = None

    def refresh(self) -> None:
        """Take what the pointer names now."""
        seen = self._registry.mark(self._agent, POINTER)
        if seen == self._seen:
            return
        self._seen, self.running, version = seen, None, "?"
        try:
            named = self._registry.shadow(self._agent)
            if named is None:
                return
            version = named.version
            self.running = version, load_policy(self._registry.path(self._agent, version))
        except UNREADABLE:
            _log.exception("%s is refused as a shadow", version)
            metrics.shadowed(self._agent, version, "refused")
        else:
            _log.info("%s runs in shadow", version)

    def of(self, request: RequestFeatures, candidates: Sequence[str]) -> dict[str, Any] | None:
        """What it says, as ``contracts.serving.Shadow``; None where none runs or it fails."""
        running = self.running
        if running is None:
            return None
        version, policy = running
        try:
            probabilities = policy.of_requests([request])[0]
            shares = _valid(probabilities, len(candidates))
            said = {
                "policy_version": version,
                "creative_id": candidates[choose(shares, self._rng)],
                "probabilities": shares,
            }
        except Exception:  # noqa: BLE001 - a shadow must never cost a decision
            _log.exception("%s failed and runs in shadow no more", version)
            metrics.shadowed(self._agent, version, "failed")
            self.running = None
            return None
        metrics.shadowed(self._agent, version, "answered")
        return said


def _valid(probabilities: np.ndarray, count: int) -> list[float]:
    """As the log's contract has them. Raises ValueError: what does not read would block the landing of its day."""
    if probabilities.shape != (count,) or not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError(f"{probabilities} are no {count} probabilities")
    found: list[float] = probabilities.tolist()
    return found
