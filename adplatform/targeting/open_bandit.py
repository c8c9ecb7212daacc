"""Thompson sampling valued from the random policy's log of the Open Bandit Dataset, beside its own log.

Floors, controls and verdict are fixed here, before any log is read.
"""

from __future__ import annotations

import re
from math import ceil, sqrt
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import optimize, special

from adplatform.contracts.errors import InputError
from adplatform.stats import off_policy
from adplatform.stats.intervals import clopper_pearson, normal_mean
from adplatform.targeting.thompson import BetaPrior, action_distribution, production_prior

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

EFFECTIVE_SAMPLE_FLOOR: Final = 400.0
"""The mean weight's standard error is about 1 / sqrt(ESS): at 400 the 4-standard-error check sees propensities that
are wrong by 20 %."""
WEIGHTED_CLICKS_FLOOR: Final = 100.0
"""A rate's relative standard error is about 1 / sqrt(clicks): at 100 the 95 % interval is +-20 %, the lift that
experiments here are designed to find. With fewer the log cannot rank policies."""
MEAN_WEIGHT_LIMIT: Final = 4.0
"""Standard errors by which the mean weight may miss 1."""
CONTROL_CHANGE: Final = 1e-6
"""Clicks per impression by which the control must move: 1,000 times the tolerance for being equal to obp."""
FOLDS: Final = 5


class Rounds(NamedTuple):
    """A log as arrays of shape (n,): item index, position from 0, propensity, reward."""

    action: Integers
    position: Integers
    propensity: Floats
    reward: Floats


def read_rounds(log: pa.Table, items: int) -> Rounds:
    """Arrays of a table with columns creative_id, position, propensity, clicked.

    The item index is the number that ends the creative_id; positions are ranked from 0. Raises InputError on an empty
    table, a missing column, an id that ends in no number or one out of range, or a propensity outside (0, 1]. Rows are
    put in the order of their impression_id where the table has one, so that folds do not depend on the query.
    """
    for name in ("creative_id", "position", "propensity", "clicked"):
        if name not in log.column_names:
            raise InputError("log", f"has no column {name!r}", "give rows of training_examples")
    if log.num_rows == 0:
        raise InputError("log", "has no row", "ingest the Open Bandit Dataset first")
    if "impression_id" in log.column_names:
        log = log.sort_by("impression_id")
    encoded = log["creative_id"].combine_chunks().dictionary_encode()
    lookup = np.array([_item(i, items) for i in encoded.dictionary.to_pylist()], dtype=np.int64)
    action = lookup[encoded.indices.to_numpy(zero_copy_only=False)]
    _, position = np.unique(log["position"].to_numpy(), return_inverse=True)
    propensity = log["propensity"].to_numpy().astype(np.float64)
    if not ((propensity > 0) & (propensity <= 1)).all():
        raise InputError("propensity", "has a value outside (0, 1]", "log the probability of the shown creative")
    return Rounds(action, position.astype(np.int64), propensity, log["clicked"].to_numpy().astype(np.float64))


def _item(creative_id: str, items: int) -> int:
    match = re.search(r"(\d+)$", creative_id)
    if match is None or int(match.group(1)) >= items:
        raise InputError(
            "creative_id", f"{creative_id!r} names none of {items} items", "end the id in the item's number"
        )
    return int(match.group(1))


def split_logs(examples: pa.Table) -> dict[str, tuple[pa.Table, pa.Table]]:
    """Campaign -> its rows of policy ``random`` and of policy ``bts``, from training_examples.

    Raises InputError for a campaign that lacks either.
    """
    logs = {}
    for campaign in sorted(pc.unique(examples["campaign_id"]).to_pylist()):
        own = examples.filter(pc.equal(examples["campaign_id"], campaign))
        pair = tuple(own.filter(pc.equal(own["policy_version"], policy)) for policy in ("random", "bts"))
        if not all(part.num_rows for part in pair):
            raise InputError("policy_version", f"campaign {campaign!r} lacks random or bts rows", "ingest both logs")
        logs[campaign] = (pair[0], pair[1])
    return logs


