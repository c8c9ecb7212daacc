"""The only input and output: landing zone, warehouse, model registry."""
