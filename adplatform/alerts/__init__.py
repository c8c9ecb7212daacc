"""Telling people: what counts as an alert (rules), how a notice reads (forms), and where it goes (channels)."""
