"""The Targeting agent: ranks the segments an audience allows for each creative."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adplatform.contracts.brief import Audience
from adplatform.contracts.errors import InputError
from adplatform.contracts.targeting import CreativeAttributes, RankRequest, Segment, SegmentRanking
from adplatform.targeting.bandit import expected_rewards
from adplatform.targeting.ranking import CAUTIOUS, Shrinkage, cells, rank_segments, segment_rates
from adplatform.targeting.response import Response

CONTEXTS: Final = 8
"""Places and hours over which a user's rate is averaged."""


class Targeting:
    """Implements ``contracts.agents.TargetingAgent``.

    ``segments`` are the rows of dim_segments, ``performance`` the mart segment_performance (better with
    ``ranking.add_expected_clicks``), ``contexts`` rows of training_examples, drawn by ``ranking.representative``,
    ``prior`` what ``ranking.shrinkage`` found on later days.
    Segments with fewer than ``minimum_users`` consenting users are never returned.
    """

    def __init__(
        self,
        model: Response,
        segments: Sequence[Segment],
        performance: pa.Table,
        contexts: pa.Table,
        minimum_users: int = 20,
        prior: Shrinkage = CAUTIOUS,
    ) -> None:
        self.model, self.segments, self.performance = model, tuple(segments), performance
        self.contexts, self.minimum_users, self.prior = contexts, minimum_users, prior

    @property
    def version(self) -> str:
        """The response model's version."""
        return self.model.version

    def rank(self, request: RankRequest) -> SegmentRanking:
        """Rank segments for each creative; raises InputError on an unknown segment, audience, age band or region."""
        segments, contexts = self._allowed(request.audience)
        rates = segment_rates(self.model, contexts, segments, request.creatives)
        return rank_segments(
            rates,
            cells(self.performance, request.creatives, segments),
            request.creatives,
            segments,
            minimum_users=self.minimum_users,
            model_version=self.version,
            limit=request.limit,
            prior=self.prior,
            unseen=self.model.unseen_variance([c.creative_id for c in request.creatives]),
        )

    def _allowed(self, audience: Audience) -> tuple[list[Segment], pa.Table]:
        known = {s.segment_id for s in self.segments}
        for field, wanted, values in (
            ("audience.segments", audience.segments, known),
            ("audience.excluded_segments", audience.excluded_segments, known),
            ("audience.audiences", audience.audiences, {s.audience for s in self.segments}),
            ("audience.age_bands", audience.age_bands, {s.age_band for s in self.segments}),
        ):
            _check_known(field, wanted, {str(v) for v in values if v is not None})
        kept = [
            s
            for s in self.segments
            if (not audience.segments or s.segment_id in audience.segments)
            and s.segment_id not in audience.excluded_segments
            and (not audience.audiences or s.audience in audience.audiences)
            and (not audience.age_bands or s.age_band in audience.age_bands)
        ]
        contexts = self.contexts
        if audience.regions:
            kept, contexts = self._in_regions(kept, audience.regions)
        if not kept:
            raise InputError("audience", "no segment matches it", "widen the audience or take out exclusions")
        return kept, contexts

    def _in_regions(self, segments: list[Segment], regions: tuple[str, ...]) -> tuple[list[Segment], pa.Table]:
        """Segments cut to their users in ``regions``, by the contexts' share of them.

        A segment is large enough only if that many of its users there are among the contexts, which is never more than
        there are in truth.
        """
        _check_known("audience.regions", regions, {str(v) for v in pc.unique(self.contexts["region"]).to_pylist() if v})
        contexts = self.contexts.filter(pc.is_in(self.contexts["region"], value_set=pa.array(regions)))
        everywhere, here = _distinct_users(self.contexts), _distinct_users(contexts)
        cut = []
        for s in segments:
            seen, share = here.get(s.segment_id, 0), here.get(s.segment_id, 0) / max(everywhere.get(s.segment_id, 1), 1)
            users = max(seen, int(s.users * share)) if seen >= self.minimum_users else seen
            cut.append(s.model_copy(update={"users": users}))
        return cut, contexts


def rank_users(
    model: Response,
    creative: CreativeAttributes,
    users: pa.Table,
    *,
    exposures: pa.Table | None = None,
    limit: int = 100,
) -> list[tuple[str, float]]:
    """Users by their expected click rate for ``creative``, best first, ties by user id.

    ``users`` are rows of training_examples, of which each user's last one says who the user is. A user's rate is the
    mean over the same ``CONTEXTS`` places and hours for all, taken from evenly spaced rows. Rows without a user are
    left out.
    """
    known = users.filter(pc.is_valid(users["user_id"]))
    if known.num_rows == 0:
        return []
    order = np.argsort(np.asarray(known["event_day"].to_numpy()), kind="stable")[::-1]
    names, first = np.unique(np.asarray(known["user_id"].to_numpy()).astype(str)[order], return_index=True)
    places = np.linspace(0, known.num_rows - 1, CONTEXTS).round().astype(int)
    rows = known.take(pa.array(np.repeat(order[first], CONTEXTS)))
    for name in ("placement", "position", "hour", "weekday"):
        repeated = known[name].take(pa.array(np.tile(places, len(names))))
        rows = rows.set_column(rows.column_names.index(name), name, repeated)
    rate = expected_rewards(model, rows, [creative], exposures)[:, 0].reshape(len(names), CONTEXTS).mean(axis=1)
    best = np.lexsort((names, -rate))[:limit]
    return [(str(names[i]), float(rate[i])) for i in best]


def _distinct_users(contexts: pa.Table) -> dict[str, int]:
    counts = contexts.group_by("segment_id").aggregate([("user_id", "count_distinct")]).to_pydict()
    return dict(zip(counts["segment_id"], counts["user_id_count_distinct"], strict=True))


def _check_known(field: str, wanted: Sequence[str], known: set[str]) -> None:
    for value in wanted:
        if value not in known:
            raise InputError(field, f"{value} is unknown", f"use one of {', '.join(sorted(known)[:40])}")
