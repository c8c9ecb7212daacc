"""Whether an event of a batch is good: once, for the gateway and for the replay of what was rejected."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from pydantic import ValidationError

from adplatform.contracts.problems import line_of
from adplatform.contracts.serving import Event
from adplatform.store.decision_log import Judged

AHEAD: Final = timedelta(hours=1)
"""A clock may be this much ahead of ours."""


def judge(sent: Any, now: datetime) -> Judged:
    """The event that ``sent`` (parsed JSON) is, or the reason why it is none; with its JSON as it is kept."""
    payload = orjson.dumps(sent)
    name = sent.get("event_id") if isinstance(sent, dict) else None
    event_id = name[:128] if isinstance(name, str) else None
    try:
        event = Event.model_validate(sent)
    except ValidationError as error:
        return Judged(event_id, None, payload, line_of(error.errors(include_url=False, include_context=False)[0]))
    if event.occurred_at > now + AHEAD:
        return Judged(event_id, None, payload, f"occurred_at: {event.occurred_at} is ahead of our clock; send UTC")
    return Judged(event_id, event, payload, None)
