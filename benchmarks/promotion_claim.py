"""Claim ``promotion``: worse and equal challengers stay out, better ones get in, by the product's own verdicts and gate.

Each world is a fresh tiny market, whose oracle says what each challenger is truly worth against the champion of the
moment: the expected log loss of a response model, the expected clicks of a policy on the very decisions it is judged
on, the reward of a split. Everything goes through ``promotion.promote`` and a registry, as in training.py.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adplatform.contracts.claims import Claim
from adplatform.contracts.features import LABEL
from adplatform.contracts.promotion import Verdict
from adplatform.contracts.targeting import CreativeAttributes
from adplatform.promotion import promote
from adplatform.simulator import Market, MarketConfig, Oracle
from adplatform.stats.claims import rate_lower_bound
from adplatform.store.registry import Registry
from adplatform.targeting.bandit import LoggingPolicy, Policy, SoftmaxPolicy
from adplatform.targeting.baseline import BaseRateModel
from adplatform.targeting.evaluation import evaluate
from adplatform.targeting.features import chronological_split, numbers
from adplatform.targeting.response import Response, ResponseModel
from adplatform.targeting.verdicts import policy_verdict, response_verdict
from adplatform.training import HELD_OUT_DAYS
from benchmarks import examples as ex
from benchmarks.promotion_budget import judge_budgets

POWER: Final = 0.8
"""Share of the truly better response models and policies that must be promoted."""
EQUAL_SHARE: Final = 0.025
"""Share of equal policies under another name, and of trained challengers that are a little worse, that a 95 % interval
lets in by its design."""
RENAMED: Final = "logging policy under another name"
BETTER: Final = {"response_model": "trained on the log", "bandit_policy": "softmax on the trained model"}


class Judged(NamedTuple):
    """One challenger's day in court. ``gain``: the oracle's, over the champion it was judged against; 0 for the same."""

    agent: str
    challenger: str
    champion: str
    gain: float
    promoted: bool
    reason: str


class Court:
    """A registry, and who is champion of each agent in it."""

    def __init__(self, root: Path) -> None:
        self.registry, self.judged = Registry(root), list[Judged]()
        self._champion: dict[str, tuple[str, Any, str]] = {}

    def crown(self, agent: str, name: str, subject: Any) -> None:
        """Make ``subject`` the first champion."""
        version = self._publish(agent, subject)
        self.registry.promote(agent, version, f"first champion: {name}")
        self._champion[agent] = (name, subject, version)

    def champion(self, agent: str) -> Any:
        """The champion itself."""
        return self._champion[agent][1]

    def judge(self, name: str, subject: Any, verdict: Verdict, gain: float) -> Judged:
        """Publish the challenger, put its verdict before the gate, and see what serves afterwards."""
        agent = verdict.agent
        version, champion = self._publish(agent, subject), self._champion[agent]
        named = verdict.model_copy(update={"challenger": version, "champion": champion[2]})
        promote(self.registry, named)
        serving = self.registry.champion(agent)
        promoted = serving is not None and serving.version != champion[2]
        self.judged.append(Judged(agent, name, champion[0], gain, promoted, verdict.reason))
        if promoted:
            self._champion[agent] = (name, subject, version)
        return self.judged[-1]

    def _publish(self, agent: str, subject: Any) -> str:
        with tempfile.TemporaryDirectory() as folder:
            subject.save(Path(folder))
            return self.registry.publish(agent, Path(folder), data_version="simulated").version


def run(seeds: Sequence[int], progress: Callable[[float], None] | None = None) -> Claim:
    """One world for each seed. ``figure``: worse or equal challengers let in; ``n``: verdicts."""
    worlds = []
    for number, seed in enumerate(seeds):
        worlds.append(world(seed))
        if progress:
            progress((number + 1) / len(seeds))
    return claim(worlds)


def world(seed: int, threads: int = 2, **overrides: Any) -> list[Judged]:
    """Every verdict of one tiny market; ``overrides`` of its config make it smaller in tests."""
    market = Market(MarketConfig.at_scale("tiny", seed=seed, **overrides))
    examples = ex.training_examples(market)
    train, held_out = chronological_split(examples, HELD_OUT_DAYS)
    trained = ResponseModel.fit(train, seed=seed, threads=threads)
    flipped = ResponseModel.fit(_relabelled(train, 1.0 - numbers(train[LABEL])), seed=seed, threads=threads)
    shuffled_labels = np.random.default_rng(seed).permutation(numbers(train[LABEL]))
    shuffled = ResponseModel.fit(_relabelled(train, shuffled_labels), seed=seed, threads=threads)
    oracle = market.oracle()
    with tempfile.TemporaryDirectory(prefix="adplatform-promotion-") as folder:
        court = Court(Path(folder))
        _responses(
            court,
            oracle,
            held_out,
            BaseRateModel.fit(train),
            trained,
            {"flipped labels": flipped, "shuffled labels": shuffled},
        )
        log = held_out.filter(pc.is_null(held_out["experiment_id"]))
        exposures = ex.user_creative_exposures(examples)
        _policies(
            court, oracle, log, LoggingPolicy.fit(train), trained, flipped, ex.creative_attributes(market), exposures
        )
        judge_budgets(court, market, examples, oracle, seed)
        return court.judged


def _relabelled(train: pa.Table, labels: np.ndarray) -> pa.Table:
    return train.set_column(train.column_names.index(LABEL), LABEL, pa.array(labels.astype(np.int64)))


def _responses(
    court: Court, oracle: Oracle, held_out: pa.Table, first: Response, trained: Response, planted: dict[str, Response]
) -> None:
    """Planted, equal and better challengers of the first champion, then planted, equal and worse ones of the second."""
    agent, truth = "response_model", oracle.click_probability(held_out)
    court.crown(agent, "base rate", first)

    def loss(model: Response) -> float:
        q = np.clip(model.predict(held_out), 1e-12, 1 - 1e-12)
        return float(-(truth * np.log(q) + (1 - truth) * np.log1p(-q)).mean())

    better = BETTER[agent]
    for name, model in (
        *planted.items(),
        ("base rate", first),
        (better, trained),
        *planted.items(),
        (better, trained),
        ("base rate", first),
    ):
        champion = court.champion(agent)
        gain = 0.0 if champion.version == model.version else loss(champion) - loss(model)
        court.judge(name, model, response_verdict(held_out, model, champion), gain)


def _policies(
    court: Court, oracle: Oracle, log: pa.Table, logging: LoggingPolicy, trained: Response, flipped: Response,
    creatives: list[CreativeAttributes], exposures: pa.Table,
) -> None:  # fmt: skip
    """The same for policies. ``softmax on flipped labels`` shows what is clicked least."""
    agent, better = "bandit_policy", BETTER["bandit_policy"]
    court.crown(agent, "logging policy", logging)
    renamed = LoggingPolicy({**logging.counts, "nobody": 1}, logging.trained_through)
    low, softmax = SoftmaxPolicy(flipped), SoftmaxPolicy(trained)
    anti = ("softmax on flipped labels", low)
    truth = {p.version: _true_value(oracle, log, p, creatives, exposures) for p in (logging, renamed, low, softmax)}
    order: list[tuple[str, Policy]] = [
        anti, ("logging policy", logging), (RENAMED, renamed), (better, softmax), anti, (better, softmax), ("logging policy", logging),
    ]  # fmt: skip
    for name, policy in order:
        champion = court.champion(agent)
        if name == RENAMED and champion.version != logging.version:
            continue
        found = evaluate(log, policy, champion, trained, creatives, exposures)
        court.judge(name, policy, policy_verdict(found), truth[policy.version] - truth[champion.version])


def _true_value(
    oracle: Oracle, log: pa.Table, policy: Policy, creatives: list[CreativeAttributes], exposures: pa.Table
) -> float:
    """True expected clicks a decision of ``policy`` over the log's decisions."""
    total = 0.0
    for campaign in pc.unique(log["campaign_id"]).to_pylist():
        own = [c for c in creatives if c.campaign_id == campaign]
        rows = log.filter(pc.equal(log["campaign_id"], campaign))
        ids = [c.creative_id for c in own]
        logging = isinstance(policy, LoggingPolicy)
        chance = oracle.action_probabilities(rows, ids) if logging else policy.probabilities(rows, own, exposures)
        total += float((chance * oracle.click_probabilities(rows, ids)).sum())
    return float(total / log.num_rows)


