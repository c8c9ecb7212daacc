"""Delivery: budget over campaigns and combinations, and pacing through the day."""

from adplatform.delivery.agent import Budget
from adplatform.delivery.allocation import allocate
from adplatform.delivery.pacing import pace
from adplatform.delivery.policy import BudgetPolicy

__all__ = ["Budget", "BudgetPolicy", "allocate", "pace"]
