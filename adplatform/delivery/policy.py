"""How money is split: a rule with its settings, small enough to live in the registry as one JSON file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError

from adplatform.contracts.base import Message, Probability
from adplatform.contracts.delivery import Allocation, AllocationRequest
from adplatform.contracts.errors import InputError
from adplatform.delivery.allocation import allocate, as_allocation, limits, to_cents
from adplatform.stats.apportion import apportion

FILE = "budget_policy.json"


class Rule(StrEnum):
    """How options are weighed."""

    CURRENT = "current"
    """In proportion to the daily budgets as they are. The first champion. Options that have no budget yet, such as the
    combinations of a new plan, have nothing to keep: they are weighed as by POSTERIOR."""
    POSTERIOR = "posterior"
    """By expected reward, water-filling."""


class BudgetPolicy(Message):
    """A rule, how far it trusts the mean, and how much it lets one option take.

    ``largest_share`` is a preference: it gives way where the options could not take the budget otherwise, or where an
    option's minimum asks for more. The request's own ``largest_share`` never gives way.
    """

    rule: Rule = Rule.POSTERIOR
    risk: Probability = 0.0
    largest_share: Annotated[float, Field(gt=0, le=1)] = 1.0

    @classmethod
    def first(cls) -> Self:
        """The first champion: budgets as they are."""
        return cls(rule=Rule.CURRENT)

    @property
    def version(self) -> str:
        """Content hash, so that equal settings have equal names."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return f"budget-{self.rule.value}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def save(self, directory: Path) -> Path:
        """Write the policy as JSON into ``directory``; returns the file."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / FILE
        path.write_text(json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what ``save`` wrote. InputError when the file is missing or is no policy."""
        path = directory / FILE
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, ValidationError) as error:
            problem = " ".join(str(error).split())[:200]
            raise InputError(str(path), f"is no budget policy ({problem})", "train the policy again") from error

    def allocate(self, request: AllocationRequest, current: Mapping[str, Decimal] | None = None) -> Allocation:
        """Split the request's budget. ``current``: option -> daily budget now, for the rule CURRENT.

        Raises InputError as ``allocation.allocate`` does.
        """
        asked = self._tightened(request)
        names = [o.option_id for o in request.options]
        weights = [float((current or {}).get(n, 0)) for n in names]
        if self.rule is Rule.POSTERIOR or not all(w > 0 for w in weights):
            return allocate(asked, self.version)
        bounds = limits(asked)
        return as_allocation(asked, apportion(bounds.total, weights, bounds.low, bounds.high, names), self.version)

    def _tightened(self, request: AllocationRequest) -> AllocationRequest:
        """The request with this policy's risk and, as far as the options can still take the budget, its largest share."""
        total = to_cents(request.budget)
        room = sorted((total if o.maximum is None else to_cents(o.maximum)) for o in request.options)
        needed = max(_smallest_cap(total, room), *(to_cents(o.minimum) for o in request.options), 1)
        share = min(request.largest_share, max(self.largest_share, min(1.0, (needed + 0.5) / total)))
        return request.model_copy(update={"risk": max(request.risk, self.risk), "largest_share": share})


def _smallest_cap(total: int, room: list[int]) -> int:
    """Smallest cap (cents) with ``sum min(room, cap) >= total``; ``total`` where there is not that much room."""
    left = total
    for i, most in enumerate(room):
        others = len(room) - i
        if most * others >= left:
            return -(-left // others)
        left -= most
    return total
