"""Racer: a desktop harness for studying pragmatic image compression in a driving game."""

__version__ = "0.1.0"
