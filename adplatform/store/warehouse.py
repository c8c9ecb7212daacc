"""The DuckDB file that dbt builds. One process at a time holds it, so connections are short and wait their turn.

DuckDB shuts every other process out while one writes, readers too; the store's lock makes that an orderly queue.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime
from typing import Any, Final

import duckdb
import pyarrow as pa

from adplatform.contracts.errors import SetupError
from adplatform.contracts.tables import IMPRESSIONS
from adplatform.settings import Settings
from adplatform.store.atomic import disk_errors, sync_directory
from adplatform.store.lock import store_lock
from adplatform.store.zone import Zone

BUILD: Final = "meta_build"
"""Table of one row: what the marts were built from."""
POLL_SECONDS: Final = 0.05


class Warehouse:
    """The warehouse at ``settings.warehouse``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._held = threading.local()

    def lock(self, timeout: float | None = None) -> AbstractContextManager[None]:
        """Keep every other writer and reader out, in this process and in others; may be taken again within.

        Raises SetupError when it is held by another for longer than ``timeout`` (``settings.lock_seconds``).
        """
        return store_lock(self.settings, timeout)

    @contextmanager
    def write(self) -> Iterator[Any]:
        """A DuckDB connection that may write, under the lock. Raises SetupError on a full disk."""
        with self.lock():
            connection = self._connect(read_only=False)
            self._held.connection = connection
            try:
                yield connection
            except duckdb.Error as error:
                if "No space left" in str(error):
                    mend = "free some space and run it again"
                    raise SetupError("disk is full while writing the warehouse", mend) from error
                raise
            finally:
                self._held.connection = None
                connection.close()

    def read(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> pa.Table:
        """Rows of a query, through a connection that is closed again. Raises SetupError before the first build."""
        with self.lock():
            open_connection = getattr(self._held, "connection", None)
            connection = open_connection.cursor() if open_connection else self._connect(read_only=True)
            try:
                return connection.sql(sql, params=parameters or None).to_arrow_table()
            finally:
                connection.close()

    def record_build(self, code: str = "") -> str:
        """Record what the marts were just built from; call it under the ``lock`` of the build. Returns the data version.

        The version is a hash of all landed rows, and of ``code`` (a version of the SQL), if one is given.
        """
        with self.write() as connection:
            zone = Zone(self.settings.landing)
            version = hashlib.sha256(f"{zone.version()}|{code}".encode()).hexdigest()[:16]
            through = zone.days(IMPRESSIONS)[-1:]
            connection.execute(
                f"create or replace table {BUILD} as select $version::varchar as data_version, "
                "$through::date as data_through, $built_at::timestamp as built_at",
                {
                    "version": version,
                    "through": through[0] if through else None,
                    "built_at": datetime.now(UTC).replace(tzinfo=None),
                },
            )
        return version

    def rewrite(self) -> None:
        """Write the file anew from its live rows, so that nothing that was deleted is left in free blocks.

        Raises SetupError on a full disk; the old file stays then, as it does when this is cut off.
        """
        path = self.settings.warehouse
        beside = path.with_name(f".{path.name}.rewriting")
        with self.lock(), disk_errors(f"writing {beside}"):
            self._connect(read_only=False).close()  # waits for whoever holds it, and empties its journal
            beside.unlink(missing_ok=True)
            try:
                with duckdb.connect() as connection:
                    connection.execute(f"attach '{path}' as held (read_only)")
                    connection.execute(f"attach '{beside}' as fresh")
                    connection.execute("copy from database held to fresh")
                os.replace(beside, path)
                sync_directory(path.parent)
            except duckdb.Error as error:
                if "No space left" not in str(error):
                    raise
                raise SetupError(
                    "disk is full while writing the warehouse", "free some space and run it again"
                ) from error
            finally:
                for leftover in (beside, beside.with_name(f"{beside.name}.wal")):
                    leftover.unlink(missing_ok=True)

    def data_version(self) -> str:
        """Hash of what the marts were built from. Raises SetupError before the first build."""
        return str(self._build("data_version"))

    def data_through(self) -> date | None:
        """Last day with impressions in the marts, None without any. Raises SetupError before the first build."""
        through = self._build("data_through")
        return through if isinstance(through, date) else None

    def _build(self, column: str) -> Any:
        try:
            return self.read(f"select {column} from {BUILD}")[column][0].as_py()
        except duckdb.CatalogException:
            raise _not_built(self.settings) from None

    def _connect(self, read_only: bool) -> Any:
        """Open the file. A process that is not ours (a DuckDB shell, an orphaned dbt) may hold it: wait, then say so."""
        path = self.settings.warehouse
        if read_only and not path.exists():
            raise _not_built(self.settings)
        path.parent.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + self.settings.lock_seconds
        while True:
            try:
                return duckdb.connect(str(path), read_only=read_only)
            except duckdb.IOException as error:
                if "lock" not in str(error).lower():
                    raise SetupError(f"{path} does not open ({error})", "remove it and build it again") from error
                if time.monotonic() > deadline:
                    raise SetupError(f"another program holds {path}", "close it (a DuckDB shell, a dbt run)") from error
            time.sleep(POLL_SECONDS)


def _not_built(settings: Settings) -> SetupError:
    return SetupError(f"{settings.warehouse} is not built yet", "run adplatform demo, or materialize the dbt models")
