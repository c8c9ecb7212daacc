"""Asset checks: what must hold of the assets, apart from the assets themselves.

Blocking checks are for data. A challenger's checks are its verdict and do not block: the champion asset reads it.
"""

from __future__ import annotations

import dagster as dg

from adplatform.contracts.tables import TABLES
from adplatform.settings import settings


def definitions() -> dg.Definitions:
    """All checks of the data set that this home holds."""
    from asset_checks import (
        creative,
        delivery,
        drift,
        freshness,
        landing,
        measurement,
        orchestration,
        serving,
        targeting,
    )

    present = frozenset(settings().dataset.get("tables", TABLES))
    rooms = [landing, targeting, measurement, delivery, creative, orchestration, serving, drift, freshness]
    return dg.Definitions(
        asset_checks=[check for room in rooms for check in room.checks(present)],
        jobs=[freshness.job(present)],
        schedules=[freshness.every_morning],
    )
