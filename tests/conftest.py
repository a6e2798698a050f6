"""Shared by all tests: settings that must hold before SDL, torch or hypothesis look at them."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import distributions
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
# Shared machines stall: a property is wrong or right, never late.
settings.register_profile("racer", deadline=None, derandomize=True)
settings.load_profile("racer")

TOOLS = {"xvfb": ("Xvfb", "xdotool"), "chromium": ("chromium",)}
"""Programs that the tests with a marker need."""


def bring_installed_rasteriser() -> None:
    """Put the compiled rasteriser beside its sources: the packages tested are the checkout's, without it otherwise.

    So it is there in the processes that tests start, too.
    """
    folder = Path(__file__).parents[1] / "racer" / "tasks" / "car_racing"
    names = {"_raster" + suffix for suffix in EXTENSION_SUFFIXES}
    for file in (file for each in distributions(name="racer") for file in each.files or () if file.name in names):
        installed, here = Path(str(file.locate())), folder / file.name
        if not installed.is_file() or (here.is_file() and here.read_bytes() == installed.read_bytes()):
            continue
        with suppress(OSError), NamedTemporaryFile(dir=folder, delete=False) as copy:  # another worker does it as well
            copy.write(installed.read_bytes())
            copy.flush()
            os.replace(copy.name, here)


bring_installed_rasteriser()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the longest tests, so that nobody waits for the last; leave out those that need what is not here."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
    if os.environ.get("CI"):  # it must have all tools
        return
    missing = [marker for marker, tools in TOOLS.items() if not all(shutil.which(tool) for tool in tools)]
    needing = [item for item in items if any(item.get_closest_marker(marker) for marker in missing)]
    items[:] = [item for item in items if item not in needing]
    config.hook.pytest_deselected(items=needing)


def pytest_report_header() -> str | None:
    """Say which tools are missing."""
    missing = [tool for tools in TOOLS.values() for tool in tools if not shutil.which(tool)]
    return f"without {' and '.join(missing)}: the tests that need it are left out" if missing else None
