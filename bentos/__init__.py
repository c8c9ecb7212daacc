"""The services: each a BentoML Service that answers by the same subject code as the assets."""
