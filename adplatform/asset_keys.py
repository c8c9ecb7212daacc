"""Every asset key once, so that checks never import asset functions.

Keys are one part long: what a data team reads in the UI. dbt models keep their model name.
"""

from __future__ import annotations

from typing import Final

LANDING_SNAPSHOTS: Final = ("users", "campaigns", "creatives_library", "experiments", "assignments")
LANDING_DAILY: Final = ("impressions", "clicks", "conversions")

DECISION_LOG: Final = "decision_log"
"""Daily, from the gateway; beside it land the impressions, clicks and conversions that followed."""

STAGING: Final = tuple(f"stg_{t}" for t in (*LANDING_SNAPSHOTS, *LANDING_DAILY, DECISION_LOG))
MARTS: Final = (
    "fct_impressions",
    "dim_users",
    "dim_segments",
    "dim_creatives",
    "user_features",
    "user_creative_exposures",
    "training_examples",
    "segment_performance",
    "campaign_daily",
    "experiment_daily",
    "feature_drift",
    "drift_statistics_daily",
    "reward_statistics_daily",
)

COPY_MODEL: Final = "copy_model"
CAMPAIGN_CREATIVES: Final = "campaign_creatives"

INTERACTION_FACTORS: Final = "interaction_factors"
RESPONSE_MODEL_CHALLENGER: Final = "response_model_challenger"
RESPONSE_MODEL_CHAMPION: Final = "response_model_champion"
BANDIT_POLICY_CHALLENGER: Final = "bandit_policy_challenger"
BANDIT_POLICY_CHAMPION: Final = "bandit_policy_champion"
POLICY_EVALUATION: Final = "policy_evaluation"
LOGGED_POLICY_VALUES: Final = "logged_policy_values"
SEGMENT_RANKINGS: Final = "segment_rankings"

LIFT_ESTIMATES: Final = "lift_estimates"
RESPONSE_CURVES: Final = "response_curves"
EXPECTED_PERFORMANCE: Final = "expected_performance"
EXPERIMENT_DECISIONS: Final = "experiment_decisions"

BUDGET_POLICY_CHALLENGER: Final = "budget_policy_challenger"
BUDGET_POLICY_CHAMPION: Final = "budget_policy_champion"
BUDGET_ALLOCATION: Final = "budget_allocation"
PACING_PLANS: Final = "pacing_plans"

CAMPAIGN_PLANS: Final = "campaign_plans"
MULTI_AGENT_VS_SINGLE_MODEL: Final = "multi_agent_vs_single_model"

USER_PROFILES: Final = "user_profiles"
AGENT_SNAPSHOT: Final = "agent_snapshot"
PUBLISHED: Final = (USER_PROFILES, AGENT_SNAPSHOT)
"""What the endpoints read."""

DRIFT_REPORT: Final = "drift_report"

AGENTS: Final = ("response_model", "bandit_policy", "budget_policy")
"""Agents with a challenger and a champion in the registry."""

PER_CAMPAIGN: Final = (CAMPAIGN_CREATIVES, SEGMENT_RANKINGS, CAMPAIGN_PLANS)
"""Assets with one partition for each campaign."""
