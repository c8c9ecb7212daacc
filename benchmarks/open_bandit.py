"""The Open Bandit Dataset valued by us and by obp, its authors' package, from the same rows.

obp serves here as the reference only; the product reads its data files and never imports it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adplatform.contracts.claims import Claim
from adplatform.contracts.errors import SetupError
from adplatform.targeting.open_bandit import (
    MEAN_WEIGHT_LIMIT,
    Rounds,
    click_rates,
    open_bandit_evaluation,
    read_rounds,
    value_policy,
)
from adplatform.targeting.thompson import action_distribution, obp_root, production_prior

Floats = NDArray[np.float64]
CAMPAIGNS: Final = ("all", "men", "women")
TOLERANCE: Final = 1e-9
PEERS: Final = (
    "InverseProbabilityWeighting",
    "SelfNormalizedInverseProbabilityWeighting",
    "DirectMethod",
    "DoublyRobust",
)


def obp_log(policy: str, campaign: str) -> pa.Table:
    """The rows of ``random`` or ``bts`` as obp's package carries them, in the columns of ``read_rounds``.

    Raises SetupError where obp is absent.
    """
    from pyarrow import csv

    raw = csv.read_csv(obp_root() / "dataset" / "obd" / policy / campaign / f"{campaign}.csv")
    ids = [f"{campaign}-{item}" for item in raw["item_id"].to_pylist()]
    columns = {"creative_id": ids, "position": raw["position"], "propensity": raw["propensity_score"]}
    return pa.table({**columns, "clicked": raw["click"]})


def obp_distribution(campaign: str, items: int, positions: int, simulations: int, seed: int) -> Floats:
    """Shares of each item in each position, shape (items, positions), as obp simulates them."""
    try:
        from obp.policy import BernoulliTS
    except ImportError as error:
        raise SetupError("obp is not installed", "run: pip install 'adplatform[open-bandit]'") from error
    policy = BernoulliTS(
        n_actions=items, len_list=positions, is_zozotown_prior=True, campaign=campaign, random_state=seed
    )
    return np.asarray(policy.compute_batch_action_dist(n_rounds=1, n_sim=simulations)[0])


def obp_values(rounds: Rounds, policy: Floats, q: Floats) -> dict[str, float]:
    """obp's estimates of ``policy`` given ``q``, both (n, items, positions), by estimator."""
    from obp.ope import estimators

    arguments = {
        "reward": rounds.reward,
        "action": rounds.action,
        "position": rounds.position,
        "pscore": rounds.propensity,
        "action_dist": policy,
        "estimated_rewards_by_reg_model": q,
    }
    return {name: float(getattr(estimators, name)().estimate_policy_value(**arguments)) for name in PEERS}


def identical(campaign: str, log_random: pa.Table, *, simulations: int = 100_000, seed: int = 12345) -> dict[str, Any]:
    """Largest distances between obp's and our action distribution and estimates, given one regression estimate."""
    prior = production_prior(campaign)
    items = prior.alpha.size
    rounds = read_rounds(log_random, items)
    positions = int(rounds.position.max()) + 1
    ours = action_distribution(prior.alpha, prior.beta, positions, simulations=simulations, seed=seed)
    theirs = obp_distribution(campaign, items, positions, simulations, seed)
    rates, fold = click_rates(rounds, items)
    q = np.broadcast_to(rates[fold][:, :, None], (rounds.reward.size, items, positions))
    peer = obp_values(rounds, np.broadcast_to(theirs, q.shape), q)
    pairs = list(zip(value_policy(rounds, ours, rates, fold), peer.values(), strict=True))
    apart = [float(np.abs(ours - theirs).max()), *(abs(e.value - p) for e, p in pairs)]
    return {
        "campaign": campaign,
        "distribution_distance": apart[0],
        "values": [{"name": e.name, "ours": e.value, "obp": p, "distance": abs(e.value - p)} for e, p in pairs],
        "largest": max(apart),
    }


def evaluate(
    logs: Mapping[str, tuple[pa.Table, pa.Table]], *, simulations: int = 100_000, seed: int = 12345
) -> tuple[dict[str, dict[str, Any]], list[Claim]]:
    """Reports by campaign and the claims of the issue; ``logs`` gives each campaign's random and bts rows.

    Each report is ``open_bandit_evaluation``'s with the comparison under ``obp``.
    """
    reports: dict[str, dict[str, Any]] = {}
    for campaign, (log_random, log_bts) in logs.items():
        found = open_bandit_evaluation(campaign, log_random, log_bts, simulations=simulations, seed=seed)
        found["obp"] = identical(campaign, log_random, simulations=simulations, seed=seed)
        reports[campaign] = found
    return reports, claims(reports)


def claims(reports: Mapping[str, dict[str, Any]]) -> list[Claim]:
    """What the issue asks of the three campaigns, from ``evaluate``'s reports."""
    n = sum(r["rounds"] for r in reports.values())
    largest = max(r["obp"]["largest"] for r in reports.values())
    distance = max(r["mean_weight_distance"] for r in reports.values())
    change = min(r["reversed_control"]["smallest_change"] for r in reports.values())
    whole = set(reports) == set(CAMPAIGNS)
    told = [r["verdict"] != "cannot tell" for r in reports.values()]
    over = [
        r["effective_sample_size"] >= r["effective_sample_floor"] and r["weighted_clicks"] >= r["weighted_clicks_floor"]
        for r in reports.values()
    ]
    verdicts = {c: {"verdict": r["verdict"], "reason": r["reason"]} for c, r in reports.items()}
    return [
        Claim(name="open-bandit-identical", claim="IPS, SNIPS, DM, DR and the action distribution equal obp's within 1e-9",
              figure=largest, holds=whole and largest <= TOLERANCE, n=n),
        Claim(name="open-bandit-weights", claim="the mean weight lies within 4 standard errors of 1 in every campaign",
              figure=distance, holds=whole and distance <= MEAN_WEIGHT_LIMIT, n=n),
        Claim(name="open-bandit-control", claim="with the items' weights reversed IPS, SNIPS and DR give another answer",
              figure=change, holds=whole and all(r["reversed_control"]["differs"] for r in reports.values()), n=n),
        Claim(name="open-bandit-floor", claim="a log under the floors gets no verdict, one above them gets one",
              figure=float(sum(told)), holds=whole and told == over, n=len(reports), detail=verdicts),
    ]  # fmt: skip
