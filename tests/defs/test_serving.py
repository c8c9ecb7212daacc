"""What the endpoints read: the same answers as from the warehouse, without opening it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from adplatform import assembly, batch
from adplatform.contracts.base import Interval
from adplatform.contracts.errors import AdPlatformError
from adplatform.contracts.features import CONTEXT_FEATURES
from adplatform.contracts.measurement import ArmCounts, ExperimentCounts
from adplatform.contracts.plan import CampaignPlan
from adplatform.contracts.targeting import CreativeAttributes, RankRequest
from adplatform.inputs import AgentInputs, Labels, Market, MeasurementInputs, TargetingInputs, publish, published
from adplatform.orchestrator.fallbacks import BaseRates
from adplatform.settings import Settings
from adplatform.state import State
from adplatform.store.profiles import Profiles
from adplatform.targeting.agent import Targeting
from adplatform.targeting.baseline import BaseRateModel
from adplatform.targeting.features import FeatureEncoder
from adplatform.targeting.ranking import CAUTIOUS, EXPECTED, add_expected_clicks, representative, shrinkage
from adplatform.targeting.request import features
from adplatform.training import creatives as library_of
from adplatform.training import examples as examples_of
from tests.homes import REPOSITORY, adplatform
from tests.targeting.world import World, creatives, examples, segments

SERVED = ("assembly", "inputs", "store.profiles", "store.snapshots", "store.registry", "store.documents", "settings")


def test_nothing_that_an_endpoint_loads_knows_the_warehouse_or_dagster() -> None:
    imports = ", ".join(f"adplatform.{name}" for name in SERVED)
    found = "print(sorted({'duckdb', 'dagster', 'adplatform.store.warehouse'} & set(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys, {imports}; {found}"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stdout.strip() == "[]"


def performance(table: pa.Table) -> pa.Table:
    sums = table.filter(pa.compute.is_valid(table["segment_id"])).group_by(["segment_id", "creative_id", "campaign_id"])
    rows = sums.aggregate([("clicked", "count"), ("clicked", "sum")]).rename_columns(
        ["segment_id", "creative_id", "campaign_id", "impressions", "clicks"]
    )
    for name in ("conversions", "conversion_value"):
        rows = rows.append_column(name, pa.nulls(rows.num_rows, pa.float64()))
    return rows.append_column("spend", pa.array([0.1 * n for n in rows["impressions"].to_pylist()]))


@pytest.fixture(scope="module")
def market() -> tuple[AgentInputs, BaseRateModel]:
    ads = creatives()
    table, _ = examples(World.make(3), ads, seed=4, rows=6000)
    model, plain = BaseRateModel.fit(table), performance(table)
    contexts = representative(table, seed=1).select([*CONTEXT_FEATURES, "segment_id", "user_id"])
    expected = add_expected_clicks(plain, table, model)
    arm = ArmCounts(arm="control", users=10, successes=1)
    experiment = ExperimentCounts(
        experiment_id="e1", control=arm, treatment=arm.model_copy(update={"arm": "treatment"}), as_of=date(2026, 3, 9)
    )
    known = tuple(segments())
    return AgentInputs(
        Labels(known, ("north", "south"), ("cooking",), {"Pan": "cooking"}),
        Market(
            BaseRates(0.05, Interval(low=0.04, high=0.06), 2.5, None, None, 700.0), (experiment,), "d1", "2026-03-09"
        ),
        TargetingInputs(model.version, known, expected, contexts, shrinkage(table, model)),
        MeasurementInputs(known, plain, tuple(ads), 6, None, 0.1 + 0.2, "d1"),
    ), model


def same(one: object, other: object) -> bool:
    """Equal in every field, tables in every value."""
    return all(
        a.equals(b) if isinstance(a, pa.Table) else a == b
        for a, b in ((getattr(one, f.name), getattr(other, f.name)) for f in fields(one))  # type: ignore[arg-type]
    )


def test_inputs_read_back_are_the_same_and_the_same_inputs_have_one_version(
    market: tuple[AgentInputs, BaseRateModel], tmp_path: Path
) -> None:
    given, _ = market
    first, again = publish(tmp_path, given, 3), publish(tmp_path, given, 3)
    found = published(tmp_path)
    assert found is not None
    assert found[0].version == first.version == again.version
    for name in ("labels", "market", "targeting", "measurement"):
        assert same(getattr(found[1], name), getattr(given, name))
    other = publish(tmp_path, replace(given, targeting=None), 3)
    assert other.version != first.version
    back = published(tmp_path)
    assert back is not None
    assert back[1].targeting is None


def test_a_damaged_snapshot_of_the_agents_is_refused(market: tuple[AgentInputs, BaseRateModel], tmp_path: Path) -> None:
    assert published(tmp_path) is None
    version = publish(tmp_path, market[0], 3).version
    (tmp_path / version / "market.json").write_text("{}")
    with pytest.raises(AdPlatformError, match="damaged"):
        published(tmp_path)


def test_a_model_promoted_since_answers_at_once_without_what_the_old_one_expected(
    market: tuple[AgentInputs, BaseRateModel],
) -> None:
    given, model = market
    assert given.targeting is not None
    newer = BaseRateModel(model.rate * 1.5, model.places, model.creatives, model.trained_through)
    request = RankRequest(creatives=tuple(creatives()[:3]), limit=50)
    known, fresh = (assembly.targeting_agent(given.targeting, m, Settings()).rank(request) for m in (model, newer))
    assert (known.model_version, fresh.model_version) == (model.version, newer.version)
    assert len(known.scores) == len(fresh.scores) > 0
    plain = given.targeting.performance.drop_columns(list(EXPECTED))
    alone = Targeting(newer, given.targeting.segments, plain, given.targeting.contexts, 20, CAUTIOUS)
    assert fresh == alone.rank(request)
    assert known.scores != fresh.scores


def stripped(plan: CampaignPlan) -> CampaignPlan:
    return plan.model_copy(update={"trace": tuple(s.model_copy(update={"seconds": 0.0}) for s in plan.trace)})


@pytest.mark.slow
def test_a_plan_from_the_snapshot_is_the_plan_from_the_warehouse(own_home: Path) -> None:
    ran = adplatform(own_home, "materialize", "key:user_profiles or key:agent_snapshot")
    assert (ran.code, ran.out) == (0, "")
    state = State(Settings(home=own_home))
    found = published(state.settings.snapshots)
    assert found is not None
    agents = (
        assembly.orchestrator(found[1], state.settings, state.registry, state.documents),
        batch.orchestrator(state),
    )
    assert all(a.creative and a.targeting and a.measurement and a.budget for a in agents)
    served, fresh = (replace(a, creative=None) for a in agents)  # it reads no snapshot, and words for a minute
    brief = assembly.brief_of(state.settings, min(p.stem for p in (own_home / "briefs").glob("*.yaml")))
    assert stripped(served.plan(brief, seed=5)) == stripped(fresh.plan(brief, seed=5))
    library = tuple(CreativeAttributes(**c.model_dump()) for c in found[1].measurement.library[:5])  # type: ignore[union-attr]
    request = RankRequest(creatives=library, limit=1000)
    assert served.targeting.rank(request) == fresh.targeting.rank(request)  # type: ignore[union-attr]
    users = {r["user_id"] for r in state.landing.read("users").to_pylist()}
    assert not users & set(found[1].targeting.contexts["user_id"].to_pylist())  # type: ignore[union-attr]


@pytest.mark.slow
def test_the_published_profiles_are_those_of_the_demos_mart(demo_home: Path, tmp_path: Path) -> None:
    from adplatform.publishing import publish_profiles

    state = State(Settings(home=demo_home, keep_snapshots=2))
    publish_profiles(state)
    profiles = Profiles(state.settings.profiles)
    assert profiles.refresh()
    assert profiles.as_of is not None
    day = profiles.as_of
    rows = state.warehouse.read("select * from user_features where feature_day = ?", [day]).to_pylist()
    assert len(rows) > 1000
    for row in rows:
        found = profiles.get(row["user_id"], datetime(day.year, day.month, day.day, 9, tzinfo=UTC))
        assert found is not None
        assert {name: getattr(found, name) for name in row if name not in ("user_id", "feature_day")} == {
            name: value for name, value in row.items() if name not in ("user_id", "feature_day")
        }


@pytest.mark.slow
def test_a_request_is_asked_with_the_features_that_its_impression_is_trained_on(demo_home: Path) -> None:
    """Online and batch features of 2,000 logged impressions: bit for bit, user by user, on the days the profiles tell."""
    from adplatform.publishing import publish_profiles

    state = State(Settings(home=demo_home, keep_snapshots=2))
    publish_profiles(state)
    profiles = Profiles(state.settings.profiles)
    profiles.refresh()
    assert profiles.as_of is not None
    rows = examples_of(state, "event_day >= ?", [profiles.as_of - timedelta(days=5)])
    rows = rows.take(np.random.default_rng(1).choice(rows.num_rows, 2000, replace=False))
    encoder = FeatureEncoder.fit(rows)
    library = {c.creative_id: c for c in library_of(state)}
    expected, personal = encoder.transform(rows), 0
    for i, row in enumerate(rows.to_pylist()):
        at = datetime.combine(row["event_day"], time(row["hour"], 30), UTC)
        profile = profiles.get(row["user_id"], at) if row["user_id"] else None
        personal += profile is not None
        request = features(profile, row["placement"], row["position"], at, [library[row["creative_id"]]])
        assert encoder.encode(request).tobytes() == expected[i : i + 1].tobytes(), row
    assert 500 < personal < 2000
