"""Measurement assets: lift across experiments, actions, response curves, expected performance."""

from typing import Any

import dagster as dg

from adplatform import asset_keys as keys
from adplatform import batch, estimation
from adplatform.contracts.measurement import ExperimentDecision, LiftEstimate
from adplatform.defs.automation import READY
from adplatform.defs.resources import OWNERS, Platform
from adplatform.report.pictures import data_uri, lift_forest, response_plot

COMMON: dict[str, Any] = {"group_name": "measurement", "owners": OWNERS, "automation_condition": READY}


@dg.asset(**COMMON, deps=["experiment_daily", "stg_experiments"], kinds={"pymc"}, name=keys.LIFT_ESTIMATES)
def lift_estimates(platform: Platform) -> dg.MaterializeResult:
    """Lift of every experiment by a hierarchical Bayesian model (PyMC, sampled by nutpie), pooled across experiments."""
    found: list[LiftEstimate] = estimation.estimate_lift(platform.state)
    rows = [
        dg.TableRecord(
            {"experiment": e.experiment_id, "lift": round(e.absolute, 5), "low": round(e.absolute_interval.low, 5),
             "high": round(e.absolute_interval.high, 5), "probability_positive": round(e.probability_positive, 3)}
        )
        for e in found
    ]  # fmt: skip
    return dg.MaterializeResult(metadata={"dagster/row_count": len(found), "lift": dg.MetadataValue.table(rows)})


@dg.asset(**COMMON, deps=[keys.LIFT_ESTIMATES], kinds={"python"}, name=keys.EXPERIMENT_DECISIONS)
def experiment_decisions(platform: Platform) -> dg.MaterializeResult:
    """Continue, scale, reduce, pause or ship, by a rule that stays valid however often one looks, with its reason."""
    found: list[ExperimentDecision] = estimation.decide_experiments(platform.state)
    rows = [
        dg.TableRecord(
            {"experiment": d.experiment_id, "action": d.action.value, "power": round(d.power, 3), "reason": d.reason}
        )
        for d in found
    ]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(found),
            "lift": dg.MetadataValue.md(f"![lift]({data_uri(lift_forest(found))})"),
            "decisions": dg.MetadataValue.table(rows),
        }
    )


@dg.asset(**COMMON, deps=["campaign_daily", "stg_campaigns"], kinds={"python"}, name=keys.RESPONSE_CURVES)
def response_curves(platform: Platform) -> dg.MaterializeResult:
    """What each campaign's daily spend brings: a concave curve with its posterior."""
    state = platform.state
    found = estimation.posteriors(state)
    picture = response_plot(estimation.curves(state))
    return dg.MaterializeResult(
        metadata={"dagster/row_count": len(found), "curves": dg.MetadataValue.md(f"![curves]({data_uri(picture)})")}
    )


@dg.asset(
    **COMMON, deps=["segment_performance", "dim_segments", "dim_creatives", keys.RESPONSE_MODEL_CHAMPION], kinds={"python"},
    name=keys.EXPECTED_PERFORMANCE,
)  # fmt: skip
def expected_performance(platform: Platform) -> dg.MaterializeResult:
    """Clicks and value per unit of currency of every creative in every segment, with intervals and saturation."""
    state = platform.state
    report = batch.expect_library(state)
    state.documents.put(keys.EXPECTED_PERFORMANCE, "all", report)
    best = sorted(report.combinations, key=lambda c: -(c.value_per_unit or c.clicks_per_unit))[:20]
    rows = [
        dg.TableRecord(
            {"creative": c.creative_id, "segment": c.segment_id, "clicks_per_unit": round(c.clicks_per_unit, 3),
             "value_per_unit": round(c.value_per_unit, 3) if c.value_per_unit is not None else "no conversions",
             "saturation": round(c.saturation, 2)}
        )
        for c in best
    ]  # fmt: skip
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(report.combinations), "best": dg.MetadataValue.table(rows), "version": report.model_version,
        }
    )  # fmt: skip


def assets(present: frozenset[str]) -> list[dg.AssetsDefinition]:
    """Lift needs experiments; curves and expected performance need prices, which come with conversions' data sets."""
    lift = [lift_estimates, experiment_decisions] if "experiments" in present else []
    return [*lift, *([response_curves] if "conversions" in present else []), expected_performance]
