"""What happens when the display server dies: whatever is open is closed before the process ends.

Xlib ends the process from within whichever call meets the dead connection, without coming back to Python. What is
registered here runs first.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from racer.plain_text import plain

_LIBRARY = "libX11.so.6"
_closing: list[Callable[[], str]] = []
_handlers: list[Any] = []
"""Kept, for Xlib does not."""


@contextmanager
def closing_first(close: Callable[[], str]) -> Iterator[None]:
    """Have something closed first if the display is lost within the block; it returns what is safe, in a few words."""
    _closing.append(close)
    try:
        yield
    finally:
        _closing.remove(close)


def watch_connection() -> None:
    """End the process in order when the connection to the X server breaks; does nothing where there is no Xlib."""
    if _handlers:
        return
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(_LIBRARY)  # SDL has loaded the same
        handler = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(_end)
        _handlers.append(handler)
        library.XSetIOErrorHandler(handler)


def _end(connection: int | None) -> int:
    told = []
    for close in reversed(_closing):
        try:
            told.append(close())
        except Exception as error:
            told.append(str(error))
    line = "; ".join(["the display is gone", *told])
    with suppress(OSError, ValueError):
        print(f"racer: {plain(line)}", file=sys.stderr, flush=True)
    os._exit(2)  # Python cannot go on: Xlib does not come back
