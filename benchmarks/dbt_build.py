"""One dbt process over any landing zone and warehouse file, for claims, benchmarks and tests."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from adplatform.contracts.errors import AdPlatformError, SetupError
from adplatform.settings import REPOSITORY

PROJECT = REPOSITORY / "dbt_project"


def dbt(
    *arguments: str, landing: Path, warehouse: Path, scratch: Path, attribution_days: int = 3, threads: int = 2
) -> float:
    """Run ``dbt *arguments`` and return its wall seconds.

    ``scratch`` takes target and logs; giving it again saves a full parse. Raises AdPlatformError with the end of dbt's
    output when a model or a blocking test fails, SetupError when dbt is not installed beside this Python.
    """
    program = Path(sys.executable).with_name("dbt")
    if not program.exists():
        raise SetupError(f"{program} is missing", "install the project: make install")
    environment = {
        **os.environ,
        "DBT_ADPLATFORM_WAREHOUSE": str(warehouse),
        "DBT_ADPLATFORM_LANDING": str(landing),
        "DBT_ADPLATFORM_ATTRIBUTION_DAYS": str(attribution_days),
        "DBT_ADPLATFORM_THREADS": str(threads),
        "DBT_TARGET_PATH": str(scratch / "target"),
        "DBT_LOG_PATH": str(scratch / "logs"),
    }
    command = [str(program), *arguments, "--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        end = "\n".join((done.stdout + done.stderr).splitlines()[-40:])
        raise AdPlatformError(f"dbt {' '.join(arguments)} failed:\n{end}")
    return seconds
