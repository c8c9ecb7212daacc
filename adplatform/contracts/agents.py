"""The agents as the orchestrator sees them. One objective and one contract each.

Every method raises AgentError (or a subclass) when it cannot answer, InputError when the request is wrong.
``version`` names the model that answers, for the trace and the receipt.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from adplatform.contracts.creative import CreativeRequest, CreativeSet
from adplatform.contracts.delivery import Allocation, AllocationRequest
from adplatform.contracts.measurement import PerformanceReport, PerformanceRequest
from adplatform.contracts.targeting import RankRequest, SegmentRanking


@runtime_checkable
class CreativeAgent(Protocol):
    """Words ad variants for a brief."""

    @property
    def version(self) -> str: ...
    def creatives(self, request: CreativeRequest) -> CreativeSet: ...


@runtime_checkable
class TargetingAgent(Protocol):
    """Ranks segments for creatives."""

    @property
    def version(self) -> str: ...
    def rank(self, request: RankRequest) -> SegmentRanking: ...


@runtime_checkable
class MeasurementAgent(Protocol):
    """Says what combinations are expected to bring, with uncertainty."""

    @property
    def version(self) -> str: ...
    def expect(self, request: PerformanceRequest) -> PerformanceReport: ...


@runtime_checkable
class BudgetAgent(Protocol):
    """Splits money over options."""

    @property
    def version(self) -> str: ...
    def allocate(self, request: AllocationRequest) -> Allocation: ...
