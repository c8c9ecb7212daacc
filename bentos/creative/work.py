"""What the creative service has been asked and not finished: who asks again sees whether it waits, is written, or is done."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from adplatform.contracts.creative import CreativeRequest
from adplatform.contracts.serving import CreativeProgress, CreativeWork, WorkState


@dataclass
class Item:
    """A brief on its way."""

    request_id: str
    campaign_id: str
    state: WorkState = WorkState.WAITING
    came: float = field(default_factory=time.monotonic)


class Work:
    """The briefs on their way, in the order in which they came."""

    def __init__(self) -> None:
        self._items: dict[int, Item] = {}
        self._finished, self._longest = 0, 0.0

    @contextmanager
    def waiting(self, request_id: str, asked: CreativeRequest) -> Iterator[Item]:
        """Around the wait for an answer: whoever leaves before the writing began takes the brief along."""
        item = Item(request_id, asked.brief.campaign_id)
        self._items[id(item)] = item
        try:
            yield item
        finally:
            if item.state is WorkState.WAITING:
                self._items.pop(id(item), None)

    @contextmanager
    def writing(self, item: Item) -> Iterator[None]:
        """Around the writing, in its thread."""
        item.state, began = WorkState.WRITING, time.monotonic()
        try:
            yield
        finally:
            self._items.pop(id(item), None)
            self._finished, self._longest = self._finished + 1, max(self._longest, time.monotonic() - began)

    def progress(self) -> CreativeProgress:
        """How it stands."""
        now = time.monotonic()
        found = [
            CreativeWork(
                request_id=i.request_id, campaign_id=i.campaign_id, state=i.state, seconds=max(0.0, now - i.came)
            )
            for i in list(self._items.values())
        ]
        return CreativeProgress(work=tuple(found), finished=self._finished, longest_seconds=self._longest)
