"""docs/benchmarks.md, printed from reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adplatform.contracts.claims import BenchmarkReport

_HEAD = """# Benchmarks

Printed by `make bench`; never typed. Ratios compare with a peer or a floor measured in the same run.
"""


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _machine(result: BenchmarkReport) -> str:
    found = result.machine
    return (
        f"{found.get('processor')}, {found.get('cores')} cores, {found.get('memory_gib')} GiB, Python {found.get('python')}; "
        f"load at the start {found.get('load_at_start')}; {result.seconds:.0f} s"
    )


def _section(result: BenchmarkReport) -> list[str]:
    lines = [f"## {result.name}", "", _machine(result), ""]
    if result.rows:
        lines += ["| what | ours | peer | | ratio | interval | n |", "|---|---|---|---|---|---|---|"]
    for row in result.rows:
        interval = f"{_number(row.interval[0])} to {_number(row.interval[1])}" if row.interval else ""
        lines.append(
            f"| {row.what} | {_number(row.ours)} | {_number(row.peer)} | {row.peer_name or ''} | {_number(row.ratio)} | {interval} | {row.n:,} |"
        )
    for claim in result.claims:
        state = {True: "holds", False: "**does not hold**", None: "cannot tell"}[claim.holds]
        lines += ["", f"- `{claim.name}`: {claim.claim}: figure {_number(claim.figure)}, n {claim.n:,}: {state}"]
    return [*lines, ""]


def page(results: Sequence[BenchmarkReport], proved: Path) -> str:
    """The page: benchmarks of this run, then the claims that ``make prove`` has left in ``proved``."""
    lines = [_HEAD]
    for result in results:
        lines += _section(result)
    found = [BenchmarkReport.model_validate_json(p.read_bytes()) for p in sorted(proved.glob("*.json"))]
    if found:
        lines += ["# Long claims", "", "Left by `make prove`.", ""]
    for result in found:
        lines += _section(result)
    return "\n".join(lines).rstrip() + "\n"
