"""The state machine from a brief to a plan; it coordinates and never computes what an agent knows."""
