"""The Budget agent: the champion policy behind the contract's face."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from adplatform.contracts.delivery import Allocation, AllocationRequest
from adplatform.delivery.policy import BudgetPolicy


class Budget:
    """Implements ``contracts.agents.BudgetAgent``.

    ``current``: option -> its daily budget now, for a policy that keeps budgets as they are.
    """

    def __init__(self, policy: BudgetPolicy, current: Mapping[str, Decimal] | None = None) -> None:
        self._policy = policy
        self._current = dict(current or {})

    @property
    def version(self) -> str:
        """Version of the policy that answers."""
        return self._policy.version

    def allocate(self, request: AllocationRequest) -> Allocation:
        """Split the request's budget, exact to the cent. Raises InputError when its limits cannot be kept."""
        return self._policy.allocate(request, self._current)
