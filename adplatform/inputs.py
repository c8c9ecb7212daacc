"""What the agents are built from: tables and values of the marts, as the warehouse gave them or as they were published.

Only ``batch`` reads them from the warehouse; an endpoint loads the snapshot that the asset ``agent_snapshot`` published.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, TypeVar, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from adplatform.contracts.errors import AdPlatformError
from adplatform.contracts.measurement import ExperimentCounts
from adplatform.contracts.targeting import CreativeAttributes, Segment
from adplatform.orchestrator.fallbacks import BaseRates
from adplatform.store.atomic import write_json, write_parquet
from adplatform.store.snapshots import Pointed, Snapshots
from adplatform.targeting.ranking import Shrinkage

P = TypeVar("P")


@dataclass(frozen=True)
class Labels:
    """The data's own labels. ``products``: name -> category."""

    segments: tuple[Segment, ...]
    regions: tuple[str, ...]
    categories: tuple[str, ...]
    products: dict[str, str]


@dataclass(frozen=True)
class Market:
    """What default rules answer with, the experiments as they stand, and which data it all is."""

    rates: BaseRates
    experiments: tuple[ExperimentCounts, ...]
    data_version: str
    data_through: str | None


@dataclass(frozen=True)
class TargetingInputs:
    """Rows of dim_segments; segment_performance with what the model ``model_version`` expects of it, and how far that
    is to be trusted; contexts of ``ranking.representative``, whose user ids are numbers that stand for nobody."""

    model_version: str
    segments: tuple[Segment, ...]
    performance: pa.Table
    contexts: pa.Table
    prior: Shrinkage


@dataclass(frozen=True)
class MeasurementInputs:
    """segment_performance over ``days`` matured days, and what ``measurement.performance.Performance`` takes beside it."""

    segments: tuple[Segment, ...]
    performance: pa.Table
    library: tuple[CreativeAttributes, ...]
    days: int
    cost_per_mille: float | None
    fatigue: float
    data_version: str


@dataclass(frozen=True)
class AgentInputs:
    """Everything that agents are built from. An agent that cannot be built has None: its default rule answers."""

    labels: Labels
    market: Market
    targeting: TargetingInputs | None
    measurement: MeasurementInputs | None

    def save(self, directory: Path) -> None:
        """Write each part as JSON, and each of its tables as Parquet beside it. Equal inputs give equal bytes."""
        for name in PARTS:
            part = getattr(self, name)
            if part is not None:
                _save(directory, name, part)

    @classmethod
    def load(cls, directory: Path) -> AgentInputs:
        """Read what ``save`` wrote. Raises AdPlatformError where it does not read."""
        try:
            labels, market = _load(directory, "labels", Labels), _load(directory, "market", Market)
            targeting, measurement = (
                _load(directory, name, kind) if (directory / f"{name}.json").exists() else None
                for name, kind in (("targeting", TargetingInputs), ("measurement", MeasurementInputs))
            )
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise AdPlatformError(f"{directory} does not read ({error}); materialize agent_snapshot again") from error
        return cls(labels, market, targeting, measurement)  # type: ignore[arg-type]


PARTS: Final = tuple(f.name for f in fields(AgentInputs))


def publish(root: Path, inputs: AgentInputs, keep: int) -> Pointed:
    """Publish a snapshot under ``root`` and point to it."""
    return Snapshots(root).publish(inputs.save, keep)


def published(root: Path) -> tuple[Pointed, AgentInputs] | None:
    """The snapshot that serves, None before the first. Raises AdPlatformError on a damaged one."""
    snapshots = Snapshots(root)
    pointed = snapshots.current()
    return None if pointed is None else (pointed, AgentInputs.load(snapshots.path(pointed.version)))


def _save(directory: Path, name: str, part: Any) -> None:
    hints, plain = get_type_hints(type(part)), {}
    for field, kind in hints.items():
        value = getattr(part, field)
        if kind is pa.Table:
            write_parquet(directory / f"{name}.{field}.parquet", value)
        else:
            plain[field] = TypeAdapter(kind).dump_python(value, mode="json")
    write_json(directory / f"{name}.json", plain)


def _load(directory: Path, name: str, kind: type[P]) -> P:
    plain = json.loads((directory / f"{name}.json").read_text())
    values = {
        field: pq.read_table(directory / f"{name}.{field}.parquet")
        if hint is pa.Table
        else TypeAdapter(hint).validate_python(plain[field])
        for field, hint in get_type_hints(kind).items()
    }
    return kind(**values)
