"""Dagster shells, one for each subject; they call the rooms and show what came out."""
