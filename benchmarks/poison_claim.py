"""Claim ``poison``: a day of flipped labels never reaches the champion, and the verdict says which day and why.

Each world is a small market. Its champion was trained on clean days and has won its place; then one day's labels are
flipped (5, 20 or 100 % of them, features that count clicks included), once among the days that the challenger learns
from and once among those that it is judged on. No range test stands before the gate. The twin: with clean labels the
same gate lets the first trained model take the base rate's place.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from adplatform.contracts.claims import Claim
from adplatform.contracts.promotion import Promotion, Verdict
from adplatform.promotion import promote
from adplatform.simulator import Faults, Market, MarketConfig
from adplatform.store.registry import Registry
from adplatform.targeting.baseline import BaseRateModel
from adplatform.targeting.features import chronological_split
from adplatform.targeting.labels import challenge
from adplatform.targeting.response import Response, ResponseModel
from adplatform.targeting.verdicts import response_verdict
from adplatform.training import HELD_OUT_DAYS
from benchmarks import examples as ex

SHARES: Final = (0.05, 0.2, 1.0)
CHAMPION_DAYS: Final = 8
"""The champion knows the first of them; the flipped day comes after."""
PLACES: Final = {"trained on": 9, "judged on": 12}
AGENT: Final = "response_model"


class Judged(NamedTuple):
    """One challenger before the gate."""

    seed: int
    share: float
    place: str
    promoted: bool
    named: bool
    """Whether the reason names the flipped day."""
    without_label_check: bool
    """Whether the rest of the gate would have let it in."""
    reason: str


class Court:
    """A registry of one agent."""

    def __init__(self, root: Path) -> None:
        self.registry = Registry(root)

    def publish(self, model: Response) -> str:
        """The model's version in the registry."""
        with tempfile.TemporaryDirectory() as folder:
            model.save(Path(folder))
            return self.registry.publish(AGENT, Path(folder), data_version="simulated").version

    def judge(self, verdict: Verdict, challenger: Response, champion: str) -> Promotion:
        """Put the verdict before the gate."""
        named = verdict.model_copy(update={"challenger": self.publish(challenger), "champion": champion})
        return promote(self.registry, named)


def run(seeds: Sequence[int], impressions: int = 150_000, progress: Callable[[float], None] | None = None) -> Claim:
    """One world for each seed. ``figure``: poisoned challengers let in; ``n``: poisoned challengers."""
    judged: list[Judged] = []
    clean: list[bool] = []
    for number, seed in enumerate(seeds):
        with tempfile.TemporaryDirectory(prefix="adplatform-poison-") as folder:
            poisoned, let_in = world(seed, impressions, Court(Path(folder)))
        judged += poisoned
        clean.append(let_in)
        if progress:
            progress((number + 1) / len(seeds))
    return conclude(judged, clean)


def world(seed: int, impressions: int, court: Court) -> tuple[list[Judged], bool]:
    """Every poisoned challenger of one market, and whether the clean one took the first champion's place."""
    config = MarketConfig.at_scale("tiny", seed=seed, impressions=impressions)
    market = Market(config)
    clean = _examples(market, Faults())
    early = clean.filter(
        pc.less(clean["event_day"], pa.scalar(config.first_day + timedelta(days=CHAMPION_DAYS), pa.date32()))
    )
    first, champion = BaseRateModel.fit(early), ResponseModel.fit(early, seed=seed, threads=1)
    version = court.publish(first)
    court.registry.promote(AGENT, version, "first champion")
    _, later = chronological_split(clean, HELD_OUT_DAYS)
    let_in = court.judge(challenge(early, later, champion, first), champion, version).promoted
    version = court.publish(champion)
    court.registry.promote(AGENT, version, "trained on clean days")
    found = []
    for share in SHARES:
        for place, day in PLACES.items():
            on = config.first_day + timedelta(days=day)
            train, held_out = chronological_split(_examples(market, Faults(flipped_labels=(on, share))), HELD_OUT_DAYS)
            challenger = ResponseModel.fit(train, seed=seed, threads=1)
            end = court.judge(challenge(train, held_out, challenger, champion), challenger, version)
            bare = response_verdict(held_out, challenger, champion).passed
            stayed = court.registry.champion(AGENT)
            kept = stayed is not None and stayed.version == version
            found.append(Judged(seed, share, place, not kept, on.isoformat() in end.reason, bare, end.reason))
            court.registry.promote(AGENT, version, "for the next trial")
    return found, let_in


def _examples(market: Market, faults: Faults) -> pa.Table:
    days = list(market.days(faults))
    tables = (pa.concat_tables([getattr(d, n) for d in days]) for n in ("impressions", "clicks", "conversions"))
    shown, clicks, conversions = tables
    return ex.training_examples(market, (shown, clicks, conversions))


def conclude(judged: Sequence[Judged], clean: Sequence[bool]) -> Claim:
    """The claim: none let in, each reason names the day, and the clean challenger of every world is let in."""
    let_in = [j for j in judged if j.promoted]
    rows: list[dict[str, Any]] = []
    for share in SHARES:
        for place in PLACES:
            own = [j for j in judged if (j.share, j.place) == (share, place)]
            rows.append({
                "share": share, "place": place, "n": len(own), "let_in": sum(j.promoted for j in own),
                "day_named": sum(j.named for j in own), "let_in_without_label_check": sum(j.without_label_check for j in own),
                "reason": own[0].reason if own else "",
            })  # fmt: skip
    return Claim(
        name="poison",
        claim="with 5, 20 or 100 % of a day's labels flipped the champion stays and the verdict names the day; with clean "
        "labels the challenger gets in",
        figure=float(len(let_in)),
        holds=bool(judged) and not let_in and all(j.named for j in judged) and all(clean),
        n=len(judged),
        detail={
            "figure": "poisoned challengers let in",
            "cells": rows,
            "clean_let_in": sum(clean),
            "worlds": len(clean),
        },
    )
