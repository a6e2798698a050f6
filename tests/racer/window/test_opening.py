"""A window fits the desktop that it opens on."""

from __future__ import annotations

import pygame
import pytest
from desk import SCREEN, Screen, open_screen

from racer.window.opening import SMALLEST_WINDOW, fitting, leave_screen, open_window
from racer.window.palette import GROUND


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


def dark(screen: Screen) -> bool:
    """Return whether the whole screen soon has the ground's colour, though nobody paints a window."""
    for _ in range(200):
        pygame.event.get()
        if (screen.pixels() == GROUND).all():
            return True
    return False


def white(screen: Screen, window: pygame.Window, share: float) -> bool:
    """Paint a window white; return whether that soon is the share of the screen that shines."""
    for _ in range(200):
        pygame.event.get()
        window.get_surface().fill("white")
        window.flip()
        if abs((screen.pixels() == 255).mean() - share) < 1e-6:
            return True
    return False


@pytest.mark.xvfb
def test_full_screen_fills_the_screen_without_a_window_manager_and_is_dark_from_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    with open_screen() as screen:
        monkeypatch.setenv("DISPLAY", screen.name)
        window = open_window("filling", (640, 480), fullscreen=True)
        assert dark(screen)
        assert white(screen, window, 1.0)
        assert window.get_surface().get_size() == SCREEN
        leave_screen(window, (640, 480))
        assert window.get_surface().get_size() == (640, 480)
        window.destroy()
        pygame.display.quit()
