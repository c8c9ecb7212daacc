"""Whether an event of a batch is good: once, for the gateway and for the replay of what was rejected."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from pydantic import TypeAdapter, ValidationError

from adplatform.contracts.problems import line_of
from adplatform.contracts.serving import Event
from adplatform.store.decision_writes import Judged

AHEAD: Final = timedelta(hours=1)
"""A clock may be this much ahead of ours."""

_EVENTS: Final = TypeAdapter(list[Event])


def judge_all(sent: Sequence[Any], now: datetime) -> list[Judged]:
    """``judge`` each; together where all are good, which takes a third of the time."""
    limit = now + AHEAD
    try:
        events = _EVENTS.validate_python(sent)
    except ValidationError:
        return [judge(one, now) for one in sent]
    return [
        Judged(event.event_id, event, None, None) if event.occurred_at <= limit else judge(one, now)
        for event, one in zip(events, sent, strict=True)
    ]


def judge(sent: Any, now: datetime) -> Judged:
    """The event that ``sent`` (parsed JSON) is, or the reason why it is none, with its JSON as it came."""
    name = sent.get("event_id") if isinstance(sent, dict) else None
    event_id = name[:128] if isinstance(name, str) else None
    try:
        event = Event.model_validate(sent)
    except ValidationError as error:
        reason = line_of(error.errors(include_url=False, include_context=False)[0])
        return Judged(event_id, None, orjson.dumps(sent), reason)
    if event.occurred_at > now + AHEAD:
        reason = f"occurred_at: {event.occurred_at} is ahead of our clock; send UTC"
        return Judged(event_id, None, orjson.dumps(sent), reason)
    return Judged(event_id, event, None, None)
