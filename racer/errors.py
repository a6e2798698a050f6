"""Errors that a person can act on. The command line prints their one line and exits with 2."""

from __future__ import annotations


class RacerError(Exception):
    """Something the user can mend: the message says what is wrong, what is safe and what to do next."""


class ConfigError(RacerError, ValueError):
    """A setting has a value that cannot work."""


class NoDisplayError(RacerError):
    """A window is wanted where none can be opened."""
