"""Packages of statistics and figures: reports and rates need them, and a machine that only records does not."""

from __future__ import annotations

from typing import Any

from sessions.extras import import_extra

PACKAGES = ("bjontegaard", "jinja2", "matplotlib", "pandas", "statsmodels")
"""Packages of the extra `analysis`."""


def analysis(module: str) -> Any:
    """Return a module of the extra `analysis`, such as `pandas`.

    Raises:
        MissingPackageError: If it is not installed.
    """
    return import_extra(module, "racer[analysis]", "the analysis")


def require_analysis() -> None:
    """Make sure, before hours are spent on what it is for, that the extra is installed.

    Raises:
        MissingPackageError: If one of its packages is not.
    """
    for module in PACKAGES:
        analysis(module)
