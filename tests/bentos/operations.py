"""What each service offers: its paths, the contracts that they take and give, and the scope that opens them."""

from __future__ import annotations

from typing import Final, NamedTuple

from pydantic import BaseModel

from adplatform.contracts.brief import Brief
from adplatform.contracts.creative import CreativeRequest, CreativeSet
from adplatform.contracts.measurement import (
    ExperimentCounts,
    ExperimentDecision,
    PerformanceReport,
    PerformanceRequest,
)
from adplatform.contracts.plan import CampaignPlan
from adplatform.contracts.serving import (
    AgentVersion,
    CreativeProgress,
    DecideRequest,
    Decision,
    EventBatch,
    EventReport,
)
from adplatform.contracts.targeting import RankRequest, SegmentRanking


class Operation(NamedTuple):
    """A method of a path. ``asked``: None where it takes no body."""

    method: str
    path: str
    asked: type[BaseModel] | None
    answered: type[BaseModel]
    scope: str = "read"

    @property
    def place(self) -> str:
        """The path with an id in it."""
        return self.path.replace("{experiment_id}", "e1")


_RANK = Operation("POST", "/v1/segments/rank", RankRequest, SegmentRanking)
_LIFT = Operation("POST", "/v1/lift", ExperimentCounts, ExperimentDecision)
_EXPERIMENT = Operation("GET", "/v1/experiments/{experiment_id}", None, ExperimentDecision)
_CREATIVES = Operation("POST", "/v1/creatives", CreativeRequest, CreativeSet)
_PROGRESS = Operation("GET", "/v1/creatives/progress", None, CreativeProgress)
_VERSION = Operation("GET", "/v1/version", None, AgentVersion)
OPERATIONS: Final = {
    "gateway": (
        Operation("POST", "/v1/decide", DecideRequest, Decision, "decide"),
        Operation("POST", "/v1/events", EventBatch, EventReport, "ingest"),
        Operation("POST", "/v1/plan", Brief, CampaignPlan),
        _RANK,
        _LIFT,
        _EXPERIMENT,
        _CREATIVES,
        _PROGRESS,
    ),
    "targeting": (_RANK, _VERSION),
    "measurement": (Operation("POST", "/v1/expect", PerformanceRequest, PerformanceReport), _LIFT, _EXPERIMENT, _VERSION),
    "creative": (_CREATIVES, _PROGRESS, _VERSION),
}  # fmt: skip
"""Every path of every service, but for the probes and BentoML's own pages."""
