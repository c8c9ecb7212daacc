"""``adplatform explain``: everything that is known of one decision, and what is not known said plainly."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from adplatform.contracts.errors import UNREADABLE, InputError
from adplatform.contracts.serving import LoggedDecision
from adplatform.contracts.tables import DECISION_LOG, IMPRESSIONS
from adplatform.settings import Settings
from adplatform.state import State
from adplatform.store.decision_file import connect, from_micros
from adplatform.store.library import Library
from adplatform.upkeep import origin

UNIFORM: Final = "uniform"


class Found(NamedTuple):
    """A decision as it was kept, and where; ``reasons`` is None where they were not kept."""

    source: str
    decision_id: str
    decided_at: datetime
    creative_id: str
    propensity: float
    policy_version: str
    profile_version: str | None
    reasons: list[str] | None
    user_id: str | None
    placement: str | None
    position: int | None
    candidates: list[str]
    probabilities: list[float]
    context: dict[str, Any]
    exposures: list[float | None]
    shadow_version: str | None
    shadow_probabilities: list[float] | None


def explain(config: Settings, decision_id: str) -> dict[str, Any]:
    """The decision with its candidates, features, policy, training, outcomes; ``unknown`` lists what cannot be told.

    Raises InputError for an id that neither the log nor the landed decision_log has.
    """
    state = State(config)
    found = _in_log(state, decision_id) or _landed(state, decision_id)
    if found is None:
        raise InputError(
            f"decision {decision_id}", "is unknown here", "give a decision_id that the gateway of this home answered"
        )
    unknown = [] if found.reasons is not None else ["reasons: the log was compacted, the landed row does not keep them"]
    policy, version = _policy(state, found, unknown)
    return {
        "decision": {
            k: getattr(found, k)
            for k in ("decision_id", "creative_id", "propensity", "policy_version", "profile_version", "reasons")
        }
        | {"decided_at": found.decided_at.isoformat(), "source": found.source},
        "request": {"user_id": found.user_id, "placement": found.placement, "position": found.position},
        "candidates": _candidates(found),
        "shadow": _shadow(found),
        "features": found.context,
        "policy": policy,
        "recomputed": _recomputed(state, found, version),
        "outcomes": _outcomes(state, found, unknown),
        "unknown": unknown,
    }


def _in_log(state: State, decision_id: str) -> Found | None:
    path = state.settings.decisions
    if not path.exists():
        return None
    with closing(connect(path, read_only=True)) as log:
        row = log.execute("select payload from decisions where decision_id = ?", (decision_id,)).fetchone()
    if row is None:
        return None
    kept = LoggedDecision.model_validate_json(row[0])
    made, asked = kept.decision, kept.request
    return Found(
        "decision log", made.decision_id, made.decided_at, made.creative_id, made.propensity, made.policy_version,
        made.profile_version, list(made.reasons), asked.user_id if kept.personal else None, asked.placement, asked.position,
        list(asked.candidates), list(kept.probabilities), dict(kept.context), list(kept.exposures),
        kept.shadow.policy_version if kept.shadow else None, list(kept.shadow.probabilities) if kept.shadow else None,
    )  # fmt: skip


def _landed(state: State, decision_id: str) -> Found | None:
    zone = state.landing.zone
    for day, _ in zone.positions(DECISION_LOG, pa.array([decision_id]), None):
        rows = state.landing.read(DECISION_LOG.name, day)
        row = rows.filter(pa.compute.equal(rows["decision_id"], decision_id)).to_pylist()[0]
        return Found(
            f"landed decision_log of {day}", decision_id, row["decided_at"].astimezone(UTC), row["creative_id"],
            row["propensity"], row["policy_version"], row["profile_version"], None, row["user_id"], row["placement"],
            row["position"], json.loads(row["candidates"]), json.loads(row["probabilities"]), json.loads(row["context"]),
            json.loads(row["exposures"]), row["shadow_version"], json.loads(row["shadow_probabilities"] or "null"),
        )  # fmt: skip
    return None


def _shadow(found: Found) -> dict[str, Any] | None:
    """Which challenger ran in shadow, and its probability of what was chosen."""
    if found.shadow_probabilities is None:
        return None
    chosen = found.shadow_probabilities[found.candidates.index(found.creative_id)]
    return {"version": found.shadow_version, "probability": chosen, "probabilities": found.shadow_probabilities}


def _candidates(found: Found) -> list[dict[str, Any]]:
    rows = zip(found.candidates, found.probabilities, found.exposures, strict=True)
    return [
        {"creative_id": c, "probability": p, "exposures_7d": e, "chosen": c == found.creative_id} for c, p, e in rows
    ]


def _policy(state: State, found: Found, unknown: list[str]) -> tuple[dict[str, Any], Any]:
    """What chose, and the loaded policy; None where it cannot be had. What is not known goes to ``unknown``."""
    from adplatform.targeting.bandit import UniformPolicy, load_policy

    version = found.policy_version
    if version == UNIFORM:
        unknown.append("training: the default rule gives every candidate the same probability; nothing was trained")
        return {"version": version, "kind": "default rule, every candidate alike"}, UniformPolicy()
    record = origin.record_of(state, version)
    if record is None:
        unknown.append(f"training: the registry has no {origin.AGENT} {version} any more")
        return {"version": version}, None
    policy: Any = None
    try:
        policy = load_policy(state.registry.path(origin.AGENT, version))
    except UNREADABLE as error:
        unknown.append(f"probabilities: {version} cannot be loaded ({error})")
    promotion = origin.promotion_of(state, version, found.decided_at)
    if promotion is None:
        unknown.append("promotion: the history has no entry by which this version served then")
    made = origin.materialization_of(state.settings, version)
    if made is None:
        unknown.append("materialization: Dagster's history names none that made this version (made outside Dagster?)")
    if record.trained_on is None:
        unknown.append(f"days that it was trained on: {version} was made before its record told them")
    days = {"trained_on", "judged_on"}
    return {
        "version": version,
        "kind": type(policy).__name__ if policy else None,
        **record.model_dump(mode="json", exclude={"version", *days}),
        "promotion": promotion,
        "materialization": made,
        "partitions": {"asset": IMPRESSIONS.name, **record.model_dump(mode="json", include={"data_version", *days})},
    }, policy


def _recomputed(state: State, found: Found, policy: Any) -> dict[str, Any]:
    """Whether the version gives the logged probabilities again, from what was logged and the library of today."""
    from adplatform.targeting.features import RequestFeatures

    library = Library(state.settings.landing).creatives
    gone = [c for c in found.candidates if c not in library]
    if policy is None or gone:
        why = f"{', '.join(gone)} left the library" if policy is not None else "the policy version cannot be loaded"
        return {"equal": None, "largest_difference": None, "text": f"cannot be recomputed: {why}"}
    request = RequestFeatures(found.context, [library[c] for c in found.candidates], found.exposures)
    again = np.asarray(policy.of_requests([request])[0])
    off = float(np.max(np.abs(again - np.asarray(found.probabilities))))
    text = "equal" if off == 0 else f"differ by up to {off:.3g} (has a creative's row in the library changed since?)"
    return {"equal": off == 0, "largest_difference": off, "text": text}


def _outcomes(state: State, found: Found, unknown: list[str]) -> dict[str, Any]:
    """Events that the log has, and what the marts say once the day was built."""
    events: list[dict[str, Any]] = []
    if state.settings.decisions.exists():
        with closing(connect(state.settings.decisions, read_only=True)) as log:
            rows = log.execute(
                "select event_id, kind, occurred_at, received_at, value from events where decision_id = ? "
                "order by occurred_at",
                (found.decision_id,),
            ).fetchall()
        events = [
            {"event_id": e, "kind": k, "occurred_at": from_micros(o).isoformat(), "received_at": from_micros(r).isoformat(),
             "value": v}
            for e, k, o, r, v in rows
        ]  # fmt: skip
    if found.source != "decision log":
        unknown.append("single events: the log was compacted; the marts below have what came of it")
    marts = None
    if state.settings.warehouse.exists():
        rows = state.warehouse.read(
            "select clicked, click_delay_seconds, converted, conversion_value, is_matured from fct_impressions "
            "where impression_id = ?",
            [found.decision_id],
        ).to_pylist()
        marts = rows[0] if rows else None
    if marts is None:
        unknown.append("what came of it in the marts: not landed and built yet, or it was never shown")
    return {"events": events, "marts": marts}
