"""Daily partitions of behaviour data, and one partition for each campaign."""

from __future__ import annotations

import dagster as dg

from adplatform.settings import settings

DAILY = dg.DailyPartitionsDefinition(start_date=settings().first_day.isoformat(), timezone="UTC")
"""UTC days. Starts at the first day of the data set that was loaded (dataset.json)."""

ONLINE = dg.DailyPartitionsDefinition(start_date=settings().first_day.isoformat(), timezone="UTC", end_offset=1)
"""The same days and today: what was decided today can be landed today, and again tomorrow when the day is whole."""

CAMPAIGNS = dg.DynamicPartitionsDefinition(name="campaigns")
"""Campaigns with a brief; the ``campaigns`` asset keeps the keys."""
