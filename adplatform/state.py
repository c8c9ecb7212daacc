"""Everything that lives under ADPLATFORM_HOME, opened once for a run, a command or a service."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from adplatform.settings import Settings, settings
from adplatform.store.documents import Documents
from adplatform.store.landing import Landing
from adplatform.store.registry import Registry
from adplatform.store.warehouse import Warehouse


@dataclass(frozen=True)
class State:
    """Landing zone, warehouse, registry and documents of one home."""

    settings: Settings

    @classmethod
    def current(cls) -> State:
        """The home that the environment names."""
        return cls(settings())

    @cached_property
    def landing(self) -> Landing:
        """The landing zone."""
        return Landing(self.settings)

    @cached_property
    def warehouse(self) -> Warehouse:
        """The warehouse that dbt builds."""
        return Warehouse(self.settings)

    @cached_property
    def registry(self) -> Registry:
        """The model registry."""
        return Registry(self.settings.models)

    @cached_property
    def documents(self) -> Documents:
        """Answers of agents that other assets and people read."""
        return Documents(self.settings.home / "documents")

    @property
    def data_through(self) -> str | None:
        """Last day of behaviour data, ISO, as a published model records it."""
        through = self.warehouse.data_through()
        return through.isoformat() if through else None
