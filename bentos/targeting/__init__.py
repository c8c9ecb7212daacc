"""The targeting agent behind HTTP, for the gateway alone."""
