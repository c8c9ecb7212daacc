"""The one resource that every shell takes: the platform's state under ADPLATFORM_HOME."""

from __future__ import annotations

import dagster as dg

from adplatform.defs.runs import PROCESS_TAG, process_tag
from adplatform.settings import Settings, settings
from adplatform.store.documents import Documents
from adplatform.store.landing import Landing
from adplatform.store.registry import Registry
from adplatform.store.warehouse import Warehouse


class Platform(dg.ConfigurableResource):
    """Landing zone, warehouse, registry and documents of the home that the environment names."""

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Tag the run with this process, so that a run that was killed can be told from one that works."""
        if context.instance and context.run and PROCESS_TAG not in context.run.tags:
            context.instance.add_run_tags(context.run.run_id, {PROCESS_TAG: process_tag()})

    @property
    def settings(self) -> Settings:
        """The settings as the environment has them now."""
        return settings()

    @property
    def landing(self) -> Landing:
        """The landing zone."""
        return Landing(self.settings)

    @property
    def warehouse(self) -> Warehouse:
        """The warehouse that dbt builds."""
        return Warehouse(self.settings)

    @property
    def registry(self) -> Registry:
        """The model registry."""
        return Registry(self.settings.models)

    @property
    def documents(self) -> Documents:
        """Answers of agents that other assets and people read."""
        return Documents(self.settings.home / "documents")


OWNERS = ["team:data", "team:advertising"]
WAREHOUSE_POOL = "warehouse"
