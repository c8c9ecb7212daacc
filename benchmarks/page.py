"""docs/benchmarks.md, printed from reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adplatform.contracts.claims import BenchmarkReport

_HEAD = """# Benchmarks

Printed by `make bench`; never typed. Ratios compare with a peer or a floor measured in the same run.
"""


_CLAIMS = """# Long claims

Left by `make prove`.
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


def page(results: Sequence[BenchmarkReport], proved: Path, before: str = "") -> str:
    """The page: benchmarks of this run, then the claims that ``make prove`` has left in ``proved``.

    What neither has is kept from the page ``before``, with the machine and the seconds that it names.
    """
    measured, _, claimed = before.partition(_CLAIMS)
    found = [BenchmarkReport.model_validate_json(p.read_bytes()) for p in sorted(proved.glob("*.json"))]
    sections = {**_sections(measured), **{r.name: _section(r) for r in results}}
    claims = {**_sections(claimed), **{r.name: _section(r) for r in found}}
    lines = [_HEAD, *(line for section in sections.values() for line in section)]
    if claims:
        lines += [_CLAIMS, *(line for name in sorted(claims) for line in claims[name])]
    return "\n".join(lines).rstrip() + "\n"


def _sections(text: str) -> dict[str, list[str]]:
    """The page's sections by their names."""
    return {part.partition("\n")[0]: f"## {part.rstrip()}\n".split("\n") for part in text.split("\n## ")[1:]}
