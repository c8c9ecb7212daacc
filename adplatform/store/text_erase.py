"""Overwriting an id where it is only mentioned: in logs, documents and Dagster's own databases."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from adplatform.contracts.errors import SetupError
from adplatform.store.tokens import masked, names, pattern

SQLITE: Final = b"SQLite format 3\x00"
BUSY_SECONDS: Final = 30.0


def is_sqlite(path: Path) -> bool:
    """Whether the file is a SQLite database."""
    with path.open("rb") as handle:
        return handle.read(len(SQLITE)) == SQLITE


def mask_file(path: Path, word: str) -> int:
    """Overwrite the id in place, so that a process that appends to the file goes on; how often it was there."""
    content = path.read_bytes()
    found = [match.start() for match in pattern(word).finditer(content)]
    if found:
        with path.open("r+b") as handle:
            for start in found:
                handle.seek(start)
                handle.write(b"x" * len(word.encode()))
            handle.flush()
            os.fsync(handle.fileno())
    return len(found)


def mask_database(path: Path, word: str) -> int:
    """The same in every text of a SQLite database, whoever else has it open, and in its free pages; values that were changed.

    Raises SetupError where another process keeps it locked.
    """
    try:
        with closing(_opened(path)) as database:
            changed = 0
            for table, column in _columns(database):
                changed += database.execute(
                    f'update "{table}" set "{column}" = masked("{column}", ?1) where names("{column}", ?1)', (word,)
                ).rowcount
            if changed:
                database.execute("vacuum")
                database.execute("pragma wal_checkpoint(truncate)").fetchall()
            return changed
    except sqlite3.OperationalError as error:
        raise SetupError(f"{path}: {error}", "end adplatform dev, then run the command again") from error


def mentions(path: Path, word: str) -> int:
    """In how many values of a SQLite database the id is."""
    with closing(_opened(path)) as database:
        return sum(
            database.execute(f'select count(*) from "{table}" where names("{column}", ?)', (word,)).fetchone()[0]
            for table, column in _columns(database)
        )


def _opened(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    database.execute("pragma secure_delete = on")
    database.create_function("names", 2, lambda text, word: isinstance(text, str | bytes) and names(_bytes(text), word))
    database.create_function("masked", 2, _masked)
    return database


def _columns(database: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    tables = [
        r[0]
        for r in database.execute("select name from sqlite_master where type = 'table' and name not like 'sqlite_%'")
    ]
    for table in tables:
        for row in database.execute(f'pragma table_info("{table}")').fetchall():
            yield table, row[1]


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _masked(text: str | bytes, word: str) -> str | bytes:
    changed = masked(_bytes(text), word)
    return changed.decode() if isinstance(text, str) else changed
