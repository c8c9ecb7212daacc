"""The Open Bandit sample as landing tables: every round once, with its exact propensity."""

from __future__ import annotations

import csv
import importlib.util
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from adplatform.contracts.errors import SetupError
from adplatform.settings import Settings
from adplatform.store import open_bandit
from adplatform.store.landing import Landing
from adplatform.store.open_bandit import CAMPAIGNS, POLICIES, data_directory, landing_tables

REPOSITORY = Path(__file__).resolve().parents[2]
installed = pytest.mark.skipif(
    importlib.util.find_spec("obp") is None, reason="obp is not installed (extra open-bandit)"
)


@pytest.fixture(scope="module")
def tables() -> dict[str, pa.Table]:
    return landing_tables()


@installed
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_every_round_is_one_impression_as_the_file_has_it(
    tables: dict[str, pa.Table], policy: str, campaign: str
) -> None:
    with (data_directory() / policy / campaign / f"{campaign}.csv").open() as handle:
        rounds = list(csv.DictReader(handle))
    shown = tables["impressions"]
    shown = shown.filter(pc.and_(pc.equal(shown["policy_version"], policy), pc.equal(shown["campaign_id"], campaign)))
    assert shown["propensity"].to_pylist() == [float(r["propensity_score"]) for r in rounds]
    assert shown["creative_id"].to_pylist() == [f"{campaign}-{r['item_id']}" for r in rounds]
    assert shown["position"].to_pylist() == [int(r["position"]) for r in rounds]
    stamps = [t.strftime("%Y-%m-%d %H:%M:%S.%f+00:00") for t in shown["occurred_at"].to_pylist()]
    assert stamps == [r["timestamp"] for r in rounds]
    clicked = set(tables["clicks"]["impression_id"].to_pylist())
    assert [int(i in clicked) for i in shown["impression_id"].to_pylist()] == [int(r["click"]) for r in rounds]


@installed
def test_the_uniform_policy_shows_each_item_with_the_same_probability(tables: dict[str, pa.Table]) -> None:
    for campaign, items in zip(CAMPAIGNS, (80, 34, 46), strict=True):
        shown = tables["impressions"]
        mask = pc.and_(pc.equal(shown["policy_version"], "random"), pc.equal(shown["campaign_id"], campaign))
        assert set(shown.filter(mask)["propensity"].to_pylist()) == {1 / items}
        assert pc.sum(pc.equal(tables["creatives_library"]["campaign_id"], campaign)).as_py() == items


@installed
def test_visitors_with_the_same_features_are_one_audience(tables: dict[str, pa.Table]) -> None:
    log = open_bandit.read_log("bts", "men")
    features = list(zip(*(log[name].to_pylist() for name in open_bandit.USER_FEATURES), strict=True))
    users = tables["users"]
    mine = users.filter(pc.starts_with(users["user_id"], "v-men-bts-"))
    pairs = set(zip(features, mine["audience"].to_pylist(), strict=True))
    assert len(pairs) == len(set(features)) == len({audience for _, audience in pairs})


@installed
def test_the_whole_sample_lands_and_what_it_does_not_have_is_absent(
    tables: dict[str, pa.Table], tmp_path: Path
) -> None:
    assert list(tables) == ["users", "campaigns", "creatives_library", "impressions", "clicks"]
    landing = Landing(Settings(home=tmp_path))
    for name, rows in tables.items():
        assert landing.ingest_table(name, rows).accepted == rows.num_rows
    assert landing.read("impressions").num_rows == 60_000
    assert len(landing.days("impressions")) == 7
    for name in ("bid", "price", "placement", "experiment_id"):
        assert tables["impressions"][name].null_count == 60_000


@installed
def test_obp_is_not_imported() -> None:
    code = "import sys; from adplatform.store.open_bandit import landing_tables; landing_tables(); sys.exit('obp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0


def test_without_the_package_the_mend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_bandit, "find_spec", lambda name: None)
    with pytest.raises(SetupError, match=r"pip install 'adplatform\[open-bandit\]'") as caught:
        landing_tables()
    assert caught.value.exit_code == 3
