"""What a market is made of: its scale, its seed, and the switches for what goes wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Final, Self

from adplatform.contracts.errors import InputError

AUDIENCES: Final = ("runners", "cooks", "travellers", "gamers", "makers", "parents", "investors", "musicians")
AGE_BANDS: Final = ("18-29", "30-44", "45-59", "60+")
REGIONS: Final = ("north", "south", "east", "west")
DEVICES: Final = ("mobile", "desktop")
PLACEMENTS: Final = ("feed", "banner", "story", "search")
FIRST_PRICE: Final = ("banner", "story")
"""Placements sold in first-price auctions; the others are sold in second-price ones."""
POSITIONS: Final = 4
CATEGORIES: Final = ("sports", "cooking", "travel", "gaming", "diy", "family", "finance", "music")
TONES: Final = ("playful", "premium", "urgent", "trusted")
APPEALS: Final = ("price", "quality", "convenience", "novelty")
GROUPS: Final = len(AUDIENCES) * len(AGE_BANDS)
TASTES: Final = len(TONES) + len(APPEALS) + len(CATEGORIES)
"""Columns of a taste: liking of each tone, each appeal, each product category."""
EXPOSURE_DAYS: Final = 7
"""Fatigue counts the exposures of this many days before the day itself."""
CONVERSION_DAYS: Final = 3
"""Longest delay from click to conversion."""
LOGGING_POLICY: Final = "logging-1"
SEGMENT_IDS: Final = tuple(f"{a}|{b}" for a in AUDIENCES for b in AGE_BANDS)

_SCALES: Final[dict[str, dict[str, Any]]] = {
    "tiny": {"users": 2_000, "impressions": 150_000, "campaigns": 6, "holdout_enrolled": 1.0, "ab_enrolled": 0.2},
    "small": {"users": 50_000, "impressions": 5_000_000, "campaigns": 8, "holdout_enrolled": 0.5, "ab_enrolled": 0.1},
    "medium": {
        "users": 1_000_000,
        "impressions": 100_000_000,
        "campaigns": 10,
        "holdout_enrolled": 0.1,
        "ab_enrolled": 0.02,
    },
}


@dataclass(frozen=True)
class MarketConfig:
    """Everything a market depends on; two markets of equal configs give the same bytes.

    ``impressions`` is the expected number over all ``days``. ``personal_share`` is the part of the variance of taste
    that the user's audience and age band do not explain. Raises InputError where a value is out of its range.
    """

    seed: int
    first_day: date
    users: int
    impressions: int
    campaigns: int
    scale: str = "custom"
    days: int = 14
    holdout_enrolled: float = 1.0
    """Share of users enrolled in each campaign's no-ad holdout."""
    ab_enrolled: float = 0.2
    """Share of users enrolled in each of a campaign's two creative tests."""
    mean_click_rate: float = 0.03
    personal_share: float = 1 / 3
    consent_share: float = 0.85
    fatigue: float = 0.15
    """A creative seen ``e`` times in the last seven days is clicked ``(1 + e) ** -fatigue`` times as often."""
    requests_per_user_day: float = 200.0
    """Ad requests of an average user in a day, which a plan's lines may bid on."""
    line_slots: int = 8
    """The ad server offers a request to one of so many line items, so a line sees this part of the requests."""

    def __post_init__(self) -> None:
        rules = (
            ("users", 64 <= self.users <= 1_000_000, "take 64 to 1,000,000 users"),
            ("impressions", 100 <= self.impressions <= 9_000_000 * self.days, "take 100 to 9,000,000 a day"),
            ("campaigns", 1 <= self.campaigns <= 24, "take 1 to 24 campaigns"),
            ("days", 1 <= self.days <= 366, "take 1 to 366 days"),
            ("seed", self.seed >= 0, "take a seed from 0"),
            ("mean_click_rate", 0.001 <= self.mean_click_rate <= 0.2, "take 0.001 to 0.2"),
            ("personal_share", 0.0 <= self.personal_share < 1.0, "take 0 up to, not including, 1"),
            ("consent_share", 0.05 <= self.consent_share <= 1.0, "take 0.05 to 1"),
            ("fatigue", 0.0 <= self.fatigue < 1.0, "take 0 up to, not including, 1: rewards are concave below 1"),
            ("holdout_enrolled", 0.0 < self.holdout_enrolled <= 1.0, "take a share above 0"),
            ("ab_enrolled", 0.0 < self.ab_enrolled <= 0.4, "take a share above 0 and at most 0.4"),
        )
        for name, kept, mend in rules:
            if not kept:
                raise InputError(f"MarketConfig.{name}", f"{getattr(self, name)!r} is out of range", mend)

    @classmethod
    def at_scale(cls, scale: str, *, seed: int = 1, first_day: date = date(2026, 3, 2), **overrides: Any) -> Self:
        """The config named ``tiny``, ``small`` or ``medium``. The default fortnight holds a change of American clocks."""
        if scale not in _SCALES:
            raise InputError("scale", f"unknown scale {scale!r}", f"take one of {', '.join(_SCALES)}")
        unknown = sorted(set(overrides) - set(cls.__dataclass_fields__))
        if unknown:
            raise InputError(
                "MarketConfig", f"no field {unknown[0]!r}", f"take one of {', '.join(cls.__dataclass_fields__)}"
            )
        return replace(cls(scale=scale, seed=seed, first_day=first_day, **_SCALES[scale]), **overrides)

    @property
    def last_day(self) -> date:
        """Last day with events."""
        return self.first_day + timedelta(days=self.days - 1)


@dataclass(frozen=True)
class Faults:
    """What goes wrong. Everything not named stays, byte for byte, as in the market without faults.

    taste_drift_from: from this day groups like what other groups liked: the same features mean other rates.
    traffic_drift_from: from this day mobile users, gamers and stories bring far more of the traffic.
    late_share: this share of events arrives one or two days after it occurred (a click never before its impression).
    duplicate_share: this share of rows arrives twice in its file, equal in every column.
    unit_change_day: from this day prices are in hundredths (``price`` x 100).
    missing_column: (table, column, day): that day's file lacks the column.
    flipped_labels: (day, share): for this share of that day's impressions click and no click are swapped.
    """

    taste_drift_from: date | None = None
    traffic_drift_from: date | None = None
    late_share: float = 0.0
    duplicate_share: float = 0.0
    unit_change_day: date | None = None
    missing_column: tuple[str, str, date] | None = None
    flipped_labels: tuple[date, float] | None = None

    def __post_init__(self) -> None:
        shares = {"late_share": self.late_share, "duplicate_share": self.duplicate_share}
        if self.flipped_labels is not None:
            shares["flipped_labels"] = self.flipped_labels[1]
        for name, share in shares.items():
            if not 0.0 <= share <= 1.0:
                raise InputError(f"Faults.{name}", f"{share!r} is not a share", "take 0 to 1")
        if self.missing_column is not None and self.missing_column[0] not in ("impressions", "clicks", "conversions"):
            raise InputError(
                "Faults.missing_column",
                f"no daily table {self.missing_column[0]!r}",
                "take impressions, clicks or conversions",
            )
