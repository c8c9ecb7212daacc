"""The one resource that every shell takes: the platform's state under ADPLATFORM_HOME."""

from __future__ import annotations

import dagster as dg

from adplatform.defs.runs import PROCESS_TAG
from adplatform.processes import process_tag
from adplatform.state import State

OWNERS = ["team:data", "team:advertising"]
WAREHOUSE_POOL = "warehouse"


class Platform(dg.ConfigurableResource):
    """Opens the state of the home that the environment names."""

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Tag the run with this process, so that a run that was killed can be told from one that works."""
        if context.instance and context.run and PROCESS_TAG not in context.run.tags:
            context.instance.add_run_tags(context.run.run_id, {PROCESS_TAG: process_tag()})

    @property
    def state(self) -> State:
        """Landing zone, warehouse, registry and documents."""
        return State.current()
