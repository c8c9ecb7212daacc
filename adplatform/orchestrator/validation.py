"""Is an agent's answer what its contract promises? If not, it is not used.

Answers are built again from their fields, so that an object which went round pydantic (``model_construct``,
``model_copy``, another process) is checked like any other: NaN, negative figures, wrong types and lengths.
What follows is what only the request can tell: ids, limits, order, markup.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from typing import TypeVar

from pydantic import ValidationError

from adplatform.contracts.base import Interval, Message
from adplatform.contracts.brief import Brief
from adplatform.contracts.creative import CreativeSet
from adplatform.contracts.delivery import Allocation, AllocationRequest
from adplatform.contracts.errors import AgentNonsense
from adplatform.contracts.measurement import PerformanceReport, PerformanceRequest
from adplatform.contracts.targeting import RankRequest, SegmentRanking
from adplatform.orchestrator.words import contains_phrase

M = TypeVar("M", bound=Message)
MARKUP = re.compile(
    r"<\s*[/!?]?\s*[a-zA-Z][^<]*>?|&(?:#\d+|#x[0-9a-fA-F]+|[a-zA-Z]{2,8});|```|\*\*|__\w|\]\(|\{\{|\}\}|\{%|<\||\|>|"
    r"https?://|javascript:|[\x00-\x08\x0b-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069]",
    re.IGNORECASE,
)
"""HTML, entities, Markdown, template braces, a language model's control tokens, addresses, control and direction characters."""
TOLERANCE = 1e-6
LEAST_VARIANTS = 5


def rebuilt(agent: str, answer: object, kind: type[M]) -> M:
    """The answer, built again from its fields. AgentNonsense when it is no ``kind`` or breaks its schema."""
    if not isinstance(answer, kind):
        raise AgentNonsense(agent, f"answered a {type(answer).__name__}, not a {kind.__name__}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fields = answer.model_dump(mode="python", warnings=False)
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(p) for p in first["loc"]) or kind.__name__
        raise AgentNonsense(agent, f"{where}: {first['msg']}"[:200]) from error
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise AgentNonsense(agent, f"{kind.__name__} can't be read ({type(error).__name__})") from error


def _require(agent: str, holds: bool, problem: str) -> None:
    if not holds:
        raise AgentNonsense(agent, problem)


def _once(agent: str, names: Iterable[object], what: str) -> None:
    seen: set[object] = set()
    for name in names:
        _require(agent, name not in seen, f"{what} {name} comes twice")
        seen.add(name)


def _ordered(agent: str, interval: Interval | None, what: str) -> None:
    if interval is not None:
        _require(agent, 0 <= interval.low <= interval.high, f"{what}: interval {interval.low:g} to {interval.high:g}")


def checked_creatives(answer: object, brief: Brief) -> CreativeSet:
    """5 to 10 variants, each once, plain text, within the brand guidelines."""
    agent, found = "creative", rebuilt("creative", answer, CreativeSet)
    limits = brief.guidelines
    _require(
        agent,
        len(found.variants) >= LEAST_VARIANTS,
        f"{len(found.variants)} variants, at least {LEAST_VARIANTS} asked for",
    )
    _once(agent, (v.creative_id for v in found.variants), "creative")
    _once(agent, (f"{v.headline}|{v.body}".casefold() for v in found.variants), "text")
    for variant in found.variants:
        name = variant.creative_id
        for slot, text, longest in (
            ("headline", variant.headline, limits.headline_max),
            ("body", variant.body, limits.body_max),
        ):
            _require(agent, not MARKUP.search(text), f"{name}: markup in its {slot}")
            _require(
                agent, len(text) <= longest, f"{name}: {slot} has {len(text)} characters, at most {longest} allowed"
            )
        for phrase in (*limits.banned_words, *limits.banned_claims):
            _require(
                agent,
                not contains_phrase(f"{variant.headline} . {variant.body}", phrase),
                f"{name}: says {phrase!r}, which is banned",
            )
        if limits.required_disclaimer:
            _require(
                agent, limits.required_disclaimer.strip() in variant.body, f"{name}: lacks the required disclaimer"
            )
        _require(agent, variant.tone in limits.tones, f"{name}: tone {variant.tone.value} is not the brand's")
    return found


