"""An explanation for people to read."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def print_explanation(out: Console, found: dict[str, Any]) -> None:
    """Print what ``explain`` returned."""
    made, asked = found["decision"], found["request"]

    def line(name: str, text: object) -> None:
        out.print(f"{name}: {text}", markup=False, highlight=False, soft_wrap=True)

    line("decision", f"{made['decision_id']} of {made['decided_at']}, from the {made['source']}")
    line(
        "asked",
        f"user {asked['user_id'] or 'nobody known'}, placement {asked['placement']}, position {asked['position']}",
    )
    line("chose", f"{made['creative_id']} with probability {made['propensity']:.6g}")
    if made["reasons"]:
        line("reasons", "; ".join(made["reasons"]))
    table = Table("candidate", "probability", "seen in 7 days", "")
    for row in found["candidates"]:
        seen = "unknown" if row["exposures_7d"] is None else f"{row['exposures_7d']:g}"
        table.add_row(row["creative_id"], f"{row['probability']:.6g}", seen, "chosen" if row["chosen"] else "")
    out.print(table)
    if found["shadow"]:
        line("shadow", f"{found['shadow']['version']} would have chosen it with {found['shadow']['probability']:.6g}")
    line("recomputed", found["recomputed"]["text"])
    known = {k: v for k, v in found["features"].items() if v is not None}
    line("features", ", ".join(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in known.items()))
    line("features that were unknown", ", ".join(k for k, v in found["features"].items() if v is None) or "none")
    _policy(line, found["policy"])
    events = found["outcomes"]["events"]
    line("events so far", "; ".join(f"{e['kind']} at {e['occurred_at']}" for e in events) or "none in the log")
    if found["outcomes"]["marts"]:
        line("in the marts", ", ".join(f"{k} {v}" for k, v in found["outcomes"]["marts"].items()))
    for text in found["unknown"]:
        line("not known", text)


def _policy(line: Any, policy: dict[str, Any]) -> None:
    line("policy", f"{policy['version']}" + (f" ({policy['kind']})" if policy.get("kind") else ""))
    if "created_at" not in policy:
        return
    line("made", f"{policy['created_at']} on data {policy['data_version']} through {policy['data_through']}")
    line("metrics", ", ".join(f"{k} {v}" for k, v in policy["metrics"].items()) or "none")
    if policy["promotion"]:
        line("promoted", f"{policy['promotion']['at']}: {policy['promotion']['reason']}")
    made = policy["materialization"]
    if made:
        line("materialization", f"{made['asset']}, run {made['run_id']} ({made['run_status']}) at {made['at']}")
    days = policy["partitions"]
    for name in ("trained_on", "judged_on"):
        if days[name]:
            line(
                name.replace("_", " "),
                f"{days['asset']} of {len(days[name])} days, {days[name][0]} to {days[name][-1]}",
            )