def click_rates(rounds: Rounds, items: int, folds: int = FOLDS) -> tuple[Floats, Integers]:
    """Cross-fitted click rate of each item, shape (folds, items), and each round's fold, shape (n,).

    Fold f's rates come from all other folds: item counts shrunk to the mean rate, with the strength of a beta prior
    found by maximum marginal likelihood. Position and user are left out: some 40 clicks cannot carry them.
    """
    fold = np.arange(rounds.action.size) % folds
    rates = np.empty((folds, items))
    for f in range(folds):
        kept = fold != f
        shown = np.bincount(rounds.action[kept], minlength=items).astype(np.float64)
        clicks = np.bincount(rounds.action[kept], weights=rounds.reward[kept], minlength=items).astype(np.float64)
        mean = (clicks.sum() + 0.5) / (shown.sum() + 1.0)
        strength = _prior_strength(clicks, shown, mean)
        rates[f] = (clicks + strength * mean) / (shown + strength)
    return rates, fold


def _prior_strength(clicks: Floats, shown: Floats, mean: float) -> float:
    def loss(log_strength: float) -> float:
        a, b = np.exp(log_strength) * mean, np.exp(log_strength) * (1 - mean)
        return -float((special.betaln(clicks + a, shown - clicks + b) - special.betaln(a, b)).sum())

    return float(np.exp(optimize.minimize_scalar(loss, bounds=(0.0, 14.0), method="bounded").x))


def value_policy(rounds: Rounds, policy: Floats, rates: Floats, fold: Integers) -> list[off_policy.OffPolicyEstimate]:
    """IPS, SNIPS, DM and DR of ``policy``, shape (items, positions), on a log; ``rates`` from ``click_rates``."""
    weight = policy[rounds.action, rounds.position] / rounds.propensity
    q_policy = (rates @ policy)[fold, rounds.position]
    q_logged = rates[fold, rounds.action]
    return [
        off_policy.ips(rounds.reward, weight),
        off_policy.snips(rounds.reward, weight),
        off_policy.dm(q_policy),
        off_policy.dr(rounds.reward, weight, q_logged, q_policy),
    ]


def open_bandit_evaluation(
    campaign: str,
    log_random: pa.Table,
    log_bts: pa.Table,
    *,
    prior: BetaPrior | None = None,
    simulations: int = 100_000,
    seed: int = 12345,
) -> dict[str, Any]:
    """Everything the report says of one campaign, as plain JSON values.

    ``log_random`` and ``log_bts`` are the two policies' rows (see ``read_rounds``). The policy valued is Thompson
    sampling at the shop's own prior; the policy behind ``log_bts`` went on learning, so that its rate is a landmark
    and not exactly the same policy's value. Raises InputError as ``read_rounds`` and ``production_prior`` do.
    """
    prior = prior or production_prior(campaign)
    items = prior.alpha.size
    rounds, on_policy = read_rounds(log_random, items), read_rounds(log_bts, items)
    positions = int(rounds.position.max()) + 1
    policy = action_distribution(prior.alpha, prior.beta, positions, simulations=simulations, seed=seed)
    rates, fold = click_rates(rounds, items)
    estimates = value_policy(rounds, policy, rates, fold)
    weight = policy[rounds.action, rounds.position] / rounds.propensity
    found = off_policy.diagnostics(rounds.reward, weight)
    logged = off_policy.ips(rounds.reward, np.ones(rounds.reward.size))
    return {
        "campaign": campaign,
        "rounds": rounds.reward.size,
        "clicks": int(rounds.reward.sum()),
        "items": items,
        "estimates": [_plain(e) for e in estimates],
        "logging_policy": _plain(logged),
        "on_policy": _on_policy(on_policy, estimates[-1]),
        "effective_sample_size": found.effective_sample_size,
        "weighted_clicks": found.weighted_clicks,
        **_mean_weight(found),
        "reversed_control": _reversed_control(rounds, policy, rates, fold, estimates),
        "effective_sample_floor": EFFECTIVE_SAMPLE_FLOOR,
        "weighted_clicks_floor": WEIGHTED_CLICKS_FLOOR,
        **verdict(found, rounds.reward.size, off_policy.difference(estimates[-1], logged)),
    }


