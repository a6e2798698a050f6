"""HDF5 loads no plug-in, whoever imports it first, and in processes begun from there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ASK = """
import ctypes
from h5py import h5pl
state = ctypes.c_uint(99)
if hasattr(library := ctypes.CDLL(h5pl.__file__), "H5PLget_loading_state"):
    assert library.H5PLget_loading_state(ctypes.byref(state)) >= 0
else:  # Windows
    state = ctypes.c_uint(0)
print(state.value, h5pl.size())
"""
SPAWN = """
import subprocess, sys, sessions
print(subprocess.run([sys.executable, "-c", sys.argv[1]], capture_output=True, text=True, check=True).stdout)
"""


def said(script: str, *words: str, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HDF5_PLUGIN")}
    command = [sys.executable, "-c", script, *words]
    child = subprocess.run(command, capture_output=True, text=True, check=True, env=inherited | environment)
    return child.stdout.strip()


@pytest.mark.parametrize("before", ["import sessions, racer.cli", "import h5py, sessions"])
def test_hdf5_loads_no_plugin_whoever_imports_it_first(tmp_path: Path, before: str) -> None:
    assert said(before + ASK, HDF5_PLUGIN_PATH=str(tmp_path), HDF5_PLUGIN_PRELOAD=str(tmp_path)) == "0 0"


def test_nor_do_processes_begun_from_there() -> None:
    assert said(SPAWN, ASK).split()[0] == "0"
