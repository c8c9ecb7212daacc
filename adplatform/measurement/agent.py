"""The Measurement agent: expected performance for plans, lift and actions for experiments."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from adplatform.contracts.errors import AgentUnavailable, InputError
from adplatform.contracts.measurement import (
    ExperimentCounts,
    ExperimentDecision,
    LiftEstimate,
    PerformanceReport,
    PerformanceRequest,
)
from adplatform.contracts.targeting import CreativeAttributes, Segment
from adplatform.measurement import conjugate
from adplatform.measurement.decisions import decide
from adplatform.measurement.performance import Performance


class Measurement:
    """Implements ``contracts.agents.MeasurementAgent`` on the sums of ``segment_performance`` (a pyarrow table).

    See ``Performance`` for the other arguments. ``version`` defaults to a hash of all that the answers depend on.
    """

    def __init__(
        self, performance: Any, segments: Sequence[Segment], *, days: int, library: Sequence[CreativeAttributes] = (),
        default_cost_per_mille: float | None = None, fatigue: float = 0.0, version: str | None = None,
    ) -> None:  # fmt: skip
        if default_cost_per_mille is not None and not default_cost_per_mille > 0:
            raise InputError("default_cost_per_mille", f"is {default_cost_per_mille}", "give an amount above 0")
        self._performance = Performance(
            performance, segments, days=days, library=library, default_cost_per_mille=default_cost_per_mille,
            fatigue=fatigue,
        )  # fmt: skip
        facts = (segments, days, library, default_cost_per_mille, fatigue)
        self._version = version or f"measurement-{_digest(performance, facts)}"

    @property
    def version(self) -> str:
        """Name of what answers."""
        return self._version

    def expect(self, request: PerformanceRequest) -> PerformanceReport:
        """One row for each combination, in order.

        Raises InputError on a creative that the request does not describe or an unknown segment, AgentUnavailable
        where the data has no prices and no default was given.
        """
        if not self._performance.has_prices:
            raise AgentUnavailable("measurement", "the data has no spend, so no price; give default_cost_per_mille")
        creatives = {c.creative_id: c for c in request.creatives}
        for i, score in enumerate(request.combinations):
            if score.creative_id not in creatives:
                raise InputError(
                    f"combinations[{i}]", f"creative {score.creative_id} is not among the creatives", "describe it"
                )
        rows = (
            self._performance.expected(creatives[s.creative_id], s, request.flight_days) for s in request.combinations
        )
        return PerformanceReport(combinations=tuple(rows), model_version=self._version)

    def lift(self, counts: ExperimentCounts) -> LiftEstimate:
        """Lift of one experiment by itself, at once (conjugate)."""
        return conjugate.lift(counts)

    def decide(self, counts: ExperimentCounts, lift: LiftEstimate | None = None) -> ExperimentDecision:
        """What to do with an experiment; ``lift`` is the hierarchical estimate where there is one."""
        return decide(counts, lift)


def _digest(performance: Any, facts: tuple[Any, ...]) -> str:
    rows = performance.sort_by([("segment_id", "ascending"), ("creative_id", "ascending")]).to_pylist()
    return hashlib.sha256(repr((rows, facts)).encode()).hexdigest()[:12]