def _plain(e: off_policy.OffPolicyEstimate) -> dict[str, Any]:
    return {"name": e.name, "value": e.value, "standard_error": e.standard_error, "low": e.low, "high": e.high,
            "interval_covers": "rounds only, not the model" if e.name == "DM" else "rounds and weights"}  # fmt: skip


def _on_policy(log: Rounds, estimate: off_policy.OffPolicyEstimate) -> dict[str, Any]:
    mean, clicks = normal_mean(log.reward), int(log.reward.sum())
    bounds = clopper_pearson(clicks, log.reward.size)
    error = sqrt(mean.standard_error**2 + estimate.standard_error**2)
    return {
        "value": mean.value, "standard_error": mean.standard_error, "low": bounds.low, "high": bounds.high,
        "rounds": log.reward.size, "clicks": clicks,
        "estimate_less_on_policy": estimate.value - mean.value, "difference_standard_error": error,
        "relative_error": abs(estimate.value / mean.value - 1) if mean.value else None,
    }  # fmt: skip


def _mean_weight(found: off_policy.Diagnostics) -> dict[str, Any]:
    error = found.mean_weight_standard_error
    distance = abs(found.mean_weight - 1) / error if error > 0 else float(found.mean_weight != 1) * 1e9
    return {
        "mean_weight": found.mean_weight,
        "mean_weight_standard_error": error,
        "mean_weight_distance": distance,
        "mean_weight_holds": distance <= MEAN_WEIGHT_LIMIT,
    }


def _reversed_control(
    rounds: Rounds, policy: Floats, rates: Floats, fold: Integers, ours: list[off_policy.OffPolicyEstimate]
) -> dict[str, Any]:
    """The same estimates with the items' probabilities in reversed order: a wrong policy must not look right.

    DM has no weights: it is shown, but not asked to change.
    """
    control = value_policy(rounds, policy[::-1], rates, fold)
    paired = off_policy.difference(ours[-1], control[-1])
    changes = {a.name: abs(a.value - b.value) for a, b in zip(ours, control, strict=True) if a.name != "DM"}
    return {
        "estimates": [_plain(e) for e in control],
        "difference": _plain(paired),
        "smallest_change": min(changes.values()),
        "differs": min(changes.values()) > CONTROL_CHANGE,
    }


def verdict(found: off_policy.Diagnostics, rounds: int, gain: off_policy.OffPolicyEstimate) -> dict[str, Any]:
    """``better``, ``worse`` or ``tie`` by the interval of ``gain`` over the logging policy, paired by round.

    ``cannot tell`` with the rounds it needs when the log is under a floor.
    """
    shortfall = max(
        EFFECTIVE_SAMPLE_FLOOR / max(found.effective_sample_size, 1.0),
        WEIGHTED_CLICKS_FLOOR / max(found.weighted_clicks, 1.0),
    )
    if shortfall > 1:
        needs = ceil(rounds * shortfall)
        reason = (
            f"cannot tell, needs {needs:,} rounds: effective sample size {found.effective_sample_size:,.0f} of "
            f"{EFFECTIVE_SAMPLE_FLOOR:,.0f}, weighted clicks {found.weighted_clicks:.1f} of {WEIGHTED_CLICKS_FLOOR:.0f}"
        )
        return {"verdict": "cannot tell", "needs_rounds": needs, "reason": reason}
    name = "better" if gain.low > 0 else "worse" if gain.high < 0 else "tie"
    reason = (
        f"gain over the logging policy {gain.value:+.5f} ({gain.low:+.5f} to {gain.high:+.5f}) clicks per impression"
    )
    return {"verdict": name, "needs_rounds": None, "reason": reason}