def checked_ranking(
    answer: object, request: RankRequest, eligible: Mapping[str, int], minimum_users: int
) -> SegmentRanking:
    """Pairs of known creatives and eligible segments (id -> users), each once, none under the minimum size."""
    agent, found = "targeting", rebuilt("targeting", answer, SegmentRanking)
    known = {c.creative_id for c in request.creatives}
    _once(agent, ((s.creative_id, s.segment_id) for s in found.scores), "combination")
    count: dict[str, int] = {}
    for score in found.scores:
        _known(agent, score.creative_id, known, "creative")
        _known(agent, score.segment_id, eligible, "segment")
        _ordered(agent, score.interval, f"{score.creative_id} x {score.segment_id}")
        _require(agent, score.interval.high <= 1, f"{score.segment_id}: a click rate above 1")
        fits = minimum_users <= score.users <= eligible[score.segment_id]
        _require(agent, fits, f"segment {score.segment_id} has {eligible[score.segment_id]} users, not {score.users}")
        count[score.creative_id] = count.get(score.creative_id, 0) + 1
    most = max(count.values(), default=0)
    _require(agent, most <= request.limit, f"{most} segments for a creative, at most {request.limit} asked for")
    _require(agent, bool(found.scores) or (found.withheld > 0 and bool(request.audience.regions)), "no segment at all")
    return found


def _known(agent: str, name: str, known: Collection[str], what: str) -> None:
    _require(agent, name in known, f"unknown {what} {name!r}"[:200])


def checked_performance(answer: object, request: PerformanceRequest) -> PerformanceReport:
    """One row for each combination asked for, in the order asked."""
    agent, found = "measurement", rebuilt("measurement", answer, PerformanceReport)
    asked = [(c.creative_id, c.segment_id) for c in request.combinations]
    got = [(c.creative_id, c.segment_id) for c in found.combinations]
    _require(agent, len(got) == len(asked), f"{len(got)} rows for {len(asked)} combinations")
    for mine, theirs in zip(asked, got, strict=True):
        _require(agent, mine == theirs, f"row for {theirs[0]} x {theirs[1]} where {mine[0]} x {mine[1]} was asked for")
    for row in found.combinations:
        what = f"{row.creative_id} x {row.segment_id}"
        _ordered(agent, row.click_interval, what)
        _require(agent, row.click_interval.high <= 1, f"{what}: a click rate above 1")
        _ordered(agent, row.value_interval, what)
        whole = (row.value_per_unit is None) == (row.value_interval is None)
        _require(agent, whole, f"{what}: a value without an interval or the reverse")
    return found


def checked_allocation(answer: object, request: AllocationRequest) -> Allocation:
    """Every option once and within its limits; shares that are the budgets' parts; nothing idle that could be spent."""
    agent, found = "budget", rebuilt("budget", answer, Allocation)
    options = {o.option_id: o for o in request.options}
    _once(agent, (s.option_id for s in found.shares), "option")
    for share in found.shares:
        _known(agent, share.option_id, options, "option")
    _require(agent, len(found.shares) == len(options), f"{len(found.shares)} shares for {len(options)} options")
    _require(agent, found.budget == request.budget, f"splits {found.budget}, not {request.budget}")
    cap = request.budget if len(options) == 1 else request.budget * Decimal(str(request.largest_share))
    room = Decimal(0)
    for share in found.shares:
        option = options[share.option_id]
        most = cap if option.maximum is None else min(cap, option.maximum)
        _require(
            agent,
            share.budget >= option.minimum,
            f"{share.option_id}: {share.budget} is under its minimum {option.minimum}",
        )
        _require(agent, share.budget <= most, f"{share.option_id}: {share.budget} is over its limit {most:.2f}")
        part = float(share.budget / request.budget)
        _require(
            agent, abs(share.share - part) <= TOLERANCE, f"{share.option_id}: share {share.share:g} is not {part:g}"
        )
        room += most - share.budget if option.reward_rate > 0 else Decimal(0)
    idle = min(found.unspent, room)
    _require(
        agent, idle <= Decimal("0.01") * len(options), f"{found.unspent} unspent, of which {idle:.2f} could be spent"
    )
    return found
