"""Benchmarks and long claims; docs/benchmarks.md is printed from here."""
