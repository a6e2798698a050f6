"""A window fits the desktop that it opens on."""

from __future__ import annotations

import pytest

from racer.window.opening import SMALLEST_WINDOW, fitting


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
