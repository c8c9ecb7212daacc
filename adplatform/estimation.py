"""Lift, response curves and the budget across campaigns: once, for Dagster, the CLI and the sensors."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import pyarrow as pa

from adplatform import asset_keys as keys
from adplatform.contracts.base import Interval
from adplatform.contracts.brief import Objective
from adplatform.contracts.delivery import Allocation, AllocationOption, AllocationRequest, PacingPlan
from adplatform.contracts.errors import InputError
from adplatform.contracts.measurement import CampaignPosterior, ExperimentCounts, ExperimentDecision, LiftEstimate
from adplatform.contracts.promotion import Verdict
from adplatform.delivery.pacing import hourly_traffic, pace
from adplatform.delivery.policy import BudgetPolicy
from adplatform.delivery.promotion import BudgetCase, train, verdict
from adplatform.measurement.curves import ResponseCurve, response_curves
from adplatform.measurement.decisions import decide
from adplatform.measurement.hierarchical import HierarchicalLift
from adplatform.measurement.shrinkage import fatigue_exponent
from adplatform.state import State
from adplatform.training import First, champion_of, judged, publish

SPENT_FULLY: Final = Decimal("0.01")


@lru_cache(maxsize=1)
def lift_model() -> HierarchicalLift:
    """The hierarchical model of this process; it compiles once for each size."""
    return HierarchicalLift()


def experiment_counts(state: State) -> list[ExperimentCounts]:
    """Counts of every experiment as of its last day in experiment_daily."""
    rows = state.warehouse.read(
        """select d.experiment_id, d.arm, d.users, d.successes, d.day, e.treatment_share, e.designed_users
           from experiment_daily d join stg_experiments e using (experiment_id)
           qualify d.day = max(d.day) over (partition by d.experiment_id)
           order by d.experiment_id, d.arm"""
    ).to_pylist()
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        entry = found.setdefault(row["experiment_id"], {"row": row})
        entry[row["arm"]] = {"arm": row["arm"], "users": row["users"], "successes": row["successes"]}
    return [
        ExperimentCounts(
            experiment_id=name, control=e["control"], treatment=e["treatment"], as_of=e["row"]["day"],
            treatment_share=e["row"]["treatment_share"], designed_users=e["row"]["designed_users"],
        )
        for name, e in found.items() if "control" in e and "treatment" in e
    ]  # fmt: skip


def estimate_lift(state: State) -> list[LiftEstimate]:
    """Lift of all experiments by the hierarchical model. Raises InputError without experiments."""
    counts = experiment_counts(state)
    if not counts:
        raise InputError("experiment_daily", "has no experiment with both arms", "ingest experiments and assignments")
    estimates = lift_model().fit(counts, seed=state.settings.seed)
    state.documents.put(keys.LIFT_ESTIMATES, "all", estimates)
    return estimates


def decide_experiments(state: State) -> list[ExperimentDecision]:
    """The action for each experiment, on the kept lift estimates and the counts now."""
    lift = {e.experiment_id: e for e in state.documents.get(keys.LIFT_ESTIMATES, "all", list[LiftEstimate])}
    decisions = [decide(c, lift.get(c.experiment_id)) for c in experiment_counts(state)]
    state.documents.put(keys.EXPERIMENT_DECISIONS, "all", decisions)
    return decisions


def fatigue(state: State) -> float:
    """Exponent with which the click rate falls with exposures, from the matured log."""
    rows = state.warehouse.read(
        """select creative_exposures_7d as exposures, count(*) as impressions, sum(clicked) as clicks
           from training_examples where is_matured and creative_exposures_7d is not null group by 1 order by 1"""
    )
    if rows.num_rows == 0:
        return 0.0
    return fatigue_exponent(*(rows[c].to_numpy() for c in ("exposures", "impressions", "clicks")))


def campaigns(state: State) -> list[dict[str, Any]]:
    """Rows of stg_campaigns, in order."""
    rows: list[dict[str, Any]] = state.warehouse.read("select * from stg_campaigns order by campaign_id").to_pylist()
    return rows


def curves(state: State, since: date | None = None, before: date | None = None) -> list[ResponseCurve]:
    """Response curves from campaign_daily, of the budget days in [since, before)."""
    daily = state.warehouse.read(
        """select * from campaign_daily where budget_day >= coalesce(?, date '1970-01-01')
           and budget_day < coalesce(?, date '9999-01-01') order by campaign_id, budget_day""",
        [since, before],
    )
    objectives = {c["campaign_id"]: Objective(c["objective"]) for c in campaigns(state)}
    return response_curves(daily, objectives, seed=state.settings.seed)


def posteriors(state: State) -> list[CampaignPosterior]:
    """Each campaign's posterior for the budget, kept for the allocation."""
    found = [c.posterior() for c in curves(state)]
    state.documents.put(keys.RESPONSE_CURVES, "all", found)
    return found


