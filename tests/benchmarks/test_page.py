"""The page of benchmarks: what was measured again is new, the rest stays as it was printed."""

from __future__ import annotations

from pathlib import Path

from adplatform.contracts.claims import BenchmarkReport, Claim
from benchmarks.page import page


def report(name: str, figure: float) -> BenchmarkReport:
    claim = Claim(name=name, claim="it holds", figure=figure, holds=True, n=5, detail={})
    return BenchmarkReport(name=name, machine={"cores": 2}, seconds=1.0, claims=(claim,))


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
