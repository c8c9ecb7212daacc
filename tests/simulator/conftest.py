from datetime import date

import pyarrow as pa
import pytest

from adplatform.simulator import Market, MarketConfig


def gather(market, faults=None):
    days = list(market.days(faults))
    return {
        name: pa.concat_tables([getattr(d, name) for d in days]) for name in ("impressions", "clicks", "conversions")
    }


@pytest.fixture(scope="session")
def market():
    return Market(MarketConfig.at_scale("tiny", seed=7, first_day=date(2026, 3, 2)))


@pytest.fixture(scope="session")
def log(market):
    return gather(market)


@pytest.fixture(scope="session")
def oracle(market):
    return market.oracle()
