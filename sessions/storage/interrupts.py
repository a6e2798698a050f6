"""Holding Ctrl-C back while HDF5 is at work."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_HELD = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Let the block finish before a signal handler runs; deliver what arrived meanwhile at its end.

    HDF5 reads and writes our files by calling back into Python, where a signal handler may raise. HDF5 would take
    that for a failed disk, and its caches do not recover. Python runs handlers in the main thread only, so in any
    other one there is nothing to hold; signals left to the operating system's default keep it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        arrived.append(number)

    handlers = {number: handler for number in _HELD if callable(handler := signal.getsignal(number))}
    for held in handlers:
        signal.signal(held, hold)
    try:
        yield
    finally:
        for held, handler in handlers.items():
            signal.signal(held, handler)
        for number in arrived:
            signal.raise_signal(number)
