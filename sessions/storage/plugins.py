"""HDF5's plug-ins, off for the whole process: no file can have a library loaded, whoever opens it.

What `sessions` imports first. HDF5 reads the environment when it is loaded; processes begun from here inherit it. Where
somebody imported h5py before, plug-ins are taken from the HDF5 that is there: its search paths, and, where its library
can be asked (not on Windows), its leave to load any.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

os.environ["HDF5_PLUGIN_PRELOAD"] = "::"  # H5PL_NO_PLUGIN

from h5py import h5pl

for _ in range(h5pl.size()):
    h5pl.remove(0)
with suppress(AttributeError, OSError):
    ctypes.CDLL(h5pl.__file__).H5PLset_loading_state(0)
