"""The composition root: loads defs/ and asset_checks/, nothing else."""

from __future__ import annotations

import dagster as dg

import asset_checks
from adplatform import defs as shells

defs = dg.Definitions.merge(shells.definitions(), asset_checks.definitions())
