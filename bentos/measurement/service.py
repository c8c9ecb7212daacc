"""The Measurement agent: expected performance, and what to do with an experiment as its counts stand."""

from __future__ import annotations

from typing import NamedTuple

import bentoml
from starlette.responses import Response

from adplatform.assembly import measurement_agent
from adplatform.contracts.errors import InputError
from adplatform.contracts.measurement import (
    ExperimentCounts,
    ExperimentDecision,
    PerformanceReport,
    PerformanceRequest,
)
from adplatform.measurement.agent import Measurement
from adplatform.measurement.decisions import decide
from adplatform.settings import settings
from adplatform.store.snapshots import Snapshots
from bentos.agents import AgentService, Held, Route, agent_app, agent_inputs, called, guard_agent, told
from bentos.http import PathId, Refused, documented


class Loaded(NamedTuple):
    """The agent, and the experiments of the same snapshot."""

    agent: Measurement
    experiments: dict[str, ExperimentCounts]


def _build() -> Loaded:
    inputs = agent_inputs(settings())
    if inputs.measurement is None:
        raise InputError("agent_snapshot", "has nothing for this agent", "see its log, and materialize it again")
    experiments = {c.experiment_id: c for c in inputs.market.experiments}
    return Loaded(measurement_agent(inputs.measurement), experiments)


loaded = Held("measurement", lambda: Snapshots(settings().snapshots).mark(), _build)
ROUTES = [
    Route("/v1/expect", PerformanceRequest, PerformanceReport, "Expected performance of combinations.",
          lambda asked: loaded.get().agent.expect(asked)),
    Route("/v1/lift", ExperimentCounts, ExperimentDecision, "Lift and action from live counts.", decide),
]  # fmt: skip
app = agent_app("measurement", ROUTES, lambda: loaded.get().agent.version)


@app.get("/v1/experiments/{experiment_id}", **documented(None, ExperimentDecision, "An experiment as it stands."))
async def experiment(experiment_id: PathId) -> Response:
    """Decide on the counts of the published snapshot."""
    found = await called(lambda _: loaded.get().experiments, None)
    if experiment_id not in found:
        raise Refused(
            404, "unknown", f"experiment {experiment_id[:60]}: there is none; see adplatform experiment status"
        )
    return told("measurement", await called(decide, found[experiment_id]))


@bentoml.asgi_app(app, path="/")
@bentoml.service(name="measurement", workers=1)
class MeasurementService(AgentService):
    """Holds the agent, and builds it again when its snapshot changes."""

    held = loaded


guard_agent(MeasurementService)
