"""Claim ``thesis``: the multi-agent plan against one single model that does everything, on the oracle's value.

Each world is a fresh tiny market. Both contenders are trained in it on the same rows (the days before the held-out
ones), with the same features, the same settings tried and the same cap on trees, then plan every campaign of the
market for the fortnight after its data. The figure is the single model's normalised regret less the plan's.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from adplatform.contracts.brief import Appeal, Brief, Flight, Objective, Product, Tone
from adplatform.contracts.claims import Claim
from adplatform.contracts.plan import CampaignPlan
from adplatform.contracts.targeting import CreativeAttributes, Segment
from adplatform.settings import REPOSITORY, settings
from adplatform.simulator import Market, MarketConfig, Oracle
from adplatform.stats.claims import paired_difference
from adplatform.stats.intervals import normal_mean
from adplatform.store.atomic import write_bytes
from adplatform.targeting.features import chronological_split, days_of
from adplatform.targeting.ranking import representative
from adplatform.targeting.response import ROUNDS
from adplatform.training import HELD_OUT_DAYS
from benchmarks import examples as ex
from benchmarks.multi_agent import MultiAgent, fatigue_of
from benchmarks.single_model import RULES, SingleModel, Supply, split

DAYS: Final = 14
LINES: Final = 10
KNOWN: Final = 4
"""Creatives of each brief that have run already; the others, up to 10, are new."""
MINIMUM_USERS: Final = 20
CONTEXT_DAYS: Final = 7
RULE: Final = "fatigue and supply"
"""The single model's split: the best of RULES by the oracle on worlds 9000 to 9005, before any world of the claim."""
TRIALS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"num_leaves": 7, "min_data_in_leaf": 300, "lambda_l2": 20.0},
    {"num_leaves": 31, "learning_rate": 0.04, "feature_fraction": 0.5},
)
"""Changes to the response model's settings that both contenders try."""


def run(seeds: Sequence[int], progress: Callable[[float], None] | None = None, *, cache: bool = True) -> Claim:
    """One world for each seed. ``figure``: mean over worlds of (single - multi) normalised regret; above 0 the plan wins.

    ``holds`` is None where the interval contains 0: a tie. With ``cache`` a world that this very code has run before is
    read from reports/prove/thesis-worlds.
    """
    folder = settings().reports / "prove" / "thesis-worlds" if cache else None
    worlds = []
    for number, seed in enumerate(seeds):
        worlds.append(_kept(folder, seed))
        if progress:
            progress((number + 1) / len(seeds))
    return claim(worlds)


def world(seed: int, threads: int = 2, **overrides: Any) -> dict[str, Any]:
    """Both contenders in the market of ``seed``: for each campaign the value of each plan, and what each contender took."""
    market = Market(MarketConfig.at_scale("tiny", seed=seed, **overrides))
    examples = ex.training_examples(market)
    train, _ = chronological_split(examples, HELD_OUT_DAYS)
    last = days_of(examples).max()
    contexts = representative(
        examples.filter(pa.array(days_of(examples) > last - np.timedelta64(CONTEXT_DAYS, "D"))), seed=seed
    )
    large = [s for s in ex.segments(market) if s.users >= MINIMUM_USERS]
    started = time.perf_counter()
    multi = MultiAgent.fit(examples, market, contexts, large, TRIALS, seed=seed, threads=threads)
    between = time.perf_counter()
    single = SingleModel.fit(train, TRIALS, seed=seed, threads=threads)
    supply, fatigue = Supply.of(train, large), fatigue_of(train)
    ended = time.perf_counter()
    rows = []
    for brief, creatives in briefs(market, seed):
        plan = multi.plan(brief, creatives, seed)
        reward = single.cells(contexts, creatives, large, brief.objective)
        rows.append(_judged(market.oracle(), brief, creatives, large, plan, reward, supply, fatigue))
    return {
        "seed": seed,
        "campaigns": rows,
        "multi": {**multi.described(), "seconds": round(between - started, 1)},
        "single": {
            "trial": single.trial, "trees": single.rounds, "fatigue": round(fatigue, 3), "seconds": round(ended - between, 1),
        },
    }  # fmt: skip


def briefs(market: Market, seed: int) -> list[tuple[Brief, list[CreativeAttributes]]]:
    """For each campaign its brief for the fortnight after the data, and ten creatives: some that ran, the others new."""
    library, rng = ex.creative_attributes(market), np.random.default_rng(seed)
    starts = market.config.last_day + timedelta(days=1)
    pairs = [(t, a) for t in Tone for a in Appeal]
    found = []
    for row in market.campaigns().to_pylist():
        name, category = row["campaign_id"], row["product_category"]
        known = [c for c in library if c.campaign_id == name][:KNOWN]
        new = [
            CreativeAttributes(
                creative_id=f"new-{pairs[i][0].value}-{pairs[i][1].value}", campaign_id=name, product_category=category,
                tone=pairs[i][0], appeal=pairs[i][1],
            )
            for i in rng.permutation(len(pairs))[: 10 - len(known)]
        ]  # fmt: skip
        brief = Brief(
            campaign_id=name,
            product=Product(
                name=row["product_name"], category=category, description=f"{row['product_name']} for everybody."
            ),
            objective=Objective(row["objective"]),
            budget=Decimal(f"{DAYS * row['daily_budget']:.2f}"),
            flight=Flight(starts_on=starts, ends_on=starts + timedelta(days=DAYS - 1), timezone=row["timezone"]),
            variants=10,
            combinations=LINES,
        )
        found.append((brief, known + new))
    return found


