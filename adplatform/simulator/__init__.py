"""A seeded ad market with known truth, so that every claim can be checked against it."""

from adplatform.simulator.config import Faults, MarketConfig
from adplatform.simulator.market import Day, Market
from adplatform.simulator.oracle import Oracle

__all__ = ["Day", "Faults", "Market", "MarketConfig", "Oracle"]
