"""The Targeting agent: features, collaborative filtering, response model, bandit, ranking."""
