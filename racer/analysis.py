"""Packages of statistics and figures: reports and rates need them, and a machine that only records does not."""

from __future__ import annotations

from typing import Any

from sessions.extras import import_extra


def analysis(module: str) -> Any:
    """Return a module of the extra `analysis`, such as `pandas`.

    Raises:
        MissingPackageError: If it is not installed.
    """
    return import_extra(module, "racer[analysis]", "the analysis")
