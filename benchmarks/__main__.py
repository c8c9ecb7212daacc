"""``python -m benchmarks NAME [--json]``, ``python -m benchmarks prove`` and ``python -m benchmarks all --write PATH``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from adplatform.contracts.claims import BenchmarkReport
from adplatform.contracts.errors import AdPlatformError
from adplatform.settings import settings
from adplatform.store.atomic import write_bytes
from benchmarks.machine import commit
from benchmarks.page import page
from benchmarks.registry import BENCHMARKS, CLAIMS, report

console = Console(stderr=True)


def _one(name: str, reduced: bool) -> BenchmarkReport:
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(name, total=1.0)
        return report(name, reduced, lambda share: bar.update(task, completed=share))


def _print(result: BenchmarkReport) -> None:
    for row in result.rows:
        ratio = f"; ratio {row.ratio:.3g}" if row.ratio is not None else ""
        console.print(
            f"{result.name}: {row.what}: {row.ours:,.4g} against {row.peer_name} {row.peer}{ratio}", markup=False
        )
    for claim in result.claims:
        state = {True: "holds", False: "DOES NOT HOLD", None: "cannot tell"}[claim.holds]
        console.print(f"{claim.name}: {claim.claim}: {state}; figure {claim.figure}, n {claim.n}", markup=False)


def prove(again: bool, reduced: bool, only: list[str]) -> int:
    """Run the long claims; those with a result of this commit in reports/prove/ are not run again."""
    folder = settings().reports / "prove"
    failed = 0
    for name in only or list(CLAIMS):
        path = folder / f"{name}.json"
        if path.exists() and not again:
            result = BenchmarkReport.model_validate_json(path.read_bytes())
            if result.machine.get("commit") == commit():
                _print(result)
                failed += any(c.holds is not True for c in result.claims)
                continue
        result = _one(name, reduced)
        write_bytes(path, result.model_dump_json(indent=1).encode())
        _print(result)
        failed += any(c.holds is not True for c in result.claims)
    console.print(f"results in {folder}", soft_wrap=True)
    return 1 if failed else 0


def main(
    name: Annotated[str, typer.Argument(help=f"prove, all, or one of: {', '.join([*BENCHMARKS, *CLAIMS])}")],
    only: Annotated[list[str] | None, typer.Argument(help="With prove: just these claims.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    write: Annotated[Path | None, typer.Option(help="With all and prove: bring the page there up to date.")] = None,
    again: Annotated[bool, typer.Option(help="With prove: run also what has a result.")] = False,
    reduced: Annotated[bool, typer.Option(help="The small form that the demo runs.")] = False,
) -> None:
    """Run a benchmark or a claim."""
    if name == "prove":
        failed = prove(again, reduced, only or [])
        if write:
            _write(write, [])
        raise typer.Exit(failed)
    if name != "all" and name not in BENCHMARKS and name not in CLAIMS:
        console.print(
            f"error: {name}: no such benchmark; choose from {', '.join([*BENCHMARKS, *CLAIMS])}", markup=False
        )
        raise typer.Exit(2)
    results = [_one(n, reduced) for n in (BENCHMARKS if name == "all" else [name])]
    if json:
        sys.stdout.write("\n".join(r.model_dump_json(indent=1) for r in results) + "\n")
    else:
        for result in results:
            _print(result)
    if write:
        _write(write, results)


def _write(path: Path, results: list[BenchmarkReport]) -> None:
    before = path.read_text() if path.exists() else ""
    write_bytes(path, page(results, settings().reports / "prove", before).encode())


if __name__ == "__main__":
    try:
        typer.run(main)
    except AdPlatformError as error:
        console.print("error:", str(error), markup=False)
        sys.exit(error.exit_code)
