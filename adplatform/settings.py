"""Paths, thresholds, seeds and secrets, from the environment (prefix ``ADPLATFORM_``)."""

from __future__ import annotations

import json
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

REPOSITORY = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Everything that may be set from outside. Defaults run the whole product on one machine."""

    model_config = SettingsConfigDict(env_prefix="ADPLATFORM_", extra="ignore")

    home: Path = Field(default=REPOSITORY / ".adplatform", description="Where all state lives.")
    seed: int = Field(default=20261101, ge=0, lt=2**63, description="Seed of every random draw that is not given one.")
    attribution_days: int = Field(
        default=3, ge=1, le=90, description="A conversion counts for an impression this many days."
    )
    minimum_segment_users: int = Field(default=20, ge=2, description="Smaller segments are never returned.")
    lateness_hours: float = Field(default=1.0, ge=0, description="A timestamp further ahead than this is refused.")
    lock_seconds: float = Field(default=60.0, gt=0, description="How long a writer waits for the warehouse.")
    agent_seconds: float = Field(
        default=5.0, gt=0, description="How long the orchestrator waits for an agent's answer."
    )
    creative_seconds: float = Field(default=5.0, gt=0, description="The same for the creative agent's kept texts.")
    copy_seconds: float = Field(default=120.0, gt=0, description="How long a plan may wait for new texts first.")
    cost_per_mille: float | None = Field(
        default=None, gt=0, description="What a thousand impressions cost, where the data has no prices."
    )
    currency: str | None = Field(
        default=None, pattern=r"^[A-Z]{3}$", description="Currency of a sentence that names none."
    )
    keep_snapshots: int = Field(
        default=3, ge=1, description="So many published user profiles and agent snapshots are kept."
    )
    drift_budget: float = Field(
        default=0.003, gt=0, lt=0.5, description="Chance that a day without drift alarms, over all statistics."
    )
    retrain_cost: float = Field(default=5.0, ge=0, description="What a training and its review cost, in currency.")
    retrain_horizon_days: float = Field(
        default=28.0, gt=0, description="How long a retrained model is expected to pay, in days."
    )
    retrains_per_week: int = Field(default=2, ge=0, description="Drift starts at most so many trainings in 7 days.")
    click_value: float = Field(
        default=0.25, ge=0, description="What a click is worth, in currency, where the data has no conversion values."
    )
    automation: bool = Field(default=True, description="Whether declarative automation runs by default.")
    language_model: str = Field(default="packaged", description="'packaged' (SmolLM2), a local path, or a hub name.")
    embedding_model: str = Field(default="packaged", description="'packaged' (MiniLM), a local path, or a hub name.")
    dbt_threads: int = Field(default=2, ge=1)
    workers: int = Field(default=1, ge=1, description="Worker processes of the gateway.")
    body_limit_bytes: int = Field(default=1 << 20, ge=1024, description="Larger bodies are refused.")
    deadline_ms: float = Field(default=1000, gt=0, description="A request is answered within this, or not at all.")
    slow_deadline_ms: float = Field(default=180_000, gt=0, le=600_000, description="The same for plans and creatives.")
    key_requests_per_second: float | None = Field(
        default=None, gt=0, description="Requests a second of one key in one worker; more are refused with 429."
    )
    concurrency: int = Field(default=64, ge=1, description="Requests in progress in one worker.")
    queue: int = Field(default=64, ge=0, description="Requests that may wait for a place; more are refused with 503.")
    queue_ms: float = Field(default=20, gt=0, description="How long they wait.")
    turn_requests: int = Field(default=16, ge=1, description="Requests that one turn of a worker's loop takes on.")
    body_seconds: float = Field(default=5, gt=0, description="A body that is not whole by then is refused.")
    drain_ms: float = Field(default=500, ge=0, description="After SIGTERM not ready for so long, then no new requests.")
    agent_port: int = Field(default=3101, description="First of the three loopback ports of the agents' services.")
    service_key: SecretStr | None = Field(default=None, description="Key with which the gateway calls them.")
    horizon_hours: float = Field(default=72, gt=0, description="How long an event waits for its decision.")
    keep_decision_days: int = Field(default=30, ge=1, description="Landed decisions stay in the log this many days.")
    keep_answer_days: float = Field(
        default=7, gt=0, description="An idempotency key is remembered this many days, until the log is compacted."
    )
    due_hours: float = Field(default=3, ge=0, description="A day's data is expected so many hours after its end.")
    webhook_url: SecretStr | None = Field(default=None, description="Where alerts are posted, if anywhere.")
    webhook_form: Literal["generic", "slack"] = Field(default="generic", description="Form of what is posted there.")
    smtp_host: str | None = Field(default=None, description="Server that alerts are mailed through, if any.")
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_from: str | None = Field(default=None, description="Sender of alerts.")
    smtp_to: str | None = Field(default=None, description="Who gets them; commas between several.")
    smtp_user: str | None = Field(default=None, description="For servers that ask who sends.")
    smtp_password: SecretStr | None = Field(default=None, description="The user's password.")
    smtp_starttls: bool = Field(default=True, description="Whether the connection must be encrypted.")
    alert_repeat_hours: float = Field(default=24, gt=0, description="An open alert is told again after this.")
    disk_reserve_mb: float = Field(default=512, ge=0, description="Less free disk space than this is an alert.")

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()  # dbt would read a relative path from its own project

    @cached_property
    def landing(self) -> Path:
        """Landing zone: one Parquet file for each table and day."""
        return self.home / "landing"

    @cached_property
    def warehouse(self) -> Path:
        """The DuckDB file that dbt builds."""
        return self.home / "warehouse.duckdb"

    @cached_property
    def lock(self) -> Path:
        """The file lock that keeps writers of landing zone and warehouse apart."""
        return self.home / "warehouse.lock"

    @cached_property
    def models(self) -> Path:
        """The model registry."""
        return self.home / "models"

    @cached_property
    def reports(self) -> Path:
        """Reports; ``reports/latest`` is the last run's."""
        return self.home / "reports"

    @cached_property
    def profiles(self) -> Path:
        """Published user profiles."""
        return self.home / "profiles"

    @cached_property
    def snapshots(self) -> Path:
        """Published inputs of the agents."""
        return self.home / "snapshots"

    @cached_property
    def keys(self) -> Path:
        """Keys of callers, hashed."""
        return self.home / "keys.json"

    @cached_property
    def decisions(self) -> Path:
        """The decision log of the gateway."""
        return self.home / "online" / "decisions.sqlite"

    @property
    def alert_channels(self) -> tuple[str, ...]:
        """Channels that alerts are sent to, beside the log."""
        named = {"webhook": self.webhook_url, "smtp": self.smtp_host}
        return tuple(name for name, value in named.items() if value)

    @cached_property
    def dagster_home(self) -> Path:
        """Dagster's own state."""
        return self.home / "dagster"

    @cached_property
    def dataset(self) -> dict[str, Any]:
        """What ``adplatform demo`` loaded (name, scale, seed, first and last day), {} before."""
        path = self.home / "dataset.json"
        return json.loads(path.read_text()) if path.exists() else {}

    @property
    def first_day(self) -> date:
        """First daily partition."""
        return date.fromisoformat(self.dataset.get("first_day", "2026-01-01"))


def settings() -> Settings:
    """The settings as the environment has them now."""
    return Settings()
