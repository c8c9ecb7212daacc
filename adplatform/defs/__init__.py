"""Dagster shells, one for each subject; they call the rooms and show what came out."""

from __future__ import annotations

import dagster as dg

from adplatform.contracts.tables import TABLES
from adplatform.settings import settings


def definitions() -> dg.Definitions:
    """Every asset, job, schedule and sensor of the data set that this home holds."""
    from adplatform.defs import (
        alerts,
        automation,
        behaviour,
        creative,
        decision_log,
        delivery,
        landing,
        measurement,
        monitoring,
        orchestration,
        serving,
        targeting,
    )
    from adplatform.defs.resources import Platform

    present = frozenset(settings().dataset.get("tables", TABLES))
    subjects = [targeting, measurement, delivery, creative, orchestration, serving, monitoring]
    return dg.Definitions(
        assets=[
            *landing.assets(present),
            decision_log.decision_log,
            behaviour.assets(),
            *(asset for subject in subjects for asset in subject.assets(present)),
        ],
        jobs=automation.jobs(present),
        schedules=[automation.nightly_snapshots, automation.nightly_events],
        sensors=[
            automation.automation(),
            automation.dead_runs,
            monitoring.retrain_sensor(),
            alerts.run_alerts,
            alerts.home_alerts,
        ],
        resources={"platform": Platform()},
        executor=dg.in_process_executor,
    )
