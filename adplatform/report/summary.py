"""``reports/latest``: summary.json for machines and report.html for people, written whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from adplatform import asset_keys as keys
from adplatform import monitor
from adplatform.contracts.claims import Claim
from adplatform.contracts.errors import SetupError
from adplatform.contracts.measurement import ExperimentDecision
from adplatform.contracts.plan import CampaignPlan
from adplatform.contracts.promotion import Verdict
from adplatform.contracts.targeting import PolicyEvaluation, SegmentRanking
from adplatform.report.html import render
from adplatform.report.online import served
from adplatform.report.retraining import challenges, drift_figures, retraining_figures
from adplatform.settings import Settings
from adplatform.state import State
from adplatform.store.atomic import write_bytes


def _plans(state: State) -> list[CampaignPlan]:
    return [
        state.documents.get(keys.CAMPAIGN_PLANS, k, CampaignPlan) for k in state.documents.keys(keys.CAMPAIGN_PLANS)
    ]


def figures(config: Settings) -> dict[str, Any]:
    """What the agents answered, as the report shows it; what the data set does not have is not there."""
    state = State(config)
    documents = state.documents
    found: dict[str, Any] = {
        "plans": _plans(state),
        "rankings": {
            k: documents.get(keys.SEGMENT_RANKINGS, k, SegmentRanking) for k in documents.keys(keys.SEGMENT_RANKINGS)
        },
        "verdicts": [documents.get("verdicts", k, Verdict) for k in documents.keys("verdicts")],
        "policy": documents.find(keys.POLICY_EVALUATION, "bandit_policy", PolicyEvaluation),
        "decisions": documents.find(keys.EXPERIMENT_DECISIONS, "all", list[ExperimentDecision]) or [],
        "promotions": [p for a in keys.AGENTS for p in state.registry.history(a)[-1:]],
        "open_bandit": documents.find(keys.LOGGED_POLICY_VALUES, "all", dict[str, Any]),
        "served": served(state),
        "drift": monitor.latest(state),
        "challenges": challenges(state),
        "versus": documents.find(keys.MULTI_AGENT_VS_SINGLE_MODEL, "all", Claim),
        "data_through": str(state.warehouse.data_through()),
    }
    return found


def _for_machines(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "plans": [
            {
                "plan_id": p.plan_id,
                "campaign_id": p.brief.campaign_id,
                "objective": p.objective.value,
                "budget": str(p.brief.budget),
                "expected_reward": p.expected_reward,
                "interval": [p.reward_interval.low, p.reward_interval.high],
                "template_share": sum(c.source.value == "template" for c in p.creatives) / len(p.creatives),
                "fallbacks": [s.fallback for s in p.trace if s.fallback],
                "lines": len(p.lines),
            }
            for p in found["plans"]
        ],
        "verdicts": [{"agent": v.agent, "passed": v.passed, "reason": v.reason} for v in found["verdicts"]],
        "decisions": [
            {"experiment": d.experiment_id, "action": d.action.value, "lift": d.lift.absolute,
             "interval": [d.lift.absolute_interval.low, d.lift.absolute_interval.high], "reason": d.reason}
            for d in found["decisions"]
        ],
        "open_bandit": found["open_bandit"],
        "served": [s.model_dump(mode="json") for s in found["served"]],
        "drift": drift_figures(found["drift"]) if found["drift"] else None,
        "retraining": retraining_figures(found["drift"], found["challenges"]),
    }  # fmt: skip


def _found(config: Settings, failures: Sequence[str]) -> dict[str, Any]:
    """The figures; {} where nothing was built because something failed, which the report tells."""
    try:
        return figures(config)
    except SetupError:
        if not failures:
            raise
        return {}


def write_report(
    config: Settings,
    dataset: dict[str, Any],
    seconds: dict[str, float],
    claims: Sequence[Claim],
    failures: Sequence[str],
    at: datetime,
    online: dict[str, Any] | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Write ``reports/<time>`` and make ``reports/latest`` a copy of it; returns the page and the summary."""
    found = _found(config, failures)
    summary: dict[str, Any] = {
        "dataset": dataset,
        "at": at.isoformat(timespec="seconds"),
        "seconds": {**seconds, "loop": round(sum(seconds.values()), 2)},
        "claims": [json.loads(c.model_dump_json()) for c in claims],
        "failures": list(failures),
        **({"online": online} if online else {}),
    }
    if found:
        summary |= {k: v for k, v in _for_machines(found).items() if v}
    folder = config.reports / f"{at:%Y%m%dT%H%M%SZ}"
    write_bytes(folder / "summary.json", json.dumps(summary, indent=1, default=str).encode())
    write_bytes(folder / "report.html", render(dataset, summary, found, claims).encode())
    latest = config.reports / "latest"
    latest.mkdir(parents=True, exist_ok=True)
    for name in ("summary.json", "report.html"):
        temporary = latest / f".{name}"
        shutil.copyfile(folder / name, temporary)
        temporary.replace(latest / name)
    return latest / "report.html", summary
