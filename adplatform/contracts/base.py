"""The base of every message, and the field types they share."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Money = Annotated[Decimal, Field(ge=0, max_digits=14, decimal_places=2)]
"""An amount in the campaign's currency, exact to the cent; JSON carries it as a string."""
MOST_PEOPLE: Final = 10_000_000_000
People = Annotated[int, Field(ge=0, le=MOST_PEOPLE)]
"""A count of people: more than there are is a mistake."""
IDENTIFIER_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._|:+-]*$"
Identifier = Annotated[str, Field(min_length=1, max_length=128, pattern=IDENTIFIER_PATTERN)]
"""An id that is safe in a path, a header and a log line. Segment ids read ``audience|age band``."""


def _day(value: object) -> object:
    if isinstance(value, int | float):
        raise ValueError("a number is no day; write it as 2026-11-25")
    # Parsed here: behind a validator a strict message would take no text, though JSON has nothing else.
    return date.fromisoformat(value) if isinstance(value, str) else value


Day = Annotated[date, BeforeValidator(_day)]
"""A day, as a date or in ISO form; pydantic alone would take a number as seconds since 1970."""


def _number(value: object) -> object:
    if isinstance(value, bool | str):
        raise ValueError("is no number")
    return value


NumberOnly: Final = BeforeValidator(_number)
"""Beside the limits of a number: pydantic alone would take true as 1 and '1' as 1."""
Text = Annotated[str, Field(min_length=1, max_length=2000)]


class Message(BaseModel):
    """Frozen, closed (an unknown field is an error) and finite (no NaN or infinity)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, str_strip_whitespace=True)


class Interval(Message):
    """A two-sided interval. ``level`` is its nominal coverage, 0.95 unless said."""

    low: float
    high: float
    level: Probability = 0.95
