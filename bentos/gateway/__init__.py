"""The service that is reachable from outside."""
