"""Asset checks: what must hold of the assets, apart from the assets themselves."""
