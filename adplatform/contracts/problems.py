"""The one shape of every answer that is not 200."""

from __future__ import annotations

from typing import Any

from adplatform.contracts.base import Message


class Problem(Message):
    """``error`` is a fixed word for machines, ``detail`` one line that names the field and the mend."""

    error: str
    detail: str
    retry: bool
    """Whether the same request may succeed later."""
    request_id: str


def line_of(first: Any) -> str:
    """One line for one error of pydantic (an item of ``errors()``): the field, and what is wrong with it."""
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error" and not first["loc"]:
        return str(message)  # a rule over several fields names them itself
    return f"{'.'.join(str(part) for part in first['loc']) or 'body'}: {message}"
