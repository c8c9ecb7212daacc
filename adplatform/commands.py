"""What the command line asks for, above assembly: plans from requests, decisions, rollback."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from adplatform import asset_keys as keys
from adplatform.assembly import no_bars, vocabulary, word_first
from adplatform.batch import labels, orchestrator
from adplatform.contracts.brief import Brief
from adplatform.contracts.errors import InputError
from adplatform.contracts.measurement import ExperimentDecision
from adplatform.contracts.plan import CampaignPlan
from adplatform.contracts.promotion import Promotion
from adplatform.estimation import experiment_counts
from adplatform.measurement.decisions import decide
from adplatform.orchestrator.brief import load_brief, parse_sentence
from adplatform.settings import Settings
from adplatform.state import State


def read_request(state: State, request: str, today: date) -> Brief:
    """A brief from a YAML path or a sentence. Raises InputError naming the field or what is missing."""
    path = Path(request)
    if path.suffix in {".yaml", ".yml"} or (len(request) < 250 and "\n" not in request and path.is_file()):
        return load_brief(path)
    from adplatform.creative.score import Embedder

    no_bars()
    embedder = Embedder.load(state.settings.embedding_model)
    return parse_sentence(
        request, today=today, known=vocabulary(labels(state)), embed=embedder.embed, currency=state.settings.currency
    )


def plan_request(config: Settings, request: str, *, seed: int, today: date) -> CampaignPlan:
    """``adplatform plan``: read the request, plan it, keep the plan."""
    state = State(config)
    brief = read_request(state, request, today)
    machine = orchestrator(state)
    word_first(machine, brief, seed, config.copy_seconds)
    plan = machine.plan(brief, seed=seed)
    state.documents.put("plans", plan.plan_id, plan)
    return plan


def experiment_status(config: Settings, name: str | None) -> list[ExperimentDecision]:
    """Decisions kept by experiment_decisions, else computed now from the counts with the live posterior."""
    state = State(config)
    kept = state.documents.find(keys.EXPERIMENT_DECISIONS, "all", list[ExperimentDecision])
    found = kept or [decide(c) for c in experiment_counts(state)]
    if name is None:
        return found
    chosen = [d for d in found if d.experiment_id == name]
    if not chosen:
        known = ", ".join(d.experiment_id for d in found) or "there are none"
        raise InputError(f"experiment {name}", "is unknown", f"choose from: {known}")
    return chosen


def shadow(config: Settings, agent: str, version: str | None) -> str:
    """Run ``version`` in shadow, end it ("off"), or only say what runs (None). Raises InputError for an agent without."""
    if agent != "bandit_policy":
        raise InputError(f"agent {agent}", "cannot run in shadow", "give bandit_policy")
    registry = State(config).registry
    if version is not None:
        registry.set_shadow(agent, None if version == "off" else version)
    running = registry.shadow(agent)
    return f"{agent}: {running.version} runs in shadow" if running else f"{agent}: nothing runs in shadow"


def rollback(config: Settings, agent: str) -> Promotion:
    """Give the agent back its previous champion. Raises InputError for an unknown agent or when there is none before."""
    if agent not in keys.AGENTS:
        raise InputError(f"agent {agent}", "is unknown", f"choose from {', '.join(keys.AGENTS)}")
    return State(config).registry.rollback(agent)