def _judged(
    oracle: Oracle, brief: Brief, creatives: list[CreativeAttributes], segments: list[Segment], plan: CampaignPlan,
    reward: np.ndarray, supply: Supply, fatigue: float,
) -> dict[str, Any]:  # fmt: skip
    """Normalised regret of both plans, of the single model's under every rule."""
    ids, budget = [s.segment_id for s in segments], float(brief.budget)
    by_id = {c.creative_id: c for c in creatives}
    best = oracle.plan_reward(
        oracle.best_plan(creatives, ids, budget, brief.objective, DAYS, LINES), brief.objective, DAYS
    )
    floor = oracle.uniform_reward(creatives, ids, budget, brief.objective, DAYS, LINES)

    def regret(lines: list[tuple[CreativeAttributes, str, float]]) -> float:
        return (best - oracle.plan_reward(lines, brief.objective, DAYS)) / (best - floor)

    by_rule = {
        rule: regret(
            [
                (creatives[c], ids[s], a)
                for c, s, a in split(rule, reward, supply, fatigue, budget=budget, days=DAYS, k=LINES)
            ]
        )
        for rule in RULES
    }
    return {
        "campaign": brief.campaign_id,
        "objective": brief.objective.value,
        "best": best,
        "uniform": floor,
        "multi": regret([(by_id[x.creative_id], x.segment_id, float(x.budget)) for x in plan.lines]),
        "single": by_rule[RULE],
        "single_by_rule": by_rule,
        "fallbacks": [s.agent for s in plan.trace if s.fallback],
    }


def claim(worlds: Sequence[dict[str, Any]]) -> Claim:
    """The claim of worlds as ``world`` describes them. Campaigns of a world share its models, so worlds are the unit."""
    single, multi = _means(worlds, "single"), _means(worlds, "multi")
    found = paired_difference(single, multi) if len(worlds) > 1 else None
    holds = None if found is None or found.low <= 0 <= found.high else found.low > 0
    verdict = {True: "the multi-agent plan wins", False: "the single model wins", None: "a tie"}[holds]
    return Claim(
        name="thesis",
        claim="the multi-agent plan loses less of the oracle's value than one single model that does everything",
        figure=float((single - multi).mean()),
        holds=holds,
        n=len(worlds),
        detail={
            "figure": "mean over worlds of normalised regret, single model less multi-agent plan; above 0 the plan is better",
            "verdict": verdict,
            "interval": None if found is None else [found.low, found.high],
            "regret": {"multi": _mean(multi), "single": _mean(single)},
            "by_objective": {o.value: _by_objective(worlds, o.value) for o in Objective},
            "single_by_rule": {r: float(np.mean([c["single_by_rule"][r] for w in worlds for c in w["campaigns"]])) for r in RULES},
            "single_rule": f"{RULE}, chosen by the oracle on other worlds",
            "fallbacks": sum(len(c["fallbacks"]) for w in worlds for c in w["campaigns"]),
            "equal_terms": {
                "training_days": f"all but the last {HELD_OUT_DAYS}", "trials": len(TRIALS), "most_trees": ROUNDS,
                "features": "contracts.features.FEATURES", "lines": LINES, "creatives": 10,
                **{f"{k}_{name}": float(np.mean([w[name][k] for w in worlds])) for name in ("multi", "single") for k in ("trees", "seconds")},
            },
            "worlds": list(worlds),
        },
    )  # fmt: skip


def _means(worlds: Sequence[dict[str, Any]], name: str, objective: str | None = None) -> np.ndarray:
    """Mean regret of each world, shape (worlds,), over its campaigns of the objective."""
    return np.array([
        np.mean([c[name] for c in w["campaigns"] if objective in (None, c["objective"])]) for w in worlds
    ])  # fmt: skip


def _by_objective(worlds: Sequence[dict[str, Any]], objective: str) -> dict[str, Any]:
    having = [w for w in worlds if any(c["objective"] == objective for c in w["campaigns"])]
    if not having:
        return {"n": 0}
    single, multi = _means(having, "single", objective), _means(having, "multi", objective)
    found: dict[str, Any] = {"n": len(having), "multi": float(multi.mean()), "single": float(single.mean())}
    if len(having) > 1:
        d = paired_difference(single, multi)
        found |= {"difference": d.mean, "interval": [d.low, d.high]}
    return found


def _mean(values: np.ndarray) -> dict[str, Any]:
    if len(values) < 2:
        return {"mean": float(values.mean())}
    found = normal_mean(values)
    return {"mean": found.value, "interval": [found.low, found.high]}


def _kept(folder: Path | None, seed: int) -> dict[str, Any]:
    if folder is None:
        return world(seed)
    path = folder / f"{seed}-{code_hash()}.json"
    if path.exists():
        held: dict[str, Any] = json.loads(path.read_bytes())
        return held
    made = world(seed)
    write_bytes(path, json.dumps(made, indent=1, allow_nan=False).encode())
    return made


def code_hash() -> str:
    """Hash of every file that a world's result depends on."""
    rooms = ("contracts", "stats", "simulator", "targeting", "measurement", "delivery", "orchestrator")
    files = [p for room in rooms for p in sorted((REPOSITORY / "adplatform" / room).rglob("*.py"))]
    files += [
        REPOSITORY / "benchmarks" / f"{name}.py" for name in ("examples", "multi_agent", "single_model", "thesis")
    ]
    return hashlib.sha256(b"\0".join(p.read_bytes() for p in files)).hexdigest()[:16]
