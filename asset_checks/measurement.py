"""Experiments are balanced, lift is finite and ordered, expectations are within bounds."""

import dagster as dg

from adplatform import asset_keys as keys
from adplatform.contracts.measurement import ExperimentDecision, LiftEstimate, PerformanceReport
from asset_checks.platform import state

MISMATCH_BELOW = 0.001
"""Sample-ratio p under which an experiment's assignment is taken to be faulty (Fabijan et al. 2019)."""


@dg.asset_check(asset=keys.EXPERIMENT_DECISIONS, name="sample_ratios_are_as_designed")
def sample_ratio() -> dg.AssetCheckResult:
    """No experiment's arms differ from their designed shares by more than chance."""
    found = state().documents.get(keys.EXPERIMENT_DECISIONS, "all", list[ExperimentDecision])
    off = [f"{d.experiment_id} (p {d.sample_ratio_p:.2g})" for d in found if d.sample_ratio_p < MISMATCH_BELOW]
    return dg.AssetCheckResult(
        passed=bool(found) and not off,
        metadata={"experiments": len(found), "smallest_p": min((d.sample_ratio_p for d in found), default=1.0)},
        description=f"do not trust: {', '.join(off)}" if off else None,
    )


@dg.asset_check(asset=keys.LIFT_ESTIMATES, name="intervals_hold_their_estimates")
def intervals() -> dg.AssetCheckResult:
    """Every lift lies inside its interval, and every interval has a width."""
    found = state().documents.get(keys.LIFT_ESTIMATES, "all", list[LiftEstimate])
    wrong = [
        e.experiment_id for e in found
        if not e.absolute_interval.low < e.absolute < e.absolute_interval.high
    ]  # fmt: skip
    return dg.AssetCheckResult(
        passed=bool(found) and not wrong, metadata={"experiments": len(found), "wrong": ", ".join(wrong) or "none"}
    )


@dg.asset_check(asset=keys.EXPECTED_PERFORMANCE, name="expectations_are_within_bounds")
def expectations() -> dg.AssetCheckResult:
    """Click rates lie inside their intervals, and every combination has a price and a saturation."""
    found = state().documents.get(keys.EXPECTED_PERFORMANCE, "all", PerformanceReport)
    wrong = [
        f"{c.creative_id} in {c.segment_id}" for c in found.combinations
        if not c.click_interval.low <= c.click_rate <= c.click_interval.high
    ]  # fmt: skip
    return dg.AssetCheckResult(
        passed=bool(found.combinations) and not wrong,
        metadata={"combinations": len(found.combinations), "wrong": len(wrong)},
    )


def checks(present: frozenset[str]) -> list[dg.AssetChecksDefinition]:
    """Checks of the measurement assets that the data set has."""
    return [*([sample_ratio, intervals] if "experiments" in present else []), expectations]