def claim(worlds: Sequence[Sequence[Judged]]) -> Claim:
    """The claim of all verdicts."""
    every = [j for w in worlds for j in w]
    renamed = [j for j in every if j.challenger == RENAMED]
    trained = [j for j in every if j.challenger in BETTER.values() and j.gain < 0]
    unlucky = [j for j in trained if j.promoted]
    wrong = [j for j in every if j.promoted and j.gain <= 0 and j.challenger != RENAMED and j not in unlucky]
    power = {agent: _power(every, agent, name) for agent, name in BETTER.items()}
    let_in = sum(j.promoted for j in renamed)
    by_design = all(
        n == 0 or rate_lower_bound(k, n) <= EQUAL_SHARE
        for k, n in ((let_in, len(renamed)), (len(unlucky), len(trained)))
    )
    rates = [p["promoted"] / p["n"] for p in power.values() if p["n"]]
    holds = None if len(rates) < len(power) else not wrong and by_design and min(rates) >= POWER
    return Claim(
        name="promotion",
        claim="no planted or equal challenger is let in, a trained one that is worse in at most the 2.5 % of its interval, "
        "and at least 80 % of those that are far better are",
        figure=float(len(wrong)),
        holds=False if wrong else holds,
        n=len(every),
        detail={
            "figure": "planted or equal challengers let in",
            "trained_but_worse": {
                "n": len(trained),
                "let_in": [j._asdict() for j in unlucky],
                "by_design_at_most": EQUAL_SHARE,
            },
            "worlds": len(worlds),
            "wrong": [j._asdict() for j in wrong],
            "truly_better_promoted": power,
            "equal_under_another_name": {"n": len(renamed), "let_in": let_in, "by_design_at_most": EQUAL_SHARE},
            "verdicts": _table(every),
        },
    )


def _power(judged: Sequence[Judged], agent: str, name: str) -> dict[str, int]:
    """Of challengers that the oracle calls better: how many, and how many were promoted."""
    real = [j for j in judged if j.agent == agent and j.challenger == name and j.gain > 0]
    return {"n": len(real), "promoted": sum(j.promoted for j in real)}


def _table(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """One row for each challenger and champion: verdicts, how many were promoted, and the oracle's gains."""
    cells: dict[tuple[str, str, str], list[Judged]] = {}
    for j in judged:
        cells.setdefault((j.agent, j.challenger, j.champion), []).append(j)
    return [
        {
            "agent": agent, "challenger": challenger, "champion": champion, "n": len(cell),
            "promoted": sum(j.promoted for j in cell), "better_by_oracle": sum(j.gain > 0 for j in cell),
            "mean_gain": float(np.mean([j.gain for j in cell])),
        }
        for (agent, challenger, champion), cell in cells.items()
    ]  # fmt: skip
