"""Builds the agents, once, for Dagster's shells, the endpoints and the command line: from inputs, registry and settings.

It opens no warehouse, and nothing it imports does: see ``batch`` for the plane that reads one.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from adplatform.contracts.agents import BudgetAgent, CreativeAgent, MeasurementAgent, TargetingAgent
from adplatform.contracts.brief import Brief
from adplatform.contracts.creative import CreativeRequest, CreativeSet
from adplatform.contracts.errors import UNREADABLE, AdPlatformError, InputError
from adplatform.delivery import Budget, BudgetPolicy
from adplatform.inputs import AgentInputs, Labels, MeasurementInputs, TargetingInputs
from adplatform.measurement.agent import Measurement
from adplatform.orchestrator.brief import load_brief
from adplatform.orchestrator.language.vocabulary import Vocabulary
from adplatform.orchestrator.machine import Orchestrator, Timeouts
from adplatform.orchestrator.resilience import within
from adplatform.settings import Settings
from adplatform.store.documents import Documents
from adplatform.store.registry import Registry
from adplatform.targeting.agent import Targeting
from adplatform.targeting.ranking import CAUTIOUS, EXPECTED
from adplatform.targeting.response import Response, load_response

T = TypeVar("T")
_log = logging.getLogger(__name__)


def response_model(registry: Registry) -> Response:
    """The response model that serves. Raises InputError before the first training."""
    champion = registry.champion("response_model")
    if champion is None:
        raise InputError("response_model", "has no champion", "materialize response_model_champion first")
    return load_response(registry.path("response_model", champion.version))


def targeting_agent(inputs: TargetingInputs, model: Response, config: Settings) -> Targeting:
    """The Targeting agent on ``model``.

    Where the inputs were made with another model (one was promoted since, or rolled back), what that one expected is
    left out and the new one is trusted cautiously, until the next snapshot.
    """
    table, prior = inputs.performance, inputs.prior
    if model.version != inputs.model_version:
        table, prior = table.drop_columns(list(EXPECTED)), CAUTIOUS
    return Targeting(model, inputs.segments, table, inputs.contexts, config.minimum_segment_users, prior)


def measurement_agent(inputs: MeasurementInputs) -> Measurement:
    """The Measurement agent on the matured sums of segment_performance."""
    return Measurement(
        inputs.performance, inputs.segments, days=inputs.days, library=inputs.library,
        default_cost_per_mille=inputs.cost_per_mille, fatigue=inputs.fatigue,
        version=f"performance-{inputs.data_version[:16]}",
    )  # fmt: skip


def budget_agent(registry: Registry) -> Budget:
    """The Budget agent: the champion policy, or the first one before any was trained."""
    champion = registry.champion("budget_policy")
    if champion is None:
        return Budget(BudgetPolicy.first())
    return Budget(BudgetPolicy.load(registry.path("budget_policy", champion.version)))


def vocabulary(labels: Labels) -> Vocabulary:
    """The data's own labels, for reading a sentence."""
    return Vocabulary(
        categories=labels.categories,
        audiences=sorted({s.audience for s in labels.segments if s.audience}),
        age_bands=sorted({s.age_band for s in labels.segments if s.age_band}),
        regions=labels.regions,
        segments=labels.segments,
        products=labels.products,
    )


