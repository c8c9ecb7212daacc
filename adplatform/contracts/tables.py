"""The landing tables: columns, types, ranges and references. One definition for files, checks and docs."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from adplatform.contracts.base import MOST_PEOPLE


class Kind(StrEnum):
    """Type of a landing column. TIMESTAMP is UTC with microseconds; DATE is ISO."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    DATE = "date"


class Column(NamedTuple):
    """One column. ``low`` and ``high`` are inclusive; ``references`` is ``table.column``."""

    name: str
    kind: Kind
    description: str
    nullable: bool = False
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    references: str | None = None


class Table(NamedTuple):
    """A landing table. ``day_of`` is the timestamp whose UTC day partitions it; None for a snapshot."""

    name: str
    key: str
    day_of: str | None
    description: str
    columns: tuple[Column, ...]

    @property
    def daily(self) -> bool:
        """Whether rows live in day partitions (events) or the table is one snapshot (entities)."""
        return self.day_of is not None

    def column(self, name: str) -> Column:
        """The column of that name; KeyError if there is none."""
        return {c.name: c for c in self.columns}[name]

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(c.name for c in self.columns)


S, INT, N, B, T, D = Kind.STRING, Kind.INTEGER, Kind.NUMBER, Kind.BOOLEAN, Kind.TIMESTAMP, Kind.DATE

