"""The whole loop once, as a newcomer runs it: data, landing, dbt, agents, plans, claims, report."""

from adplatform.demo.loop import DemoResult, run_demo

__all__ = ["DemoResult", "run_demo"]
