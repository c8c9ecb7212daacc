"""What the endpoints read, published: user profiles, and the inputs of the agents; and the Bentos that read it."""

from datetime import timedelta
from typing import Any

import dagster as dg

from adplatform import asset_keys as keys
from adplatform import batch, bento, inputs, publishing
from adplatform.defs.automation import READY
from adplatform.defs.resources import OWNERS, Platform
from adplatform.store.profile_snapshot import ProfileSnapshot
from adplatform.store.snapshots import Pointed, Snapshots

DAILY_FRESH = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=48), warn_window=timedelta(hours=30))
COMMON: dict[str, Any] = {
    "group_name": "serving",
    "owners": OWNERS,
    "automation_condition": READY,
    "freshness_policy": DAILY_FRESH,
}


def _result(pointed: Pointed, snapshots: Snapshots, rows: int, **shown: Any) -> dg.MaterializeResult:
    held: dict[str, Any] = {
        "version": pointed.version,
        "kept_versions": len(snapshots.versions()),
        "dagster/row_count": rows,
    }
    return dg.MaterializeResult(metadata={**held, **shown}, data_version=dg.DataVersion(pointed.version))


@dg.asset(
    **COMMON,
    deps=["dim_users", "user_features", "user_creative_exposures", "fct_impressions", "stg_conversions"],
    kinds={"parquet", "python"}, name=keys.USER_PROFILES,
)  # fmt: skip
def user_profiles(platform: Platform) -> dg.MaterializeResult:
    """Consenting users with their daily counts, an immutable snapshot that endpoints load and keep fresh by events."""
    config = platform.state.settings
    pointed, snapshots = publishing.publish_profiles(platform.state), Snapshots(config.profiles)
    snapshot = ProfileSnapshot(snapshots.path(pointed.version), pointed.version)
    return _result(
        pointed, snapshots, snapshot.manifest.users, as_of=snapshot.manifest.as_of.isoformat(),
        data_version=snapshot.manifest.data_version, bytes_in_memory=snapshot.nbytes,
    )  # fmt: skip


@dg.asset(
    **COMMON,
    deps=[
        keys.RESPONSE_MODEL_CHAMPION, "training_examples", "segment_performance", "dim_segments", "dim_users",
        "dim_creatives", "experiment_daily",
    ],
    kinds={"parquet", "python"}, name=keys.AGENT_SNAPSHOT,
)  # fmt: skip
def agent_snapshot(platform: Platform) -> dg.MaterializeResult:
    """What the agents are built from: segments, performance, contexts, rates and labels, as endpoints load it."""
    state = platform.state
    found = batch.agent_inputs(state)
    pointed = inputs.publish(state.settings.snapshots, found, state.settings.keep_snapshots)
    return _result(
        pointed, Snapshots(state.settings.snapshots), len(found.labels.segments),
        response_model=found.targeting.model_version if found.targeting else "cannot be built, see the log",
        measurement=f"{found.measurement.days} matured days" if found.measurement else "cannot be built, see the log",
        data_version=found.market.data_version, data_through=found.market.data_through or "no data",
    )  # fmt: skip


def _bento(service: str, version: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=f"{service}_bento", group_name="serving", owners=OWNERS, kinds={"bentoml", "python"},
        description=f"The {service} service as a Bento: code, contract and default rules. Built anew when its code changes.",
        code_version=version, automation_condition=dg.AutomationCondition.code_version_changed(),
    )  # fmt: skip
    def built(platform: Platform) -> dg.MaterializeResult:
        tag = bento.build(platform.state.settings, service)
        shown = {"tag": tag, "serve": f"bentoml serve {tag}", "store": str(bento.store(platform.state.settings))}
        return dg.MaterializeResult(metadata=shown, data_version=dg.DataVersion(tag))

    return built


def assets(present: frozenset[str]) -> list[dg.AssetsDefinition]:
    """Any data set with impressions and users has them."""
    version = bento.code_version()
    return [user_profiles, agent_snapshot, *(_bento(service, version) for service in bento.SERVICES)]
