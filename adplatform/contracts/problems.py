"""The one shape of every answer that is not 200."""

from __future__ import annotations

from adplatform.contracts.base import Message


class Problem(Message):
    """``error`` is a fixed word for machines, ``detail`` one line that names the field and the mend."""

    error: str
    detail: str
    retry: bool
    """Whether the same request may succeed later."""
    request_id: str
