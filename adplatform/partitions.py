"""Daily partitions of behaviour data, and one partition for each campaign."""

from __future__ import annotations

import dagster as dg

from adplatform.settings import settings

DAILY = dg.DailyPartitionsDefinition(start_date=settings().first_day.isoformat(), timezone="UTC")
"""UTC days. Starts at the first day of the data set that was loaded (dataset.json)."""

CAMPAIGNS = dg.DynamicPartitionsDefinition(name="campaigns")
"""Campaigns with a brief; the ``campaigns`` asset keeps the keys."""