def no_bars() -> None:
    """The loading bars of transformers would stand between a user and the one line of an error."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()


@lru_cache(maxsize=2)
def _loaded_creative(folder: str, source: str, embedding: str) -> Any:
    from adplatform.creative.agent import Creative

    no_bars()
    return Creative.load(source, embedding, converted=Path(folder))


class PublishedCreatives:
    """The Creative agent with a memory: what was worded for a request once is not worded again.

    The key is the whole request and the agent's version, so the same brief, seed and model give the same variants.
    """

    def __init__(self, documents: Documents, load: Callable[[], CreativeAgent], version: str) -> None:
        self._documents, self._load, self.version = documents, load, version

    def creatives(self, request: CreativeRequest) -> CreativeSet:
        """From memory, else from the agent; only answers of the agent itself are remembered."""
        key = hashlib.sha256(f"{self.version}\n{request.model_dump_json()}".encode()).hexdigest()[:32]
        held = self._documents.find("creative_cache", key, CreativeSet)
        if held is None:
            held = self._load().creatives(request)
            self._documents.put("creative_cache", key, held)
        return held


def creative_agent(config: Settings, registry: Registry, documents: Documents) -> PublishedCreatives:
    """The Creative agent on the converted language model of the registry."""
    from adplatform.creative.prompts import VERSION

    champion = registry.champion("copy_model")
    if champion is None:
        raise InputError("copy_model", "is not converted yet", "materialize copy_model first")
    folder = registry.path("copy_model", champion.version)

    def load() -> CreativeAgent:
        agent: CreativeAgent = _loaded_creative(str(folder), config.language_model, config.embedding_model)
        return agent

    parts = f"{champion.version} {config.language_model} {config.embedding_model} {VERSION}"
    return PublishedCreatives(documents, load, f"copy-{hashlib.sha256(parts.encode()).hexdigest()[:12]}")


def or_none(what: str, build: Callable[[], T]) -> T | None:
    """What cannot be read or built is None: the orchestrator's rule answers for the agent, and the trace says so."""
    try:
        return build()
    except UNREADABLE as error:
        _log.warning("%s can't be had: %s", what, error)
        return None


def orchestrator(inputs: AgentInputs, config: Settings, registry: Registry, documents: Documents) -> Orchestrator:
    """The orchestrator with every agent that can be built in this process."""
    targeting, measurement = inputs.targeting, inputs.measurement
    return orchestrated(
        inputs,
        config,
        creative=or_none("creative", lambda: creative_agent(config, registry, documents)),
        targeting=or_none("targeting", lambda: targeting_agent(targeting, response_model(registry), config))
        if targeting
        else None,
        measurement=or_none("measurement", lambda: measurement_agent(measurement)) if measurement else None,
        budget=or_none("budget", lambda: budget_agent(registry)),
    )


def orchestrated(
    inputs: AgentInputs, config: Settings, *, creative: CreativeAgent | None, targeting: TargetingAgent | None,
    measurement: MeasurementAgent | None, budget: BudgetAgent | None,
) -> Orchestrator:  # fmt: skip
    """The orchestrator over these agents, wherever they run."""
    seconds = config.agent_seconds
    return Orchestrator(
        creative=creative,
        targeting=targeting,
        measurement=measurement,
        budget=budget,
        segments=inputs.labels.segments,
        rates=inputs.market.rates,
        minimum_users=config.minimum_segment_users,
        regions=inputs.labels.regions,
        timeouts=Timeouts(config.creative_seconds, seconds, seconds, seconds),
        data_version=inputs.market.data_version,
        data_through=inputs.market.data_through,
    )


def brief_of(config: Settings, campaign_id: str) -> Brief:
    """The brief of a campaign: ``briefs/<campaign>.yaml`` in the home."""
    return load_brief(config.home / "briefs" / f"{campaign_id}.yaml")


def word_first(machine: Orchestrator, brief: Brief, seed: int, seconds: float) -> None:
    """Have new texts worded before the plan's clock runs; they are kept, so its creative turn only reads them.

    A language model on two cores writes for about 20 s. If it fails or takes longer than ``seconds``, the creative
    turn times out or fails in its own deadline, a rule answers, and the trace says so. Raises InputError, before a word
    is written, on a brief that the data does not know.
    """
    machine.check(brief)
    if machine.creative is None:
        return
    agent = machine.creative
    with suppress(AdPlatformError):
        within(seconds, lambda: agent.creatives(CreativeRequest(brief=brief, seed=seed)))
