"""The page of benchmarks: what was measured again is new, the rest stays as it was printed."""

from __future__ import annotations

from pathlib import Path

from adplatform.contracts.claims import BenchmarkReport, Claim
from benchmarks.page import page


def report(name: str, figure: float) -> BenchmarkReport:
    claim = Claim(name=name, claim="it holds", figure=figure, holds=True, n=5, detail={})
    return BenchmarkReport(name=name, machine={"cores": 2}, seconds=1.0, claims=(claim,))


def test_figures_and_short_tables_of_a_claim_are_printed(tmp_path: Path) -> None:
    rows = [{"size": 0.5, "tried": 10, "why": "w" * 100}, {"size": 1.0, "tried": 12, "why": ""}]
    detail = {"peak": 250.8, "5x": {"goodput": 2.4, "late": 0}, "delays": rows, "seen": True, "reason": "r" * 100}
    claim = Claim(name="overload", claim="it holds", figure=1.0, holds=True, n=5, detail=detail)
    printed = page(
        [BenchmarkReport(name="overload", machine={"commit": "abc"}, seconds=1.0, claims=(claim,))], tmp_path
    )
    assert "commit abc" in printed
    assert "\n  peak 250.8; 5x: goodput 2.4; 5x: late 0; seen True\n" in printed
    assert "\n  | size | tried |\n  |---|---|\n  | 0.5 | 10 |\n  | 1 | 12 |\n" in printed


def test_only_what_was_measured_again_changes(tmp_path: Path) -> None:
    proved = tmp_path / "prove"
    proved.mkdir()
    for name in ("looks", "events"):
        (proved / f"{name}.json").write_text(report(name, 1.0).model_dump_json())
    before = page([report("plan", 1.0), report("ope", 1.0)], proved)
    assert page([], tmp_path / "nothing", before) == before
    (proved / "looks.json").write_text(report("looks", 2.0).model_dump_json())
    (proved / "events.json").unlink()
    after = page([report("plan", 2.0)], proved, before)
    assert after == before.replace("`plan`: it holds: figure 1", "`plan`: it holds: figure 2").replace(
        "`looks`: it holds: figure 1", "`looks`: it holds: figure 2"
    )
