"""Drift over the last days as a picture."""

from __future__ import annotations

from math import nan

from adplatform.contracts.monitoring import DriftKind, DriftReport
from adplatform.report.pictures import BAD, GOOD, INK, SOFT, figure, png


def drift_plot(report: DriftReport) -> bytes:
    """The strongest statistic of each kind by day, as a share of its limit; alarmed days are marked."""
    made, axis = figure(height=3.2)
    days = [d.day for d in report.recent]
    colours = dict(zip(DriftKind, (INK, GOOD, SOFT), strict=True))
    for kind in DriftKind:
        axis.plot(
            range(len(days)),
            [d.strongest[kind] or nan for d in report.recent],  # 0 where nothing of the kind could be tested
            "o-",
            ms=4,
            color=colours[kind],
            label=kind.value,
        )
    axis.axhline(1.0, color=BAD, lw=1, ls="--")
    for at, entry in enumerate(report.recent):
        if entry.alarms:
            axis.axvspan(at - 0.5, at + 0.5, color=BAD, alpha=0.12, lw=0)
    axis.set_xticks(range(len(days)), [f"{d:%d %b}" for d in days], fontsize=8)
    axis.set_xlim(-0.5, len(days) - 0.5)
    axis.set_ylim(bottom=0.0)
    axis.set_ylabel("strongest z over its limit")
    axis.legend(frameon=False, fontsize=8, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return png(made)
