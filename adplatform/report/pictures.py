"""Pictures of the report and of asset metadata, as PNG bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from adplatform.contracts.measurement import ExperimentDecision
from adplatform.contracts.plan import CampaignPlan
from adplatform.measurement.curves import ResponseCurve
from adplatform.stats.calibration import Reliability

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, SOFT, GOOD, BAD = "#1f2a44", "#9aa5b8", "#2a7f62", "#b3412e"


def figure(width: float = 7.0, height: float = 3.4) -> tuple[Figure, Any]:
    """A figure with one axis, in the report's manner (no display needed)."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), dpi=110, layout="constrained")
    axis = made.subplots()
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(colors=INK)
    return made, axis


def png(made: Figure) -> bytes:
    """The figure as PNG bytes."""
    buffer = io.BytesIO()
    made.savefig(buffer, format="png")
    return buffer.getvalue()


def data_uri(image: bytes) -> str:
    """The image as a data URI, for HTML and for Dagster's markdown metadata."""
    return "data:image/png;base64," + base64.b64encode(image).decode()


def lift_forest(decisions: Sequence[ExperimentDecision]) -> bytes:
    """Absolute lift of each experiment with its 95 % interval, coloured by the proposed action."""
    made, axis = figure(height=0.8 + 0.28 * max(len(decisions), 3))
    for row, decision in enumerate(decisions):
        interval = decision.lift.absolute_interval
        colour = {"ship": GOOD, "scale": GOOD, "pause": BAD, "reduce": BAD}.get(decision.action.value, INK)
        axis.plot([interval.low * 100, interval.high * 100], [row, row], color=colour, lw=2)
        axis.plot(decision.lift.absolute * 100, row, "o", color=colour)
    axis.axvline(0, color=SOFT, lw=1)
    axis.set_yticks(range(len(decisions)), [f"{d.experiment_id} ({d.action.value})" for d in decisions])
    axis.set_xlabel("lift of the share of users who respond, in percentage points (95 % interval)")
    axis.invert_yaxis()
    return png(made)


def reliability_plot(bins: Reliability) -> bytes:
    """Predicted against observed rate by bin; the bars are where chance alone would put the observed rate."""
    made, axis = figure(4.4, 4.0)
    limit = max(*bins.predicted, *bins.high) * 100
    axis.plot([0, limit], [0, limit], color=SOFT, lw=1)
    for p, lo, hi in zip(bins.predicted, bins.low, bins.high, strict=True):
        axis.plot([p * 100, p * 100], [lo * 100, hi * 100], color=SOFT, lw=3)
    axis.plot(bins.predicted * 100, bins.observed * 100, "o", color=INK)
    axis.set_xlabel("predicted click rate, %")
    axis.set_ylabel("observed click rate, %")
    return png(made)


def plan_bars(plan: CampaignPlan) -> bytes:
    """Budget of each line of the plan."""
    made, axis = figure(height=0.8 + 0.3 * len(plan.lines))
    names = {c.creative_id: c.headline for c in plan.creatives}
    labels = [f"{names[line.creative_id][:34]} → {line.segment_id.replace('|', ', ')}" for line in plan.lines]
    axis.barh(range(len(labels)), [float(line.budget) for line in plan.lines], color=INK)
    axis.set_yticks(range(len(labels)), labels, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel(f"budget, {plan.brief.currency}")
    return png(made)


def bars_with_intervals(
    labels: Sequence[str], values: Sequence[float], low: Sequence[float], high: Sequence[float], title: str
) -> bytes:
    """Points with intervals, one for each label."""
    made, axis = figure(height=0.9 + 0.3 * len(labels))
    for row, (value, lo, hi) in enumerate(zip(values, low, high, strict=True)):
        axis.plot([lo, hi], [row, row], color=INK, lw=2)
        axis.plot(value, row, "o", color=INK)
    axis.set_yticks(range(len(labels)), labels)
    axis.invert_yaxis()
    axis.set_xlabel(title)
    return png(made)


def response_plot(curves: Sequence[ResponseCurve]) -> bytes:
    """Expected daily reward by spend for each campaign, with its 95 % band, up to twice the mean daily spend."""
    import numpy as np

    made, axis = figure(height=3.8)
    for curve in curves:
        spend = np.linspace(0.0, 2 * curve.spent / max(curve.days, 1), 60)
        mean, low, high = curve.reward(spend)
        (line,) = axis.plot(spend, mean, label=curve.campaign_id)
        axis.fill_between(spend, low, high, alpha=0.15, color=line.get_color(), lw=0)
    axis.set_xlabel("daily spend, in currency")
    axis.set_ylabel("expected daily reward")
    axis.legend(frameon=False, fontsize=8)
    return png(made)


def regret_bars(detail: Mapping[str, Any]) -> bytes:
    """Normalised regret of both contenders, all campaigns and by objective; shorter is better."""
    made, axis = figure(height=2.6)
    everything = {name: detail["regret"][name]["mean"] for name in ("multi", "single")}
    parts = {"all campaigns": everything, **detail["by_objective"]}
    rows = [(name, regret) for name, regret in parts.items() if "multi" in regret]
    for number, (_, regret) in enumerate(rows):
        axis.barh(number - 0.18, regret["multi"], 0.34, color=INK, label="several agents" if number == 0 else None)
        axis.barh(number + 0.18, regret["single"], 0.34, color=SOFT, label="one single model" if number == 0 else None)
    axis.set_yticks(range(len(rows)), [name for name, _ in rows])
    axis.invert_yaxis()
    axis.set_xlabel("share of the possible gain that was missed")
    axis.legend(frameon=False, fontsize=8, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    return png(made)
