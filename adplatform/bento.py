"""What a Bento is made of: the code that answers and its default rules. Models come from the registry while it serves.

Its version is the hash of that code, so that the same code is the same Bento, and a new model needs none.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from adplatform.contracts.errors import SetupError
from adplatform.serve import AGENT_SERVICES
from adplatform.settings import REPOSITORY, Settings

SERVICES: Final = ("gateway", *AGENT_SERVICES)
CODE: Final = (
    "bentos",
    *(f"adplatform/{room}" for room in ("contracts", "stats", "creative", "targeting", "measurement", "delivery")),
    *(f"adplatform/{room}" for room in ("orchestrator", "store")),
    *(
        f"adplatform/{file}.py"
        for file in ("__init__", "assembly", "bento", "inputs", "processes", "serve", "settings")
    ),
)
"""What services may import (docs/architecture.md)."""
REQUIREMENTS: Final = "requirements.lock"


def code_files(root: Path = REPOSITORY) -> list[str]:
    """Files of a Bento, relative to the repository, in order."""

    def files(name: str) -> Iterator[Path]:
        path = root / name
        yield from [path] if path.is_file() else (p for p in path.rglob("*") if p.is_file())

    found = (p.relative_to(root) for name in (*CODE, REQUIREMENTS) for p in files(name))
    return sorted(p.as_posix() for p in found if "__pycache__" not in p.parts)


def code_version(root: Path = REPOSITORY) -> str:
    """First 16 hex digits of SHA-256 over the names and bytes of these files."""
    digest = hashlib.sha256()
    for name in code_files(root):
        content = (root / name).read_bytes()
        digest.update(f"{len(name)}:{name}:{len(content)}:".encode() + content)
    return digest.hexdigest()[:16]


def store(config: Settings) -> Path:
    """Where Bentos are kept: BENTOML_HOME, or the home's own."""
    return Path(os.environ.get("BENTOML_HOME", config.home / "bentoml"))


def build(config: Settings, service: str) -> str:
    """Build the Bento of a service, unless its code was built before; its tag. In a process of its own, for Dagster's
    has other versions of what BentoML sets globally. Raises SetupError.
    """
    env = {**os.environ, "ADPLATFORM_HOME": str(config.home), "BENTOML_HOME": str(store(config))}
    ran = subprocess.run(
        [sys.executable, "-m", "bentos.build", service], cwd=REPOSITORY, env=env, capture_output=True, text=True
    )
    if ran.returncode:
        raise SetupError(f"the {service} Bento was not built: {ran.stderr[-400:]}", "run python -m bentos.build")
    return ran.stdout.split()[-1]
