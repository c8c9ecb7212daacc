"""What every room speaks: frozen messages, agent protocols, feature and table definitions.

Imports the standard library and pydantic, nothing else, so that any room and any client can use it.
"""
