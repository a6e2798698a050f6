"""Opens a window, or says in one line why none can be opened."""

from __future__ import annotations

import os
import sys
from typing import Final

import pygame

from racer.errors import NoDisplayError, RacerError
from racer.window.lost_display import watch_connection
from racer.window.palette import GROUND

SMALLEST_WINDOW: Final = (320, 240)
"""Width and height, pixels."""
_FRAME: Final = (16, 80)
"""Pixels beside and above a window that its frame and the desktop's panel may take."""
_NOT_A_SCREEN: Final = ("dummy", "offscreen")


def open_window(title: str, size: tuple[int, int], fullscreen: bool) -> pygame.Window:
    """Connect to the display and open a window that can be resized.

    Args:
        title: Its caption.
        size: Width and height in pixels.
        fullscreen: Whether it begins in full screen.

    Raises:
        NoDisplayError: If there is no display; also where SDL would fall back to a driver that shows nothing.
        RacerError: If pygame stands where pygame-ce should.
    """
    driver = connect()
    try:
        if driver not in _NOT_A_SCREEN:
            size = fitting(size, pygame.display.get_desktop_sizes()[0])
        window = pygame.Window(title, size, resizable=True)
        window.minimum_size = SMALLEST_WINDOW
        if fullscreen:
            fill_screen(window)
        # Until something is painted, a window shows what the display gives it, such as a bright white.
        window.get_surface().fill(GROUND)
        window.flip()
    except pygame.error as error:
        pygame.display.quit()
        raise _no_display(str(error)) from None
    return window


def connect() -> str:
    """Connect to the display, without opening a window, and return the name of SDL's driver.

    Raises:
        NoDisplayError: If there is no display; also where SDL would fall back to a driver that shows nothing.
        RacerError: If pygame stands where pygame-ce should.
    """
    require_pygame_ce()
    wanted = os.environ.get("SDL_VIDEODRIVER") or os.environ.get("SDL_VIDEO_DRIVER") or ""
    if sys.platform == "linux" and not (wanted or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise _no_display("neither DISPLAY nor WAYLAND_DISPLAY is set")
    # SDL would turn SIGTERM into a click on the close button; whoever sends it does not sit at the window.
    os.environ.setdefault("SDL_NO_SIGNAL_HANDLERS", "1")
    try:
        pygame.display.init()
        driver = pygame.display.get_driver()
        if driver in _NOT_A_SCREEN and driver not in wanted.split(","):
            pygame.display.quit()
            raise _no_display(f"no display answers at DISPLAY={os.environ.get('DISPLAY', '')!r}")
        if driver == "x11":
            watch_connection()
            # By default SDL sends each frame through OpenGL: without a GPU that takes 2 to 9 ms instead of 0.3.
            os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")
        return driver
    except pygame.error as error:
        pygame.display.quit()
        raise _no_display(str(error)) from None


def fill_screen(window: pygame.Window) -> tuple[int, int]:
    """Let a window fill the screen; return the size that it had, pixels."""
    before = window.size
    if pygame.display.get_driver() not in _NOT_A_SCREEN:
        # Without a window manager nobody else gives it that size: a part of what is drawn would lie outside.
        window.size, window.position = pygame.display.get_desktop_sizes()[0], (0, 0)
    window.set_fullscreen(desktop=True)
    return before


def leave_screen(window: pygame.Window, size: tuple[int, int]) -> None:
    """Let a window fill the screen no longer, and give it a size, pixels."""
    window.set_windowed()
    if pygame.display.get_driver() in _NOT_A_SCREEN:
        window.size = size
    else:
        window.size = fitting(size, pygame.display.get_desktop_sizes()[0])
        window.position = pygame.WINDOWPOS_CENTERED


def fitting(size: tuple[int, int], desktop: tuple[int, int]) -> tuple[int, int]:
    """Return the size of a window that fits a desktop, title bar and panel included; widths and heights in pixels.

    One of just the desktop's size is meant to fill it.
    """
    if size == desktop:
        return size
    room = desktop[0] - _FRAME[0], desktop[1] - _FRAME[1]
    return max(min(size[0], room[0]), SMALLEST_WINDOW[0]), max(min(size[1], room[1]), SMALLEST_WINDOW[1])


def require_pygame_ce() -> None:
    """Check that the module `pygame` is pygame-ce, not plain pygame installed over it.

    Raises:
        RacerError: If it is plain pygame.
    """
    if not getattr(pygame, "IS_CE", False):
        raise RacerError(
            "plain pygame was installed over pygame-ce, which Racer needs; no recording is affected. Fix it with: "
            "pip uninstall -y pygame; pip install --force-reinstall pygame-ce"
        )


def _no_display(reason: str) -> NoDisplayError:
    return NoDisplayError(
        f"no window can be opened: {reason}. Nothing was recorded and nothing is lost. "
        "Set DISPLAY to a running display, or use --headless with a simulated --driver"
    )
