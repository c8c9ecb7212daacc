"""A campaign plan in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from adplatform.contracts.plan import CampaignPlan, Outcome


def print_plan(console: Console, plan: CampaignPlan) -> None:
    """Creatives, lines with budget, and the trace, as tables."""
    brief = plan.brief
    console.print(
        f"[bold]{brief.product.name}[/bold]: {brief.budget} {brief.currency} for {plan.objective.value}, "
        f"{brief.flight.starts_on} to {brief.flight.ends_on} ({brief.flight.timezone})"
    )
    creatives = Table("creative", "headline", "body", "tone", "appeal", "by", title="Creatives")
    for item in plan.creatives:
        creatives.add_row(
            item.creative_id, item.headline, item.body, item.tone.value, item.appeal.value, item.source.value
        )
    console.print(creatives)
    reward = "clicks" if plan.objective.value == "clicks" else f"value in {brief.currency}"
    lines = Table("#", "creative", "segment", "budget", "share", "click rate", reward, "95 % interval", title="Plan")
    for line in plan.lines:
        lines.add_row(
            str(line.rank), line.creative_id, line.segment_id, str(line.budget), f"{line.share:.1%}",
            f"{line.click_rate:.2%}", f"{line.expected_reward:,.1f}",
            f"{line.reward_interval.low:,.1f} to {line.reward_interval.high:,.1f}",
        )  # fmt: skip
    console.print(lines)
    console.print(
        f"expected {reward}: {plan.expected_reward:,.1f} "
        f"({plan.reward_interval.low:,.1f} to {plan.reward_interval.high:,.1f}); unspent {plan.unspent}"
    )
    trace = Table("state", "agent", "version", "outcome", "seconds", "fallback", "said", title="Trace")
    for step in plan.trace:
        outcome = step.outcome.value if step.outcome is Outcome.ANSWERED else f"[yellow]{step.outcome.value}[/yellow]"
        trace.add_row(
            step.state.value,
            step.agent,
            step.version[:16],
            outcome,
            f"{step.seconds:.2f}",
            step.fallback or "",
            step.said,
        )
    console.print(trace)
    console.print(f"plan {plan.plan_id}, data through {plan.receipt.data_through}, seed {plan.receipt.seed}")
