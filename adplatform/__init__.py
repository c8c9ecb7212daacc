"""adplatform: an advertising platform that a data team owns like any other part of its warehouse."""

__version__ = "0.1.0"
