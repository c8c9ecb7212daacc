"""A seeded ad market with known truth, so that every claim can be checked against it."""
