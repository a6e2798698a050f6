"""Shared by all tests: settings that must hold before SDL, torch or hypothesis look at them."""

from __future__ import annotations

import os
import shutil

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
# Shared machines stall: a property is wrong or right, never late.
settings.register_profile("racer", deadline=None, derandomize=True)
settings.load_profile("racer")

XVFB_TOOLS = ("Xvfb", "xdotool")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests that need a virtual screen where there is none to be had; CI must have it."""
    if os.environ.get("CI") or all(shutil.which(tool) for tool in XVFB_TOOLS):
        return
    needing = [item for item in items if item.get_closest_marker("xvfb")]
    items[:] = [item for item in items if item not in needing]
    config.hook.pytest_deselected(items=needing)


def pytest_report_header() -> str | None:
    """Say which tools are missing."""
    missing = [tool for tool in XVFB_TOOLS if not shutil.which(tool)]
    return f"without {' and '.join(missing)}: tests in a real window are left out" if missing else None
