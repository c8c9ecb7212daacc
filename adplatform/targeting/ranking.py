"""Segments ranked for a creative: what was counted, shrunk towards what the model expects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import special

from adplatform.contracts.base import Interval
from adplatform.contracts.errors import InputError
from adplatform.contracts.features import LABEL
from adplatform.contracts.targeting import CreativeAttributes, Segment, SegmentRanking, SegmentScore
from adplatform.targeting.bandit import expected_rewards
from adplatform.targeting.features import check_columns, days_of, numbers
from adplatform.targeting.response import Response

LEVEL: Final = 0.95
STRENGTHS: Final = np.geomspace(50.0, 50_000.0, 61)
FITTED_WEIGHTS: Final = np.array([0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0])
BELOW_BEST: Final = 1.92
LATER: Final = ("later_expected", "later_clicks")
EXPECTED: Final = ("expected_clicks", *LATER)
"""What ``add_expected_clicks`` adds."""
PREDICTED_ROWS: Final = 120_000
"""Most rows predicted for one request (about 0.6 s on two cores)."""


class Cells(NamedTuple):
    """Counts of each creative in each segment, shape (creatives, segments), from matured days.

    ``expected`` is the model's sum of click probabilities over those very impressions, NaN where nobody worked it out;
    ``later_*`` are of days after those that the model was fitted on.
    """

    impressions: np.ndarray
    clicks: np.ndarray
    expected: np.ndarray
    later_expected: np.ndarray
    later_clicks: np.ndarray


class Shrinkage(NamedTuple):
    """``strength``: impressions that the model's word is worth; of a rate r it errs by about r / sqrt(strength * r), so
    relatively more of a low one, which it has learnt from fewer clicks. ``fitted_weight``: what a click of the model's
    own training days adds to that, from 0 to 1. The default, where no later day can tell: it errs by a quarter of 3 %.
    """

    strength: float = 500.0
    fitted_weight: float = 1.0


CAUTIOUS: Final = Shrinkage()


def segment_rates(
    model: Response, contexts: pa.Table, segments: Sequence[Segment], creatives: Sequence[CreativeAttributes]
) -> np.ndarray:
    """The model's click rate of each creative in each segment, shape (creatives, segments).

    ``contexts`` (see ``representative``) has the same number of rows for each segment, with the same placements and
    hours, so that segments differ by their users alone. Exposure is zero. NaN for a segment without a row.
    """
    ids = pa.array([s.segment_id for s in segments], pa.string())
    at = numbers(pc.index_in(contexts["segment_id"], value_set=ids))
    rows = np.flatnonzero(~np.isnan(at))
    index = at[rows].astype(int)
    most = max(1, PREDICTED_ROWS // (len(creatives) * max(len(segments), 1)))
    place = _place_within(index)
    keep = place < most
    rows, index = rows[keep], index[keep]
    q = expected_rewards(model, contexts.take(pa.array(rows)), creatives)
    counts = np.bincount(index, minlength=len(segments)).astype(float)
    sums = np.stack([np.bincount(index, weights=q[:, c], minlength=len(segments)) for c in range(len(creatives))])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(counts > 0, sums / counts, np.nan)


def representative(examples: pa.Table, *, seed: int, rows: int = 400) -> pa.Table:
    """For each segment ``rows`` rows: its users as they last were (drawn with replacement), in contexts drawn once
    for all segments. Shape (segments * rows); rows without a segment are left out.
    """
    check_columns(examples, ("segment_id", "user_id", "event_day", "placement", "position", "hour", "weekday"))
    known = examples.filter(pc.and_(pc.is_valid(examples["segment_id"]), pc.is_valid(examples["user_id"])))
    if known.num_rows == 0:
        raise InputError("training examples", "no row has a segment", "land users with consent and an audience")
    rng = np.random.default_rng(seed)
    order = np.argsort(np.asarray(known["event_day"].to_numpy()), kind="stable")[::-1]
    _, first = np.unique(np.asarray(known["user_id"].to_numpy()).astype(str)[order], return_index=True)
    users = known.take(pa.array(np.sort(order[first])))
    places = known.select(["placement", "position", "hour", "weekday"]).take(
        pa.array(rng.integers(0, known.num_rows, rows))
    )
    names, segment = np.unique(np.asarray(users["segment_id"].to_numpy()).astype(str), return_inverse=True)
    members = [np.flatnonzero(segment == s) for s in range(len(names))]
    picked = np.concatenate([m[np.resize(rng.permutation(len(m)), rows)] for m in members])
    out = users.take(pa.array(picked)).drop_columns(places.column_names)
    repeated = places.take(pa.array(np.tile(np.arange(rows), len(names))))
    for name in places.column_names:
        out = out.append_column(name, repeated[name])
    return out


def cells(performance: pa.Table, creatives: Sequence[CreativeAttributes], segments: Sequence[Segment]) -> Cells:
    """The mart segment_performance (with ``expected_clicks`` where it was added) as arrays, 0 where never shown."""
    check_columns(performance, ("segment_id", "creative_id", "impressions", "clicks"))
    c = numbers(
        pc.index_in(performance["creative_id"], value_set=pa.array([x.creative_id for x in creatives], pa.string()))
    )
    s = numbers(
        pc.index_in(performance["segment_id"], value_set=pa.array([x.segment_id for x in segments], pa.string()))
    )
    keep = ~np.isnan(c) & ~np.isnan(s)
    flat, shape = (c[keep] * len(segments) + s[keep]).astype(int), (len(creatives), len(segments))

    def total(name: str) -> np.ndarray:
        return np.bincount(flat, weights=numbers(performance[name])[keep], minlength=shape[0] * shape[1]).reshape(shape)

    known = "expected_clicks" in performance.column_names
    standard = [total(n) if known else np.full(shape, np.nan) for n in EXPECTED]
    return Cells(total("impressions"), total("clicks"), *standard)


def add_expected_clicks(performance: pa.Table, examples: pa.Table, model: Response) -> pa.Table:
    """``performance`` with ``expected_clicks``, the model's sum over the matured impressions behind each row, and
    ``later_clicks`` and ``later_expected``, the same of days after ``model.fitted_through``.

    It lets ``rank_segments`` compare like with like (the places, hours and exposures a cell was really shown in), and
    not trust twice what the model was fitted on.
    """
    matured = examples.filter(pc.and_(examples["is_matured"], pc.is_valid(examples["segment_id"])))
    joined = performance
    for rows, names in ((matured, ("expected_clicks", "all_clicks")), (matured.filter(_later(matured, model)), LATER)):
        parts = (
            _expected(rows, model).drop_columns(["impressions"]).rename_columns(["segment_id", "creative_id", *names])
        )
        joined = joined.join(parts, ["segment_id", "creative_id"], join_type="left outer")
        for name in names:
            at = joined.column_names.index(name)
            joined = joined.set_column(at, name, pc.fill_null(pc.cast(joined[name], pa.float64()), 0.0))
    order = [
        (name, "ascending") for name in ("segment_id", "creative_id", "campaign_id") if name in joined.column_names
    ]
    return joined.drop_columns(["all_clicks"]).sort_by(order)


def shrinkage(examples: pa.Table, model: Response) -> Shrinkage:
    """What the model's word and its own counts are worth, by how well they foretell the clicks of later days.

    Clicks of a cell on days after ``model.fitted_through`` are Poisson with mean ratio x expected, ratio ~
    Gamma(a + w * clicks, a + w * expected) with clicks and expected of the fitted days, a = strength x the model's
    rate in the cell. Of the strengths on a grid the least is taken whose marginal likelihood is within ``BELOW_BEST``
    of the best (its lower 95 % bound): few clicks can't tell a good model from a perfect one, and with the best
    strength intervals held the truth in 69 % of the cells of a known world. ``fitted_weight`` is averaged over its
    grid. Without later days: ``CAUTIOUS``.
    """
    known = examples.filter(pc.is_valid(examples["segment_id"]))
    later = _later(known, model)
    after, before = _expected(known.filter(later), model), _expected(known.filter(pc.invert(later)), model)
    if after.num_rows == 0:
        return CAUTIOUS
    both = after.join(before, ["segment_id", "creative_id"], right_suffix="_before", join_type="left outer")
    n, e = numbers(both["clicks"]), numbers(both["expected"])
    n0, e0 = (np.nan_to_num(numbers(both[c])) for c in ("clicks_before", "expected_before"))
    s, w = STRENGTHS[:, None, None], FITTED_WEIGHTS[None, :, None]
    worth = s * e / numbers(both["impressions"])
    a, b = worth + w * n0, worth + w * e0
    likelihood = (special.gammaln(a + n) - special.gammaln(a) + a * np.log(b) - (a + n) * np.log(b + e)).sum(axis=2)
    cautious = int(np.argmax(likelihood.max(axis=1) >= likelihood.max() - BELOW_BEST))
    weight = np.exp(likelihood[cautious] - likelihood[cautious].max())
    return Shrinkage(float(STRENGTHS[cautious]), float((weight * FITTED_WEIGHTS).sum() / weight.sum()))


def _later(examples: pa.Table, model: Response) -> pa.Array:
    if model.fitted_through is None:
        return pa.array(np.ones(examples.num_rows, bool))
    return pa.array(days_of(examples) > np.datetime64(model.fitted_through))


def _expected(examples: pa.Table, model: Response) -> pa.Table:
    parts = (
        pa.table(
            {
                "segment_id": examples["segment_id"],
                "creative_id": examples["creative_id"],
                "p": model.predict(examples),
                "clicked": examples[LABEL],
            }
        )
        .group_by(["segment_id", "creative_id"], use_threads=False)
        .aggregate([("p", "sum"), ("clicked", "sum"), ("p", "count")])
    )
    return parts.rename_columns(["segment_id", "creative_id", "expected", "clicks", "impressions"])


def rank_segments(
    rates: np.ndarray,
    counts: Cells,
    creatives: Sequence[CreativeAttributes],
    segments: Sequence[Segment],
    *,
    minimum_users: int,
    model_version: str,
    limit: int = 1000,
    prior: Shrinkage = CAUTIOUS,
    unseen: np.ndarray | None = None,
) -> SegmentRanking:
    """Rank ``segments`` for each creative by posterior click rate, best first, ties by segment id.

    Segments under ``minimum_users`` are withheld, and counted. ``prior``: see ``shrinkage``; ``unseen``:
    see ``posterior``.
    """
    large = np.array([s.users >= minimum_users for s in segments], bool)
    mean, low, high = posterior(rates, counts, prior, unseen)
    scores: list[SegmentScore] = []
    for c, creative in enumerate(creatives):
        order = sorted(range(len(segments)), key=lambda s, row=mean[c]: (-row[s], segments[s].segment_id))  # type: ignore[misc]
        scores += [
            SegmentScore(
                creative_id=creative.creative_id,
                segment_id=segments[s].segment_id,
                click_rate=float(mean[c, s]),
                interval=Interval(low=float(low[c, s]), high=float(high[c, s]), level=LEVEL),
                users=segments[s].users,
                impressions=int(counts.impressions[c, s]),
            )
            for s in [s for s in order if large[s] and np.isfinite(mean[c, s])][:limit]
        ]
    return SegmentRanking(scores=tuple(scores), withheld=int((~large).sum()), model_version=model_version)


def posterior(
    rates: np.ndarray, counts: Cells, prior: Shrinkage, unseen: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Posterior mean and 0.95 interval of each cell's click rate, all of shape (creatives, segments).

    Beta-binomial: the prior is the model's rate as if after ``prior.strength`` impressions; a cell's counts come in
    as impressions at the model's rate that would expect as many clicks as the model expects of those shown (indirect
    standardisation), those of fitted days by ``prior.fitted_weight``. ``unseen``, shape
    (creatives,), is the variance of the log rate that a creative adds by being new to the model.
    """
    rate = np.clip(rates, 1e-9, 1 - 1e-9)
    standard = np.isfinite(counts.expected)
    w = np.where(standard, prior.fitted_weight, 1.0)
    expected = np.where(standard, counts.expected, counts.impressions * rate)
    clicks = np.where(standard, counts.later_clicks + w * (counts.clicks - counts.later_clicks), counts.clicks)
    expected = np.where(standard, counts.later_expected + w * (expected - counts.later_expected), expected)
    extra = np.zeros(len(rate)) if unseen is None else unseen
    worth = 1 / (1 / (prior.strength * rate) + extra[:, None])
    a = worth + clicks
    b = np.maximum((worth + expected) / rate - a, 1e-3)
    tail = (1 - LEVEL) / 2
    return a / (a + b), special.betaincinv(a, b, tail), special.betainccinv(a, b, tail)


def _place_within(index: np.ndarray) -> np.ndarray:
    """0, 1, 2, ... within each value of ``index``, in row order."""
    order = np.argsort(index, kind="stable")
    starts = np.searchsorted(index[order], index[order])
    out = np.empty(len(index), int)
    out[order] = np.arange(len(index)) - starts
    return out
