"""Landing zones and warehouses for the tests of the dbt project."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from benchmarks.dbt_build import PROJECT, dbt
from tests.dbt import world

MARTS = {
    "dim_users": "user_id", "dim_segments": "segment_id", "dim_creatives": "creative_id",
    "fct_impressions": "impression_id", "user_features": "user_id, feature_day",
    "user_creative_exposures": "user_id, creative_id, feature_day", "training_examples": "impression_id",
    "segment_performance": "segment_id, creative_id, campaign_id", "campaign_daily": "campaign_id, budget_day",
    "experiment_daily": "experiment_id, arm, day", "feature_drift": "event_day, feature",
    "drift_statistics_daily": "event_day, campaign_id, feature, level",
    "reward_statistics_daily": "event_day, creative_id, placement, exposure_band",
}  # fmt: skip
"""Marts and their keys."""


class Home:
    """One landing zone and the warehouse that dbt builds of it.

    dbt sees every home under the same path, a link: another path would cost a full parse each time.
    """

    def __init__(self, work: Path, name: str) -> None:
        self.work, self.root = work, work / name
        self.root.mkdir(exist_ok=True)
        self.left_in_project: set[Path] = set()
        self.landing, self.warehouse = self.root / "landing", self.root / "warehouse.duckdb"

    def dbt(self, *arguments: str) -> float:
        """Run dbt on this home."""
        link = self.work / "current"
        link.unlink(missing_ok=True)
        link.symlink_to(self.root)
        return dbt(
            *arguments, landing=link / "landing", warehouse=link / "warehouse.duckdb", scratch=self.work / "scratch"
        )

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query, read only."""
        with duckdb.connect(str(self.warehouse), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def write(self, sql: str) -> None:
        """Change the warehouse behind dbt's back."""
        with duckdb.connect(str(self.warehouse)) as connection:
            connection.execute(sql)

    def marts(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every mart, sorted by its key; sums of floats to nine digits, for their order is free."""
        found = {}
        for mart, key in MARTS.items():
            rows = self.query(f'select * from "{mart}" order by {key}')
            found[mart] = [tuple(float(f"{v:.9g}") if isinstance(v, float) else v for v in row) for row in rows]
        return found

    def copy(self, name: str, warehouse: bool = True) -> Home:
        """Another home with the same landing zone, and the same warehouse or none."""
        other = Home(self.work, name)
        shutil.copytree(self.landing, other.landing)
        if warehouse:
            shutil.copy(self.warehouse, other.warehouse)
        return other


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Home]:
    """Makes homes that share dbt's parsed state."""
    work = tmp_path_factory.mktemp("dbt")
    return lambda name: Home(work, name)


@pytest.fixture(scope="session")
def built(homes: Callable[[str], Home]) -> Home:
    """Ten days of a small market. Tests read it and change only copies."""
    home = homes("built")
    world.build(home.landing)
    before = set(PROJECT.iterdir())
    home.dbt("run", "--quiet")
    home.left_in_project = set(PROJECT.iterdir()) - before
    return home
