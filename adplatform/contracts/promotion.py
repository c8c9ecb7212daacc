"""Model versions, verdicts and promotions."""

from __future__ import annotations

from typing import Any

from adplatform.contracts.base import Day, Identifier, Message


class ModelVersion(Message):
    """An artefact in the registry; ``version`` is its content hash. This travels, never the model."""

    agent: Identifier
    version: Identifier
    created_at: str
    """UTC, ISO 8601."""
    data_version: str
    data_through: str | None = None
    seed: int = 0
    metrics: dict[str, Any] = {}
    trained_on: tuple[Day, ...] | None = None
    """Days of the examples that it was fitted to; None where the record does not tell: an earlier build's did not."""
    judged_on: tuple[Day, ...] | None = None
    """Days of the held-out examples that its verdict was computed on; likewise."""


class Check(Message):
    """One test a challenger had to pass: the rule in words, the figure, and whether it held."""

    rule: str
    figure: float | None
    """None: the data cannot decide, and ``reason`` says what it would need."""
    limit: float
    passed: bool
    reason: str


class Verdict(Message):
    """All the checks of a challenger against the present champion."""

    agent: Identifier
    challenger: Identifier
    champion: Identifier | None
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether the challenger may be promoted: there is a check, and all of them held."""
        return bool(self.checks) and all(c.passed for c in self.checks)

    @property
    def reason(self) -> str:
        """Why, in one line: the checks that failed, or those that carried it."""
        chosen = [c.reason for c in self.checks if self.passed or not c.passed]
        return "; ".join(chosen) or "no check was run"


class Promotion(Message):
    """An entry of the registry's history."""

    agent: Identifier
    champion: Identifier
    previous: Identifier | None
    promoted: bool
    reason: str
    at: str