USERS: Final = Table(
    "users",
    "user_id",
    None,
    "One row per person known to the advertiser.",
    (
        Column("user_id", S, "Id of the person."),
        Column("registered_at", T, "When the person was first known."),
        Column("consent", B, "Whether personal data may be used for advertising now."),
        Column("audience", S, "Label of the audience the person belongs to, as its provider names it.", True),
        Column("age_band", S, "Age band.", True),
        Column("region", S, "Region of residence.", True),
        Column("device", S, "Main device.", True),
    ),
)
CAMPAIGNS: Final = Table(
    "campaigns",
    "campaign_id",
    None,
    "One row per campaign.",
    (
        Column("campaign_id", S, "Id of the campaign."),
        Column("product_id", S, "Id of the product advertised."),
        Column("product_name", S, "Name of the product."),
        Column("product_category", S, "Category of the product.", True),
        Column("objective", S, "What the campaign is paid to bring.", choices=("clicks", "conversions")),
        Column("daily_budget", N, "Most to spend in a budget day, in currency.", True, low=0.01),
        Column("target_cost", N, "Most that one click or conversion may cost on average.", True, low=0.0001),
        Column("currency", S, "ISO 4217 code.", True),
        Column("timezone", S, "IANA zone in which budget days are counted."),
        Column("starts_on", D, "First day on air in the campaign's zone."),
        Column("ends_on", D, "Last day on air in the campaign's zone."),
    ),
)
CREATIVES: Final = Table(
    "creatives_library",
    "creative_id",
    None,
    "One row per creative.",
    (
        Column("creative_id", S, "Id of the creative."),
        Column("campaign_id", S, "Campaign the creative belongs to.", references="campaigns.campaign_id"),
        Column("headline", S, "Headline of the copy.", True),
        Column("tone", S, "How the copy speaks.", True, choices=("playful", "premium", "urgent", "trusted")),
        Column("appeal", S, "What the copy argues with.", True, choices=("price", "quality", "convenience", "novelty")),
    ),
)
EXPERIMENTS: Final = Table(
    "experiments",
    "experiment_id",
    None,
    "One row per randomized experiment.",
    (
        Column("experiment_id", S, "Id of the experiment."),
        Column("campaign_id", S, "Campaign it runs in.", references="campaigns.campaign_id"),
        Column("kind", S, "Creative A/B, or ads against none.", choices=("creative_ab", "holdout")),
        Column("metric", S, "What counts as a user's success.", choices=("click", "conversion")),
        Column(
            "control_creative_id",
            S,
            "Creative of the control arm; null in a holdout.",
            True,
            references="creatives_library.creative_id",
        ),
        Column(
            "treatment_creative_id",
            S,
            "Creative of the treatment arm; null in a holdout.",
            True,
            references="creatives_library.creative_id",
        ),
        Column("treatment_share", N, "Designed share of users in treatment.", low=0.01, high=0.99),
        Column("designed_users", INT, "Users in both arms that the design asked for.", True, low=2, high=MOST_PEOPLE),
        Column("starts_on", D, "First day, UTC."),
        Column("ends_on", D, "Last day, UTC."),
    ),
)
ASSIGNMENTS: Final = Table(
    "assignments",
    "assignment_id",
    None,
    "One row per user and experiment.",
    (
        Column("assignment_id", S, "Id of the assignment."),
        Column("experiment_id", S, "Experiment.", references="experiments.experiment_id"),
        Column("user_id", S, "User assigned.", references="users.user_id"),
        Column("arm", S, "Arm the user was given.", choices=("control", "treatment")),
        Column("assigned_at", T, "When."),
    ),
)
IMPRESSIONS: Final = Table(
    "impressions",
    "impression_id",
    "occurred_at",
    "One row per ad shown.",
    (
        Column("impression_id", S, "Id of the impression."),
        Column("user_id", S, "Who saw it; null where nobody was known.", True, references="users.user_id"),
        Column("campaign_id", S, "Campaign that won the slot.", references="campaigns.campaign_id"),
        Column("creative_id", S, "Creative shown.", references="creatives_library.creative_id"),
        Column("occurred_at", T, "When it was shown."),
        Column("placement", S, "Where on the page or app.", True),
        Column("position", INT, "Slot within the placement, from 1.", low=1, high=100),
        Column("policy_version", S, "Policy that chose the creative."),
        Column("propensity", N, "Probability with which that policy chose this creative.", low=1e-9, high=1.0),
        Column(
            "experiment_id",
            S,
            "Experiment that fixed the creative, if one did.",
            True,
            references="experiments.experiment_id",
        ),
        Column("arm", S, "Arm of that experiment.", True, choices=("control", "treatment")),
        Column("bid", N, "Bid, in currency per impression.", True, low=0.0, high=10.0),
        Column("price", N, "Price paid, in currency per impression.", True, low=0.0, high=10.0),
    ),
)
CLICKS: Final = Table(
    "clicks",
    "click_id",
    "occurred_at",
    "One row per click.",
    (
        Column("click_id", S, "Id of the click."),
        Column("impression_id", S, "Impression clicked.", references="impressions.impression_id"),
        Column("occurred_at", T, "When."),
    ),
)
CONVERSIONS: Final = Table(
    "conversions",
    "conversion_id",
    "occurred_at",
    "One row per purchase, advertised or organic.",
    (
        Column("conversion_id", S, "Id of the conversion."),
        Column("user_id", S, "Who bought.", references="users.user_id"),
        Column("product_id", S, "Product bought.", references="campaigns.product_id"),
        Column("occurred_at", T, "When."),
        Column("value", N, "Value in currency.", low=0.0, high=100000.0),
    ),
)
DECISION_LOG: Final = Table(
    "decision_log",
    "decision_id",
    "decided_at",
    "One row per decision that the gateway answered, with what it takes to compute it again.",
    (
        Column("decision_id", S, "Id of the decision."),
        Column("decided_at", T, "When."),
        Column("user_id", S, "For whom; null where nobody was known or consent was withheld.", True),
        Column("creative_id", S, "Creative chosen.", references="creatives_library.creative_id"),
        Column("placement", S, "Where on the page or app.", True),
        Column("position", INT, "Slot within the placement, from 1.", True, low=1, high=100),
        Column("policy_version", S, "Policy that chose."),
        Column("propensity", N, "Probability with which it chose this creative.", low=1e-9, high=1.0),
        Column("profile_version", S, "Snapshot of user profiles that features came from.", True),
        Column("candidates", S, "Ids of the candidates, a JSON list."),
        Column("probabilities", S, "Probability of each candidate, a JSON list."),
        Column("context", S, "Features of request and user as they were served, a JSON object."),
        Column("exposures", S, "creative_exposures_7d of each candidate as it was served, a JSON list."),
        Column("shadow_version", S, "Challenger that ran in shadow on this decision, if one did.", True),
        Column("shadow_probabilities", S, "Its probability of each candidate, a JSON list.", True),
    ),
)

TABLES: Final = {
    t.name: t
    for t in (
        USERS,
        CAMPAIGNS,
        CREATIVES,
        EXPERIMENTS,
        ASSIGNMENTS,
        IMPRESSIONS,
        CLICKS,
        CONVERSIONS,
        DECISION_LOG,
    )
}
"""Every landing table, in an order in which references can be checked."""
