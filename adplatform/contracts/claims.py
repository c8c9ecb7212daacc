"""Claims and benchmark reports: what ``summary.json``, ``make prove`` and ``make bench`` print."""

from __future__ import annotations

from typing import Any

from adplatform.contracts.base import Message


class Claim(Message):
    """One line that was promised; ``holds`` is computed from the figures of this run, None where it cannot tell.

    ``name`` is what machines find it by, ``claim`` the sentence that is judged.
    """

    name: str
    claim: str
    figure: float | None
    holds: bool | None
    n: int
    detail: dict[str, Any] = {}


class Row(Message):
    """One comparison of a benchmark."""

    what: str
    ours: float
    peer: float | None = None
    peer_name: str | None = None
    ratio: float | None = None
    interval: tuple[float, float] | None = None
    n: int = 1


class BenchmarkReport(Message):
    """The JSON of ``python -m benchmarks NAME --json``."""

    name: str
    machine: dict[str, Any]
    seconds: float
    rows: tuple[Row, ...] = ()
    claims: tuple[Claim, ...] = ()
