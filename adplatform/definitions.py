"""The composition root: loads defs/ and asset_checks/, nothing else."""

from __future__ import annotations

import warnings

import dagster as dg

# Partitioned checks and backfill policies are marked preview and beta; the pins of dagster's version make them safe.
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
warnings.filterwarnings("ignore", category=dg.BetaWarning)

import asset_checks  # noqa: E402
from adplatform import defs as shells  # noqa: E402

defs = dg.Definitions.merge(shells.definitions(), asset_checks.definitions())
