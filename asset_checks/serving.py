"""What the endpoints read says what the warehouse says, and knows nobody without consent."""

from datetime import UTC, date, datetime, time

import dagster as dg

from adplatform import asset_keys as keys
from adplatform.contracts.features import USER_FEATURES
from adplatform.partitions import ONLINE
from asset_checks.platform import state

MOST_USERS = 20_000
"""Users compared; evenly spaced where there are more."""
CREATIVES = 20
COUNTED = ("decisions", "compared", "lagged", "unknown", "skewed")


@dg.asset_check(asset=keys.USER_PROFILES, name="profiles_equal_the_marts", blocking=True)
def profiles_equal_the_marts() -> dg.AssetCheckResult:
    """Every profile as of the day after the data is bit for bit the row of user_features, with the mart's exposures."""
    from adplatform.store.profiles import Profiles

    platform = state()
    profiles = Profiles(platform.settings.profiles)
    profiles.refresh()
    day = profiles.as_of
    if day is None:
        return dg.AssetCheckResult(passed=False, description="no snapshot is published")
    read, columns = platform.warehouse.read, ", ".join(USER_FEATURES)
    features = {
        row.pop("user_id"): row
        for row in read(f"select user_id, {columns} from user_features where feature_day = ?", [day]).to_pylist()
    }
    exposures: dict[str, dict[str, int]] = {}
    for row in read("select * from user_creative_exposures where feature_day = ?", [day]).to_pylist():
        exposures.setdefault(row["user_id"], {})[row["creative_id"]] = row["creative_exposures_7d"]
    users = read("select user_id from dim_users order by 1")["user_id"].to_pylist()
    some = users[:: max(1, -(-len(users) // MOST_USERS))]
    unknown = dict.fromkeys(USER_FEATURES)
    wrong = []
    for user in some:
        found = profiles.get(user, datetime.combine(day, time(), UTC))
        if (
            found is None
            or {f: getattr(found, f) for f in USER_FEATURES} != features.get(user, unknown)
            or found.exposures != exposures.get(user, {})
        ):
            wrong.append(user)
    return dg.AssetCheckResult(
        passed=not wrong,
        metadata={"users": len(users), "compared": len(some), "different": len(wrong), "as_of": str(day)},
        description=f"{len(wrong)} profiles differ from the marts" if wrong else None,
    )


@dg.asset_check(asset=keys.USER_PROFILES, name="only_consenting_users", blocking=True)
def only_consenting_users() -> dg.AssetCheckResult:
    """The snapshot holds exactly the users whose consent is landed, and nobody else."""
    from adplatform.store.profile_snapshot import ProfileSnapshot
    from adplatform.store.snapshots import Snapshots

    platform = state()
    snapshots = Snapshots(platform.settings.profiles)
    pointed = snapshots.current()
    if pointed is None:
        return dg.AssetCheckResult(passed=False, description="no snapshot is published")
    held = set(ProfileSnapshot(snapshots.path(pointed.version), pointed.version).user_ids.to_pylist())
    users = platform.landing.read("users").to_pylist()
    consenting = {u["user_id"] for u in users if u["consent"]}
    return dg.AssetCheckResult(
        passed=held == consenting,
        metadata={"users": len(held), "without_consent": len(held - consenting), "missing": len(consenting - held)},
    )


@dg.asset_check(
    asset=keys.DECISION_LOG,
    name="served_features_equal_the_marts",
    partitions_def=ONLINE,
    additional_deps=["user_features", "user_creative_exposures"],
)
def no_skew(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Features that were decided on are bit for bit those of the marts, or, where something came in later, those recomputed
    from the snapshot with what had come until then; these are counted.
    """
    from adplatform.skew import skew_of

    found = {day: skew_of(state(), date.fromisoformat(day)) for day in context.partition_keys}
    known = [skew for skew in found.values() if skew]
    missing = sorted(day for day, skew in found.items() if skew is None)
    wrong = [f"{day}: {skew.first}" for day, skew in found.items() if skew and skew.skewed]
    gone = sum(skew.unknown for skew in known)
    waits = [f"{day}: build user_features to compare" for day in missing]
    if gone:
        waits.append(f"{gone} differ from the marts and their snapshot is gone: raise ADPLATFORM_KEEP_SNAPSHOTS")
    lags = [skew.lag for skew in known if skew.lag is not None]
    return dg.AssetCheckResult(
        passed=not wrong and not waits,
        severity=dg.AssetCheckSeverity.ERROR if wrong else dg.AssetCheckSeverity.WARN,
        metadata={
            **{name: sum(getattr(s, name) for s in known) for name in COUNTED},
            **({"largest_profile_lag_hours": max(lags).total_seconds() / 3600} if lags else {}),
        },
        description="; ".join([*wrong, *waits]) or None,
    )


@dg.asset_check(asset=keys.AGENT_SNAPSHOT, name="agents_answer_as_from_the_warehouse")
def same_answers() -> dg.AssetCheckResult:
    """Rankings and expectations of agents built from the snapshot equal, to the last bit, those from the warehouse."""
    from adplatform import assembly, batch, inputs, training
    from adplatform.contracts.measurement import PerformanceRequest
    from adplatform.contracts.targeting import RankRequest

    platform = state()
    found = inputs.published(platform.settings.snapshots)
    if found is None:
        return dg.AssetCheckResult(passed=False, description="no snapshot is published")
    _, served = found
    fresh = batch.agent_inputs(platform)
    some = tuple(training.creatives(platform)[:CREATIVES])
    answers = []
    for given in (served, fresh):
        said: list[object] = [given.labels, given.market]
        if given.targeting:
            model = assembly.response_model(platform.registry)
            agent = assembly.targeting_agent(given.targeting, model, platform.settings)
            ranking = agent.rank(RankRequest(creatives=some, limit=1000))
            said.append(ranking)
            if given.measurement:
                request = PerformanceRequest(creatives=some, combinations=ranking.scores, flight_days=14)
                said.append(assembly.measurement_agent(given.measurement).expect(request))
        answers.append(said)
    return dg.AssetCheckResult(
        passed=answers[0] == answers[1],
        metadata={"parts_compared": len(answers[0]), "creatives": len(some), "segments": len(served.labels.segments)},
        description=None if answers[0] == answers[1] else "materialize agent_snapshot again: the marts have moved on",
    )


def checks(present: frozenset[str]) -> list[dg.AssetChecksDefinition]:
    """Checks of what is published."""
    return [profiles_equal_the_marts, only_consenting_users, same_answers, no_skew]
