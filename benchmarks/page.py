"""docs/benchmarks.md, printed from reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from adplatform.contracts.claims import BenchmarkReport

_HEAD = """# Benchmarks

Printed by `make bench`; never typed. Ratios compare with a peer or a floor measured in the same run.
"""


MOST_ROWS = 20
MOST_LETTERS = 60
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
        f"load at the start {found.get('load_at_start')}; commit {found.get('commit', 'unknown')}; {result.seconds:.0f} s"
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
        lines += _detail(claim.detail)
    return [*lines, ""]


def _detail(detail: Mapping[str, Any]) -> list[str]:
    """What a claim says besides: its figures in one line, and its short tables."""
    figures = [f"{name} {_said(value)}" for name, value in _flat(detail) if _short(value)]
    lines = ["", "  " + "; ".join(figures)] if figures else []
    for name, rows in detail.items():
        if isinstance(rows, list) and 0 < len(rows) <= MOST_ROWS and all(isinstance(row, Mapping) for row in rows):
            columns = [c for c in rows[0] if all(_short(row.get(c)) for row in rows)]
            lines += ["", f"  {name}:", "", f"  | {' | '.join(columns)} |", f"  |{'---|' * len(columns)}"]
            lines += [f"  | {' | '.join(_said(row.get(c)) for c in columns)} |" for row in rows]
    return lines


def _flat(detail: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in detail.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}: ")
        else:
            yield before + name, value


def _short(value: Any) -> bool:
    return isinstance(value, (int, float)) or (isinstance(value, str) and len(value) <= MOST_LETTERS)


def _said(value: Any) -> str:
    return str(value) if isinstance(value, (bool, str)) else _number(value)


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
