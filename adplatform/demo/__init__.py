"""The whole loop once, as a newcomer runs it: data, landing, dbt, agents, plans, claims, report."""

from adplatform.demo.loop import DemoRequest, DemoResult, run_demo

__all__ = ["DemoRequest", "DemoResult", "run_demo"]