def _options(state: State, found: list[CampaignPosterior]) -> tuple[AllocationOption, ...]:
    """Campaigns in one unit, value in currency: a click is worth what the campaign says one may cost."""
    worth = {c["campaign_id"]: 1.0 if c["objective"] == "conversions" else c["target_cost"] for c in campaigns(state)}
    return tuple(
        AllocationOption(
            option_id=p.campaign_id,
            reward_rate=p.reward_rate * worth[p.campaign_id],
            reward_interval=Interval(
                low=p.interval.low * worth[p.campaign_id], high=p.interval.high * worth[p.campaign_id]
            ),
            saturation=p.saturation,
        )
        for p in found
        if worth[p.campaign_id] is not None
    )


def _current(state: State, ids: set[str]) -> dict[str, Decimal]:
    return {
        c["campaign_id"]: Decimal(str(round(c["daily_budget"], 2)))
        for c in campaigns(state) if c["daily_budget"] and c["campaign_id"] in ids
    }  # fmt: skip


def _case(state: State, first: date, cut: date, end: date) -> BudgetCase:
    """What was known before ``cut``, and what days in [cut, end) taught."""
    known = _options(state, [c.posterior() for c in curves(state, first, cut)])
    later = _options(state, [c.posterior() for c in curves(state, cut, end)])
    both = {o.option_id for o in known} & {o.option_id for o in later}
    current = _current(state, both)
    request = AllocationRequest(
        options=tuple(o for o in known if o.option_id in current),
        budget=sum(current.values(), Decimal(0)) or SPENT_FULLY,
    )
    seen = state.warehouse.read(
        "select campaign_id, max(spend) as most from campaign_daily where budget_day >= ? and budget_day < ? group by 1",
        [first, end],
    )
    most = dict(zip(seen["campaign_id"].to_pylist(), seen["most"].to_pylist(), strict=True))
    return BudgetCase(request, tuple(o for o in later if o.option_id in current), current, most)


def challenge_budget(state: State) -> Verdict:
    """Choose a budget policy on the first two thirds of the days; judge it on what the last third taught."""
    days = state.warehouse.read("select distinct budget_day from campaign_daily where spend > 0 order by 1")
    known = days["budget_day"].to_pylist()
    if len(known) < 9:
        raise InputError(
            "campaign_daily", f"{len(known)} days with spend", "land at least 9 days of priced impressions"
        )
    first, second, third = known[0], known[len(known) // 3], known[2 * len(known) // 3]
    end = date.max
    policy = train([_case(state, first, second, third)])
    case = _case(state, first, third, end)

    def begin() -> First:
        return BudgetPolicy.first().save, {"kind": "daily budgets as they are"}, ()

    champion = champion_of(state, "budget_policy", begin)
    incumbent = BudgetPolicy.load(state.registry.path("budget_policy", champion.version))
    found = verdict(policy, incumbent, [case], seed=state.settings.seed)
    metrics = {"risk": policy.risk, "largest_share": policy.largest_share}
    taught, later = tuple(d for d in known if d < third), tuple(d for d in known if d >= third)
    challenger = publish(state, "budget_policy", policy.save, state.settings.seed, metrics, taught, later)
    return judged(state, found, challenger, champion)


def allocate_budget(state: State) -> Allocation:
    """Tomorrow's budget over the campaigns by the champion policy, kept for delivery."""
    champion = state.registry.champion("budget_policy")
    policy = (
        BudgetPolicy.first()
        if champion is None
        else BudgetPolicy.load(state.registry.path("budget_policy", champion.version))
    )
    options = _options(state, state.documents.get(keys.RESPONSE_CURVES, "all", list[CampaignPosterior]))
    current = _current(state, {o.option_id for o in options})
    options = tuple(o for o in options if o.option_id in current)
    if not options:
        raise InputError(
            "campaigns", "none has a daily budget and a response curve", "ingest campaigns with daily_budget"
        )
    allocation = policy.allocate(AllocationRequest(options=options, budget=sum(current.values(), Decimal(0))), current)
    state.documents.put(keys.BUDGET_ALLOCATION, "all", allocation)
    return allocation


def pace_campaigns(state: State, day: date) -> list[PacingPlan]:
    """Hourly budgets of ``day`` for every campaign of the allocation, by its own zone's traffic."""
    allocation = state.documents.get(keys.BUDGET_ALLOCATION, "all", Allocation)
    zones = {c["campaign_id"]: c["timezone"] for c in campaigns(state)}
    plans = []
    for share in allocation.shares:
        hours: pa.Table = state.warehouse.read(
            """select date_trunc('hour', occurred_at) as hour, count(*) as n from fct_impressions
               where campaign_id = ? group by 1 order by 1""",
            [share.option_id],
        )
        history = {h: float(n) for h, n in zip(hours["hour"].to_pylist(), hours["n"].to_pylist(), strict=True)}
        zone = zones[share.option_id]
        plans.append(pace(share.option_id, share.budget, day, zone, hourly_traffic(history, zone)))
    state.documents.put(keys.PACING_PLANS, "all", plans)
    return plans
