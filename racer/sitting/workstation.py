"""The workstation of a sitting: its window, or what stands in for one, and its driver."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING

from racer.drivers.driver import Driver
from racer.drivers.keyboard import HeldKeys, KeyboardDriver
from racer.drivers.registry import KEYBOARD, make_driver
from racer.errors import RacerError
from racer.loop.display import NoDisplay
from racer.tasks.task import Task, TaskText
from racer.window.texts import Texts

if TYPE_CHECKING:
    from racer.window.window import Window


class DisplayInUseError(RacerError):
    """Another sitting runs on the display."""


_held: list[socket.socket] = []


def lock_display() -> None:
    """Lock the display until this process ends, where the system has names that end with their process: Linux.

    Raises:
        DisplayInUseError: If another process has locked it.
    """
    display = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
    if sys.platform != "linux" or not display or _held:
        return
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        lock.bind(f"\0racer-seat-{os.getuid()}-{display}"[:100])
    except OSError:
        lock.close()
        raise DisplayInUseError(
            f"another sitting runs on this display ({display}); nothing was recorded: end it first, or set DISPLAY to "
            "another one"
        ) from None
    _held.append(lock)


def require_display(*, headless: bool, locked: bool) -> None:
    """Make sure, before anything is written, that a window can be opened, and of a locked one that it is the only one.

    Raises:
        NoDisplayError: If there is no display.
        DisplayInUseError: If another sitting runs on it.
    """
    if headless:
        return
    from racer.window.opening import connect

    connect()
    if locked:
        lock_display()


def open_display(
    keys: HeldKeys,
    texts: Texts,
    text: TaskText,
    *,
    headless: bool,
    fullscreen: bool = False,
    countdown: int = 3,
    locked: bool = False,
    code: str = "",
    font: str = "",
) -> Window | NoDisplay:
    """Return a window, or without one a display that shows nothing.

    Args:
        keys: Told of the keys of actions.
        texts: What the window says.
        text: What people are told of the task.
        headless: Whether to do without a window.
        fullscreen: Whether the window fills the screen.
        countdown: Seconds before time runs, 0 to 10.
        locked: Whether only the experimenter's keys end the session.
        code: What the experimenter types to open the menu; empty for nothing.
        font: Name of an installed font to write with first; empty for none.

    Raises:
        NoDisplayError: If a window is needed and none can be opened.
    """
    if headless:
        return NoDisplay()
    from racer.window.window import Window

    return Window(
        keys,
        text,
        fullscreen=fullscreen,
        countdown_from=countdown,
        texts=texts,
        locked=locked,
        code=code,
        font=font,
    )


def open_driver(name: str, task: Task, seed: int, keys: HeldKeys) -> Driver:
    """Return a driver; a person shares the keys with the window.

    Args:
        name: `keyboard`, or what `make_driver` takes.
        task: What is to be done.
        seed: Identity of the driver.
        keys: The window's.

    Raises:
        DriverError: If there is no such driver.
    """
    return KeyboardDriver(keys) if name == KEYBOARD else make_driver(name, task, seed)
