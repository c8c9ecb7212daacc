"""What a candidate policy would have earned on the champion's log, and whether a challenger may be promoted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adplatform.contracts.base import Interval
from adplatform.contracts.errors import InputError
from adplatform.contracts.features import LABEL
from adplatform.contracts.targeting import CreativeAttributes, PolicyEvaluation, PolicyValue
from adplatform.stats import off_policy
from adplatform.targeting.bandit import LoggingPolicy, Policy, SoftmaxPolicy, expected_rewards, logged_index
from adplatform.targeting.features import check_columns, days_of, numbers
from adplatform.targeting.response import Response

LEVEL: Final = 0.95


class _Rounds(NamedTuple):
    """What the estimators need of each logged decision, each of shape (n,)."""

    reward: np.ndarray
    weight: np.ndarray
    q_logged: np.ndarray
    q_policy: np.ndarray
    champion_weight: np.ndarray
    champion_q: np.ndarray
    clusters: np.ndarray


def evaluate(
    log: pa.Table,
    policy: Policy,
    champion: Policy,
    model: Response,
    creatives: Sequence[CreativeAttributes],
    exposures: pa.Table | None = None,
) -> PolicyEvaluation:
    """Value ``policy`` and ``champion`` on ``log`` (training_examples whose creative a policy chose, no experiment).

    Candidates of a row are the ``creatives`` of its campaign. ``model`` gives the expected rewards of DM and DR;
    it and ``policy`` must have been trained on earlier days. Intervals are clustered by user (a row without a user
    is its own cluster) and have level 0.95. Raises InputError on an empty log, a model that has seen the log's days,
    or a logged creative that is no candidate.
    """
    check_columns(log, ("campaign_id", "creative_id", "propensity", "event_day", "user_id", LABEL))
    _check(log, policy, model)
    r = _rounds(log, policy, champion, model, creatives, exposures)
    more: dict[str, Any] = {"level": LEVEL, "clusters": r.clusters}
    ours = off_policy.dr(r.reward, r.weight, r.q_logged, r.q_policy, **more)
    if isinstance(champion, LoggingPolicy):
        theirs = off_policy.ips(r.reward, r.champion_weight, **more)._replace(name="on-policy")
    else:
        theirs = off_policy.dr(r.reward, r.champion_weight, r.q_logged, r.champion_q, **more)
    found = off_policy.diagnostics(r.reward, r.weight, clusters=r.clusters)
    values = (
        off_policy.ips(r.reward, r.weight, **more),
        off_policy.snips(r.reward, r.weight, **more),
        off_policy.dm(r.q_policy, **more),
        ours,
    )
    return PolicyEvaluation(
        policy_version=policy.version,
        champion_version=champion.version,
        decisions=len(r.reward),
        values=tuple(_value(v) for v in values),
        champion_value=_value(theirs),
        difference=_value(off_policy.difference(ours, theirs, **more)),
        effective_sample_size=found.effective_sample_size,
        weighted_clicks=found.weighted_clicks,
        mean_weight=found.mean_weight,
        mean_weight_standard_error=found.mean_weight_standard_error,
    )


def user_clusters(table: pa.Table) -> np.ndarray:
    """A cluster number for each row, shape (rows,): the user's, or its own where the user is not known."""
    codes = pc.index_in(table["user_id"], value_set=pc.drop_null(pc.unique(table["user_id"])))
    at = numbers(codes).copy()
    alone = np.isnan(at)
    at[alone] = -1.0 - np.arange(int(alone.sum()))
    return at.astype(np.int64)


def _check(log: pa.Table, policy: Policy, model: Response) -> None:
    if log.num_rows == 0:
        raise InputError("policy log", "has no decision", "hold out at least one day on which a policy chose")
    first = days_of(log).min().astype(object)
    for name, through in (("reward model", model.trained_through), ("policy", policy.trained_through)):
        learnt = name == "reward model" or not isinstance(policy, LoggingPolicy)
        if learnt and through is not None and through >= first:
            raise InputError(
                name,
                f"was trained through {through}, the log begins on {first}",
                "train it on earlier days than the log's",
            )


def _rounds(
    log: pa.Table,
    policy: Policy,
    champion: Policy,
    model: Response,
    creatives: Sequence[CreativeAttributes],
    exposures: pa.Table | None,
) -> _Rounds:
    n = log.num_rows
    reward, propensity = numbers(log[LABEL]), numbers(log["propensity"])
    columns = np.zeros((5, n))
    campaigns = np.asarray(log["campaign_id"].to_numpy()).astype(str)
    for campaign in np.unique(campaigns):
        rows = np.flatnonzero(campaigns == campaign)
        own = [c for c in creatives if c.campaign_id in (campaign, None)]
        part = log.take(pa.array(rows))
        at = logged_index(part, own) if own else np.full(len(rows), -1)
        if (at < 0).any():
            bad = part["creative_id"][int(np.argmax(at < 0))].as_py()
            raise InputError(
                "policy log", f"creative {bad} is no candidate of campaign {campaign}", "pass all its creatives"
            )
        q = expected_rewards(model, part, own, exposures)
        mine = _probabilities(policy, model, q, part, own, exposures)
        theirs = _probabilities(champion, model, q, part, own, exposures)
        pick = np.arange(len(rows))
        columns[:, rows] = (
            mine[pick, at] / propensity[rows],
            q[pick, at],
            (mine * q).sum(axis=1),
            theirs[pick, at] / propensity[rows],
            (theirs * q).sum(axis=1),
        )
    return _Rounds(reward, columns[0], columns[1], columns[2], columns[3], columns[4], user_clusters(log))


def _probabilities(
    policy: Policy,
    model: Response,
    q: np.ndarray,
    contexts: pa.Table,
    creatives: Sequence[CreativeAttributes],
    exposures: pa.Table | None,
) -> np.ndarray:
    if isinstance(policy, SoftmaxPolicy) and policy.model.version == model.version:
        return policy.of_rewards(q)
    return policy.probabilities(contexts, creatives, exposures)


def _value(estimate: off_policy.OffPolicyEstimate) -> PolicyValue:
    """As the contract has it; a single decision has no interval, which InputError says."""
    if not np.isfinite(estimate.standard_error):
        raise InputError("policy log", "has one user's decisions alone", "hold out days with at least two users")
    return PolicyValue(
        estimator=estimate.name,
        value=estimate.value,
        standard_error=estimate.standard_error,
        interval=Interval(low=estimate.low, high=estimate.high, level=LEVEL),
    )
