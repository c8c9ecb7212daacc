"""Creatives as candidates: what is landed now, without the warehouse, so that a new creative serves when it has landed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from adplatform.contracts.errors import AdPlatformError
from adplatform.contracts.tables import CAMPAIGNS, CREATIVES
from adplatform.contracts.targeting import CreativeAttributes

_FILES: Final = (CREATIVES.name, CAMPAIGNS.name)


class Library:
    """Attributes of every landed creative by its id. ``refresh`` reads again what has changed, whole or not at all."""

    def __init__(self, landing: Path) -> None:
        self._paths = [landing / name / "current.parquet" for name in _FILES]
        self._seen: list[tuple[int, int]] | None = None
        self.creatives: dict[str, CreativeAttributes] = {}
        self.refresh()

    def refresh(self) -> bool:
        """Whether anything was read. Raises AdPlatformError where a file can't be; what was known stays."""
        try:
            seen = [(s.st_ino, s.st_mtime_ns) for s in (p.stat() for p in self._paths)]
        except FileNotFoundError:
            return False
        if seen == self._seen:
            return False
        creatives, campaigns = (_rows(path) for path in self._paths)
        category = {row["campaign_id"]: row["product_category"] for row in campaigns}
        self.creatives = {
            row["creative_id"]: CreativeAttributes(
                creative_id=row["creative_id"],
                campaign_id=row["campaign_id"],
                product_category=category.get(row["campaign_id"]),
                tone=row["tone"],
                appeal=row["appeal"],
            )
            for row in creatives
        }
        self._seen = seen
        return True


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    except (OSError, ValueError) as error:
        raise AdPlatformError(f"{path} cannot be read ({error}); ingest it again") from error
    return rows
