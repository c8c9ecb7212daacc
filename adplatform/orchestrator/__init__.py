"""The orchestrator: brief to campaign plan; it reaches agents through their protocols only."""

from adplatform.orchestrator.assembling import stable_bytes
from adplatform.orchestrator.default_copy import DefaultCopy
from adplatform.orchestrator.fallbacks import BaseRateExpectation, BaseRates, EqualSplit, LargestSegments
from adplatform.orchestrator.machine import Orchestrator, Timeouts

__all__ = [
    "BaseRateExpectation", "BaseRates", "DefaultCopy", "EqualSplit", "LargestSegments", "Orchestrator", "Timeouts", "stable_bytes",
]  # fmt: skip
