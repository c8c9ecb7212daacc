"""report.html: one page, no script, pictures inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from adplatform.contracts.claims import Claim
from adplatform.contracts.targeting import SegmentRanking, SegmentScore
from adplatform.report.drift_picture import drift_plot
from adplatform.report.pictures import bars_with_intervals, data_uri, lift_forest, plan_bars, regret_bars
from adplatform.report.retraining import notable, share_of_limit

_ENVIRONMENT = Environment(
    loader=PackageLoader("adplatform.report", "templates"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
WHAT_IT_MEANS = {
    "coverage": "When we say 95 % sure, are we right 95 % of the time?",
    "looks": "Do we stay honest however often we look at a running experiment?",
    "calibration": "Do predicted click rates come true?",
    "ranking": "Do we put the right segments first?",
    "off-policy": "Can we tell from old logs what a new policy would earn?",
    "leak": "Does the past know nothing of the future?",
    "promotion": "Is a worse model kept out, and a better one let in?",
    "fallbacks": "Does a plan come out when an agent fails?",
    "thesis": "Do several agents plan better than one model that does everything?",
    "consent": "Is nobody's data used without consent?",
    "parity": "Does the endpoint answer what batch would?",
    "swap": "Does a new model arrive without a failed answer?",
    "events": "Is nothing lost or doubled, whoever is killed?",
    "fuzz": "Does every answer keep to what the endpoints say of themselves?",
    "drift": "Is a change of the world noticed, and no false alarm raised?",
    "poison": "Do spoilt labels stay out of the model that serves?",
    "copy": "Do enough usable texts come out of each brief?",
}


def _best(ranking: SegmentRanking, limit: int = 8) -> list[SegmentScore]:
    return sorted(ranking.scores, key=lambda s: -s.click_rate)[:limit]


def _ranking_picture(ranking: SegmentRanking) -> str:
    best = _best(ranking)
    picture = bars_with_intervals(
        [f"{s.creative_id[:18]} → {s.segment_id.replace('|', ', ')}" for s in best],
        [s.click_rate * 100 for s in best],
        [s.interval.low * 100 for s in best],
        [s.interval.high * 100 for s in best],
        "expected click rate, % (95 % interval)",
    )
    return data_uri(picture)


def render(dataset: dict[str, Any], summary: dict[str, Any], found: dict[str, Any], claims: Sequence[Claim]) -> str:
    """The page. ``found`` is what summary.figures returned, {} when nothing was built."""
    plans, report = found.get("plans", []), found.get("drift")
    return _ENVIRONMENT.get_template("report.html").render(
        dataset=dataset,
        summary=summary,
        found=found,
        claims=claims,
        meaning=WHAT_IT_MEANS,
        plan_pictures={p.plan_id: data_uri(plan_bars(p)) for p in plans},
        ranking_pictures={k: _ranking_picture(r) for k, r in found.get("rankings", {}).items() if r.scores},
        versus_picture=data_uri(regret_bars(found["versus"].detail)) if found.get("versus") else None,
        notable=notable(report) if report else [],
        share_of_limit=share_of_limit,
        challenged={c.agent for c in found.get("challenges", [])},
        drift_picture=data_uri(drift_plot(report))
        if report and any(s.z is not None for s in report.statistics)
        else None,
        lift_picture=data_uri(lift_forest(found["decisions"])) if found.get("decisions") else None,
    )
