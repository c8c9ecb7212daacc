"""Benchmark ``ope``: four off-policy values from the same arrays by us and by obp, equal first, then timed in turns."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adplatform.contracts.claims import BenchmarkReport, Claim, Row
from adplatform.stats import off_policy
from adplatform.targeting.open_bandit import Rounds, click_rates, read_rounds
from adplatform.targeting.thompson import action_distribution, production_prior
from benchmarks.machine import machine
from benchmarks.open_bandit import CAMPAIGNS, TOLERANCE, obp_distribution, obp_log, obp_values

Floats = NDArray[np.float64]
REPEATS: Final = 15
SYNTHETIC: Final = (200_000, 20, 1)


class Case(NamedTuple):
    """A log, with a policy and a regression estimate as obp takes them, both (n, items, positions)."""

    name: str
    rounds: Rounds
    policy: Floats
    q: Floats


def open_bandit_case(campaign: str) -> Case:
    """The random policy's log of one campaign, Thompson sampling at the shop's prior."""
    prior = production_prior(campaign)
    rounds = read_rounds(obp_log("random", campaign), prior.alpha.size)
    policy = action_distribution(prior.alpha, prior.beta, int(rounds.position.max()) + 1, seed=12345)
    rates, fold = click_rates(rounds, prior.alpha.size)
    q = np.repeat(rates[fold][:, :, None], policy.shape[1], axis=2)
    return Case(f"Open Bandit {campaign}", rounds, np.tile(policy, (rounds.reward.size, 1, 1)), q)


def synthetic_case(seed: int = 0) -> Case:
    """A log of ``SYNTHETIC`` (rounds, items, positions) whose policies depend on the round."""
    n, items, positions = SYNTHETIC
    rng = np.random.default_rng(seed)
    logging = rng.dirichlet(np.ones(items), size=n)
    action = (rng.random((n, 1)) > logging.cumsum(axis=1)).sum(axis=1).clip(max=items - 1)
    q = rng.uniform(0.01, 0.1, size=(n, items, positions))
    propensity = np.maximum(logging[np.arange(n), action], 1e-6)
    reward = (rng.random(n) < q[np.arange(n), action, 0]).astype(np.float64)
    rounds = Rounds(action.astype(np.int64), np.zeros(n, dtype=np.int64), propensity, reward)
    return Case(f"synthetic {n:,} rounds", rounds, rng.dirichlet(np.ones(items), size=n)[:, :, None], q)


def our_values(case: Case) -> list[off_policy.OffPolicyEstimate]:
    """IPS, SNIPS, DM and DR, each with its standard error and interval, from the arrays that obp takes."""
    r, row = case.rounds, np.arange(case.rounds.reward.size)
    q, policy = case.q[row, :, r.position], case.policy[row, :, r.position]
    weight = policy[row, r.action] / r.propensity
    q_policy = np.einsum("na,na->n", q, policy)
    return [
        off_policy.ips(r.reward, weight),
        off_policy.snips(r.reward, weight),
        off_policy.dm(q_policy),
        off_policy.dr(r.reward, weight, q[row, r.action], q_policy),
    ]


def _time(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def compare(case: Case, repeats: int = REPEATS) -> tuple[Row, float]:
    """Median seconds of ours and obp's, timed in turns, and the largest distance of their values."""
    peer = list(obp_values(case.rounds, case.policy, case.q).values())
    distance = max(abs(e.value - p) for e, p in zip(our_values(case), peer, strict=True))
    pairs = [
        (_time(lambda: our_values(case)), _time(lambda: obp_values(case.rounds, case.policy, case.q)))
        for _ in range(repeats)
    ]
    ours, theirs = np.array(pairs).T
    ratios = np.quantile(theirs / ours, [0.025, 0.5, 0.975])
    row = Row(
        what=f"{case.name}: seconds for IPS, SNIPS, DM, DR (ours with intervals, obp's without; ratio above 1: ours faster)",
        ours=float(np.median(ours)), peer=float(np.median(theirs)), peer_name="obp 0.4.1",
        ratio=float(ratios[1]), interval=(float(ratios[0]), float(ratios[2])), n=repeats,
    )  # fmt: skip
    return row, distance


def distribution_row(campaign: str = "all", simulations: int = 100_000) -> tuple[Row, float]:
    """Seconds for Thompson sampling's action distribution, and its largest distance from obp's."""
    prior = production_prior(campaign)
    items = prior.alpha.size
    started = time.perf_counter()
    ours = action_distribution(prior.alpha, prior.beta, 3, simulations=simulations, seed=1)
    middle = time.perf_counter()
    theirs = obp_distribution(campaign, items, 3, simulations, 1)
    seconds, peer = middle - started, time.perf_counter() - middle
    row = Row(what=f"action distribution of Thompson sampling, {items} items, {simulations:,} simulations: seconds",
              ours=seconds, peer=peer, peer_name="obp 0.4.1", ratio=peer / seconds)  # fmt: skip
    return row, float(np.abs(ours - theirs).max())


def run() -> BenchmarkReport:
    """Every case in one process; ``holds`` needs equal values, whatever the speed."""
    found, started = machine(), time.perf_counter()
    obp_distribution("all", 80, 3, 1, 0)  # imports obp before the clock starts
    compared = [compare(case) for case in (*map(open_bandit_case, CAMPAIGNS), synthetic_case())]
    compared.append(distribution_row())
    largest = max(distance for _, distance in compared)
    claim = Claim(
        name="ope-identical",
        claim="our values equal obp's within 1e-9 on the same logs",
        figure=largest, holds=largest <= TOLERANCE, n=len(compared),
    )  # fmt: skip
    rows = tuple(row for row, _ in compared)
    return BenchmarkReport(name="ope", machine=found, seconds=time.perf_counter() - started, rows=rows, claims=(claim,))
