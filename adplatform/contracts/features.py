"""Model features: names, types and order, once, for the warehouse, the models and the endpoints."""

from __future__ import annotations

from typing import Final

CATEGORICAL: Final = (
    "audience",
    "age_band",
    "region",
    "device",
    "placement",
    "product_category",
    "tone",
    "appeal",
    "creative_id",
)
NUMERIC: Final = (
    "hour",
    "weekday",
    "position",
    "tenure_days",
    "user_impressions_7d",
    "user_clicks_7d",
    "user_clicks_28d",
    "user_conversions_28d",
    "user_days_since_click",
    "creative_exposures_7d",
)
FEATURES: Final = CATEGORICAL + NUMERIC
"""Columns of ``training_examples``, in the order every model takes them. Null where unknown or not consented."""
CREATIVE_FEATURES: Final = ("product_category", "tone", "appeal", "creative_id", "creative_exposures_7d")
"""Features of a candidate."""
CONTEXT_FEATURES: Final = tuple(name for name in FEATURES if name not in CREATIVE_FEATURES)
"""Features of the request and its user, the same for every candidate."""
USER_FEATURES: Final = (
    "tenure_days",
    "user_impressions_7d",
    "user_clicks_7d",
    "user_clicks_28d",
    "user_conversions_28d",
    "user_days_since_click",
)
"""Columns of ``user_features``: what was known of the user strictly before ``feature_day``."""
LABEL: Final = "clicked"
