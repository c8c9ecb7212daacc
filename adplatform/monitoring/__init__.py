"""Drift: what changed in the traffic, in the model's calibration and in the reward, and whether to train again."""
