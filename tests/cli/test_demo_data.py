"""What the demo's advertisers say is said of the product they sell."""

from __future__ import annotations

from datetime import date
from importlib import resources
from pathlib import Path

import yaml

from adplatform.demo.data import write_briefs
from adplatform.orchestrator.brief import load_brief
from adplatform.simulator import Market, MarketConfig
from adplatform.simulator.names import PRODUCTS


def test_every_product_of_the_market_has_facts_of_its_own(tmp_path: Path) -> None:
    said = yaml.safe_load(resources.files("adplatform.demo").joinpath("products.yaml").read_text())
    assert set(said) == {name for names in PRODUCTS for name in names}
    assert len({facts["description"] for facts in said.values()}) == len(said)
    campaigns = Market(MarketConfig.at_scale("tiny", seed=3)).campaigns().to_pylist()
    for path, campaign in zip(write_briefs(tmp_path, campaigns, date(2026, 11, 1)), campaigns, strict=True):
        assert load_brief(path).product.description == said[campaign["product_name"]]["description"]
