"""The creative agent behind HTTP, for the gateway alone."""
