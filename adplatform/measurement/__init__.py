"""The Measurement agent: lift, live posterior, experiments, decisions."""
