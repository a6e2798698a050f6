"""A window fits the desktop that it opens on."""

from __future__ import annotations

import subprocess

import pygame
import pytest
from window_builders import x_server

from racer.window.opening import SMALLEST_WINDOW, fitting, leave_screen, open_window


@pytest.mark.parametrize(
    ("size", "desktop", "fits"),
    [
        ((960, 720), (1920, 1080), (960, 720)),
        ((960, 720), (1280, 720), (960, 640)),
        ((1400, 760), (1280, 720), (1264, 640)),
        ((960, 720), (800, 600), (784, 520)),
        ((960, 720), (960, 720), (960, 720)),
        ((960, 720), (300, 200), SMALLEST_WINDOW),
    ],
)
def test_window_is_no_larger_than_the_desktop(
    size: tuple[int, int], desktop: tuple[int, int], fits: tuple[int, int]
) -> None:
    assert fitting(size, desktop) == fits


def geometry(name: str) -> list[str]:
    """Return what the X server says of a window: its place and size."""
    command = ["xdotool", "search", "--name", name, "getwindowgeometry", "--shell"]
    return [line for line in subprocess.check_output(command, text=True).split() if line[0] in "XYWH"]


@pytest.mark.xvfb
def test_full_screen_fills_the_screen_without_a_window_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    with x_server(monkeypatch):
        window = open_window("filling", (640, 480), fullscreen=True)
        window.flip()
        pygame.event.get()
        assert geometry("filling") == ["X=0", "Y=0", "WIDTH=1024", "HEIGHT=768"]
        assert window.get_surface().get_size() == (1024, 768)
        leave_screen(window, (640, 480))
        window.flip()
        assert geometry("filling")[2:] == ["WIDTH=640", "HEIGHT=480"]
        window.destroy()
