"""The measurement agent behind HTTP, for the gateway alone."""
