"""Plant known faults, one at a time, in a copy of the checkout; each must make the named tests fail.

A fault that no test notices is a hole in the tests, and so is a fault whose text is no longer found.
``python -m tests.mutate [NAME ...]``
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Mutation(NamedTuple):
    """Replace ``old`` by ``new`` in ``file``; ``tests`` must then fail, and must pass without it."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTATIONS: tuple[Mutation, ...] = (
    Mutation(
        "the as-of condition is removed",
        "dbt_project/macros/time.sql",
        "({{ day }} < {{ feature_day }}{% if",
        "(true{% if",
        ("tests/dbt/test_promises.py::test_the_future_changes_no_feature",),
    ),
    Mutation(
        "the propensity is replaced by its inverse",
        "adplatform/targeting/evaluation.py",
        "mine[pick, at] / propensity[rows]",
        "mine[pick, at] * propensity[rows]",
        ("tests/targeting/test_evaluation.py",),
    ),
    Mutation(
        "the promotion gate is always true",
        "adplatform/promotion.py",
        "if verdict.passed and verdict.challenger != verdict.champion:",
        "if verdict.challenger:",
        ("tests/defs/test_promotion.py",),
    ),
    Mutation(
        "the consent filter is dropped",
        "dbt_project/models/intermediate/int_consenting_users.sql",
        "    where consent\n",
        "",
        ("tests/dbt/test_promises.py::test_no_table_knows_a_user_without_consent",),
    ),
    Mutation(
        "the file lock is skipped",
        "adplatform/store/lock.py",
        "            lock.acquire(timeout=timeout)\n",
        "            pass\n",
        ("tests/store/test_two_processes.py",),
    ),
)


def copy(target: Path) -> None:
    """The files that git knows or would add, as they are now."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)


def passes(folder: Path, tests: tuple[str, ...]) -> bool:
    """Whether the tests pass on the code in ``folder`` (its own packages come first on the path)."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:randomly", *tests]
    environment = {**os.environ, "PYTHONPATH": str(folder), "ADPLATFORM_HOME": str(folder / "home")}
    found = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if found.returncode not in (0, 1):
        raise SystemExit(f"pytest could not run {' '.join(tests)}:\n{found.stdout[-3000:]}{found.stderr[-2000:]}")
    return found.returncode == 0


def main(names: list[str]) -> int:
    """Run all (or the named) mutations; 0 when every one was caught."""
    chosen = [m for m in MUTATIONS if not names or m.name in names]
    missed = [] if chosen else ["no mutation of that name"]
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder)
        copy(copied)
        everything = tuple(dict.fromkeys(t for m in chosen for t in m.tests))
        if not passes(copied, everything):
            raise SystemExit("the tests fail without any mutation; mend them first")
        for mutation in chosen:
            path = copied / mutation.file
            text = path.read_text()
            if text.count(mutation.old) != 1:
                missed.append(f"{mutation.name}: its text stands {text.count(mutation.old)} times in {mutation.file}")
                continue
            path.write_text(text.replace(mutation.old, mutation.new))
            caught = not passes(copied, mutation.tests)
            path.write_text(text)
            print(f"{'caught' if caught else 'MISSED'}: {mutation.name}", flush=True)
            if not caught:
                missed.append(f"{mutation.name}: {' '.join(mutation.tests)} still pass")
    print(f"{len(chosen) - len(missed)} passed, {len(missed)} failed")
    for line in missed:
        print(line, file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
