"""What the decision log holds against what has landed of it, after landings that were killed half-way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from adplatform.contracts.tables import TABLES
from adplatform.decisions import land_day, open_days
from adplatform.settings import REPOSITORY, Settings
from adplatform.state import State
from adplatform.store.decision_file import reading
from adplatform.store.decision_rows import LANDED

_ROWS: Final = {
    "decision_log": "select decision_id from decisions",
    "impressions": "select distinct decision_id from events join decisions using (decision_id) "
    "where kind in ('impression', 'click')",
    "clicks": "select event_id from events join decisions using (decision_id) where kind = 'click'",
    "conversions": "select event_id from events join decisions using (decision_id) "
    "where kind = 'conversion' and user_id is not null",
}
"""Ids that each landing table must have, once, of what is stored."""
_CHILD: Final = """
from adplatform.decisions import land_day, open_days
from adplatform.settings import settings
from adplatform.state import State
state = State(settings())
for day in open_days(state):
    land_day(state, day)
"""
CHILD_SECONDS: Final = 300.0
Ids = Mapping[str, Counter[str]]


def landed(home: Path) -> Ids:
    """Ids in each landing table that a day of the decision log becomes, with how often each is there."""
    landing = State(Settings(home=home)).landing
    return {name: Counter(landing.read(name)[TABLES[name].key].to_pylist()) for name in LANDED}


def land(home: Path) -> int:
    """Land every day, after landings that are killed (SIGKILL) as soon as the first, the second, the third table of a day has
    landed. How many of them were cut off between two tables.
    """
    cut = sum(_killed_after(home, name) for name in LANDED[:-1])
    state = State(Settings(home=home))
    for day in open_days(state):
        land_day(state, day)
    return cut


def _killed_after(home: Path, table: str) -> bool:
    """Start a landing and kill it once ``table`` has changed; whether a later table had not changed by then."""
    before = {name: _files(home, name) for name in LANDED}
    env = {**os.environ, "ADPLATFORM_HOME": str(home)}
    child = subprocess.Popen([sys.executable, "-c", _CHILD], env=env, cwd=REPOSITORY)
    deadline = time.monotonic() + CHILD_SECONDS
    while child.poll() is None and _files(home, table) == before[table] and time.monotonic() < deadline:
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    child.wait()
    later = LANDED[LANDED.index(table) + 1 :]
    return _files(home, table) != before[table] and any(_files(home, name) == before[name] for name in later)


def _files(home: Path, table: str) -> dict[str, int]:
    """Inode of each landed file: a file that is written anew has another."""
    return {path.name: path.stat().st_ino for path in (home / "landing" / table).glob("*.parquet")}


def wrong(home: Path, before: Ids) -> dict[str, int]:
    """Of each table, ids that are missing, or there twice, or of nothing that is stored, but for those there ``before``."""
    now = landed(home)
    with reading(home / "online" / "decisions.sqlite") as log:
        stored = {name: Counter(row[0] for row in log.execute(query)) for name, query in _ROWS.items()}
    found = {}
    for name in LANDED:
        new = now[name].copy()
        new.subtract(before[name])
        new.subtract(stored[name])
        found[name] = sum(abs(n) for n in new.values())
    return found
