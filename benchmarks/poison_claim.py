"""Claim ``poison``: a day of flipped labels never reaches the champion, and the verdict says which day and why.

Each world is a small market. Its champion was trained on clean days and has won its place; then one day's labels are
flipped (5, 20 or 100 % of them, features that count clicks included), once among the days that the challenger learns
from and once among those that it is judged on; and once among those that a policy is valued on. No range test stands before
the gate. The twins: with clean labels the same gate lets the first trained model take the base rate's place in every world,
and in some the policy that chooses by it take the place of the one that wrote the log.
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
from adplatform.contracts.promotion import Verdict
from adplatform.promotion import promote
from adplatform.simulator import Faults, Market, MarketConfig
from adplatform.store.registry import Registry
from adplatform.targeting.bandit import LoggingPolicy, Policy, SoftmaxPolicy
from adplatform.targeting.baseline import BaseRateModel
from adplatform.targeting.evaluation import evaluate
from adplatform.targeting.features import chronological_split
from adplatform.targeting.labels import challenge, challenge_policy
from adplatform.targeting.response import Response, ResponseModel
from adplatform.training import HELD_OUT_DAYS
from benchmarks import examples as ex

SHARES: Final = (0.05, 0.2, 1.0)
CHAMPION_DAYS: Final = 8
"""The champion knows the first of them; the flipped day comes after."""
TRAINED_ON, JUDGED_ON, VALUED_ON = "trained on", "judged on", "policy valued on"
PLACES: Final = {TRAINED_ON: 9, JUDGED_ON: 12, VALUED_ON: 12}


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


class World(NamedTuple):
    """Every poisoned challenger of one market, and whether the clean model and the clean policy were let in."""

    poisoned: list[Judged]
    model_let_in: bool
    policy_let_in: bool


class Court:
    """A registry with the champions of the moment."""

    def __init__(self, root: Path) -> None:
        self.registry, self.versions = Registry(root), dict[str, str]()

    def crown(self, agent: str, subject: Response | Policy) -> None:
        """Make it the champion."""
        self.versions[agent] = self._publish(agent, subject)
        self.registry.promote(agent, self.versions[agent], "trained on clean days")

    def judge(self, verdict: Verdict, challenger: Response | Policy) -> tuple[bool, str]:
        """Put the verdict before the gate: whether the challenger serves then, and why. The champion is put back."""
        agent, champion = verdict.agent, self.versions[verdict.agent]
        named = verdict.model_copy(update={"challenger": self._publish(agent, challenger), "champion": champion})
        reason = promote(self.registry, named).reason
        serving = self.registry.champion(agent)
        self.registry.promote(agent, champion, "for the next trial")
        return serving is None or serving.version != champion, reason

    def _publish(self, agent: str, subject: Response | Policy) -> str:
        with tempfile.TemporaryDirectory() as folder:
            subject.save(Path(folder))
            return self.registry.publish(agent, Path(folder), data_version="simulated").version


def run(seeds: Sequence[int], impressions: int = 150_000, progress: Callable[[float], None] | None = None) -> Claim:
    """One world for each seed. ``figure``: poisoned challengers let in; ``n``: poisoned challengers."""
    worlds: list[World] = []
    for number, seed in enumerate(seeds):
        with tempfile.TemporaryDirectory(prefix="adplatform-poison-") as folder:
            worlds.append(world(seed, impressions, Court(Path(folder))))
        if progress:
            progress((number + 1) / len(seeds))
    return conclude(worlds)


def world(seed: int, impressions: int, court: Court) -> World:
    """All trials of one market."""
    config = MarketConfig.at_scale("tiny", seed=seed, impressions=impressions)
    market = Market(config)
    clean = _examples(market, Faults())
    early = clean.filter(
        pc.less(clean["event_day"], pa.scalar(config.first_day + timedelta(days=CHAMPION_DAYS), pa.date32()))
    )
    first, champion = BaseRateModel.fit(early), ResponseModel.fit(early, seed=seed, threads=1)
    logging, policy = LoggingPolicy.fit(early), SoftmaxPolicy(champion)
    before, later = chronological_split(clean, HELD_OUT_DAYS)
    court.crown("response_model", first)
    court.crown("bandit_policy", logging)
    model_let_in, _ = court.judge(challenge(early, later, champion, first), champion)

    def valued(train: pa.Table, held_out: pa.Table) -> Verdict:
        both = pa.concat_tables([train, held_out])
        log = held_out.filter(pc.is_null(held_out["experiment_id"]))
        exposures = ex.user_creative_exposures(both)
        found = evaluate(log, policy, logging, champion, ex.creative_attributes(market), exposures)
        return challenge_policy(found, both, champion)

    policy_let_in, _ = court.judge(valued(before, later), policy)
    court.crown("response_model", champion)
    found = []
    for share in SHARES:
        for place, day in PLACES.items():
            on = config.first_day + timedelta(days=day)
            train, held_out = chronological_split(_examples(market, Faults(flipped_labels=(on, share))), HELD_OUT_DAYS)
            if place == VALUED_ON:
                challenger: Response | Policy = policy
                verdict = valued(train, held_out)
            else:
                challenger = model = ResponseModel.fit(train, seed=seed, threads=1)
                verdict = challenge(train, held_out, model, champion)
            let_in, reason = court.judge(verdict, challenger)
            bare = all(check.passed for check in verdict.checks[:-1])
            found.append(Judged(seed, share, place, let_in, on.isoformat() in reason, bare, reason))
    return World(found, model_let_in, policy_let_in)


def _examples(market: Market, faults: Faults) -> pa.Table:
    days = list(market.days(faults))
    tables = (pa.concat_tables([getattr(d, n) for d in days]) for n in ("impressions", "clicks", "conversions"))
    shown, clicks, conversions = tables
    return ex.training_examples(market, (shown, clicks, conversions))


def conclude(worlds: Sequence[World]) -> Claim:
    """The claim: none let in, each reason names the day, the clean model of every world is let in and some clean policy."""
    judged = [j for w in worlds for j in w.poisoned]
    let_in = [j for j in judged if j.promoted]
    models, policies = sum(w.model_let_in for w in worlds), sum(w.policy_let_in for w in worlds)
    rows: list[dict[str, Any]] = []
    for share in SHARES:
        for place in PLACES:
            own = [j for j in judged if (j.share, j.place) == (share, place)]
            rows.append({
                "share": share, "place": place, "n": len(own), "let_in": sum(j.promoted for j in own),
                "day_named": sum(j.named for j in own), "let_in_without_label_check": sum(j.without_label_check for j in own),
                "reason": own[0].reason if own else "",
            })  # fmt: skip
    kept = bool(judged) and not let_in and all(j.named for j in judged)
    return Claim(
        name="poison",
        claim="with 5, 20 or 100 % of a day's labels flipped the champion, model or policy, stays and the verdict names the "
        "day; with clean labels the challenger gets in",
        figure=float(len(let_in)),
        holds=kept and models == len(worlds) and policies > 0,
        n=len(judged),
        detail={
            "figure": "poisoned challengers let in",
            "cells": rows,
            "clean_models_let_in": models,
            "clean_policies_let_in": policies,
            "worlds": len(worlds),
        },
    )
