from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pygame
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from racer import screens
from racer.canvas import Canvas, Color
from racer.display import Hud, Page
from racer.screens import Menu, Painter

SIZES = [(320, 240), (640, 480), (1024, 768), (1920, 1080), (500, 1200), (2560, 600)]
HUD = Hud("Run 2 of 10", 0.4, 0.2, "PILOT")


@pytest.fixture(autouse=True, scope="module")
def fonts() -> Iterator[None]:
    pygame.font.init()
    yield


def pixels(surface: pygame.Surface) -> NDArray[np.uint8]:
    return pygame.surfarray.array3d(surface).transpose(1, 0, 2)


def noise(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def scales(screen: pygame.Surface, frame: NDArray[np.uint8]) -> list[int]:
    """Return the whole factors by which the frame, exact to the byte, stands magnified on the screen."""
    picture, found = pixels(screen), []
    for k in range(1, min(picture.shape[:2]) // 64 + 1):
        side = 64 * k
        first, last = picture[: 1 - side or None, : 1 - side or None], picture[side - 1 :, side - 1 :]
        corners = np.argwhere((first == frame[0, 0]).all(axis=2) & (last == frame[-1, -1]).all(axis=2))
        block = np.kron(frame, np.ones((k, k, 1), np.uint8))
        found += [k for y, x in corners if np.array_equal(picture[y : y + side, x : x + side], block)]
    return found


@pytest.mark.parametrize("size", SIZES)
def test_a_frame_is_shown_as_large_as_fits_with_every_pixel_a_square_of_the_same_size(size: tuple[int, int]) -> None:
    screen, frame = pygame.Surface(size), noise(1)
    Painter(screen).drive(frame, HUD)
    (scale,) = scales(screen, frame)
    assert 64 * (scale + 1) > min(size[0], 0.8 * size[1]) - 64


@pytest.mark.parametrize("size", SIZES)
def test_the_original_stands_beside_the_shown_frame_in_the_same_size(size: tuple[int, int]) -> None:
    screen, frame, original = pygame.Surface(size), noise(1), noise(2)
    Painter(screen).drive(frame, HUD, original)
    assert len(scales(screen, original)) == 1
    assert scales(screen, original) == scales(screen, frame)


def test_a_drive_drawn_step_by_step_looks_like_one_drawn_from_scratch() -> None:
    screen, fresh = pygame.Surface((640, 480)), pygame.Surface((640, 480))
    painter = Painter(screen)
    painter.drive(noise(1), Hud("Run 1 of 10", 0.9, 0.99, "PILOT"), noise(2))
    for step in range(5):
        painter.drive(noise(step), Hud("Run 2 of 10", step / 5, step / 9))
        painter.menu(Menu("Paused", "", ("Resume", "End")), 0)
        painter.drive(noise(step), Hud("Run 2 of 10", step / 5, step / 9))
    Painter(fresh).drive(noise(4), Hud("Run 2 of 10", 4 / 5, 4 / 9))
    np.testing.assert_array_equal(pixels(screen), pixels(fresh))


def test_bars_grow_with_their_fractions_and_stop_at_their_ends() -> None:
    def coloured(color: Color, steps_done: float, road_progress: float) -> int:
        screen = pygame.Surface((640, 480))
        Painter(screen).drive(np.zeros((64, 64, 3), np.uint8), Hud("", steps_done, road_progress))
        return int((pixels(screen) == color).all(axis=2).sum())

    fractions = [0.0, 0.25, 0.5, 1.0]
    for color, at in ((screens.BLUE, lambda f: (f, 0.0)), (screens.ORANGE, lambda f: (0.0, f))):
        grown = [coloured(color, *at(fraction)) for fraction in fractions]
        assert grown[0] == 0 and all(a < b for a, b in pairwise(grown))
        assert coloured(color, *at(7.0)) == grown[-1]


def test_the_countdown_leaves_the_lower_half_of_the_frame_in_sight() -> None:
    screen, frame = pygame.Surface((640, 480)), noise(1)
    painter = Painter(screen)
    painter.drive(frame, HUD)
    before = pixels(screen).copy()
    painter.number(3, with_original=False)
    changed = np.argwhere((pixels(screen) != before).any(axis=2))
    assert len(changed) > 0 and changed[:, 0].max() < 480 // 2 + 20


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("words", [0, 3, 60, 500])
def test_a_page_shows_all_its_words_within_the_window(size: tuple[int, int], words: int) -> None:
    text = [f"word{n}" for n in range(words)]
    page = Page("A title of some length", (" ".join(text[: words // 2]), " ".join(text[words // 2 :])), show_keys=True)
    screen = pygame.Surface(size)
    painter = Painter(screen)
    shown: list[str] = []
    for index in range(painter.page(page)):
        painter.page(page, index)
        assert (pixels(screen)[[0, -1]] == screens.GROUND).all(), "text touches the window's edge"
        shown += " ".join(painter._page_layout(page).screens[index]).split()
    assert shown == text


def test_a_page_lights_up_the_key_that_is_pressed() -> None:
    page, screen = Page("Keys", ("Try them.",), show_keys=True), pygame.Surface((640, 480))
    painter = Painter(screen)
    lit = []
    for action in (-1, 0, 1):
        painter.page(page, action=action)
        blue = np.argwhere((pixels(screen)[:400] == screens.BLUE).all(axis=2))
        lit.append(np.sign(blue[:, 1].mean() - 320) if len(blue) else 0)
    assert lit == [-1, 0, 1]


@pytest.mark.parametrize("size", SIZES)
def test_menu_choices_lie_in_the_window_apart_from_each_other(size: tuple[int, int]) -> None:
    buttons = Painter(pygame.Surface(size)).menu(Menu("Paused", "A reason of several words.", ("Resume", "End")), 1)
    assert all(pygame.Rect((0, 0), size).contains(button) for button in buttons)
    assert len(buttons) == 2 and not buttons[0].colliderect(buttons[1])


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=200), st.integers(20, 600))
def test_any_text_is_wrapped_to_the_width_without_losing_a_letter(text: str, width: int) -> None:
    canvas = Canvas(pygame.Surface((640, 480)))
    lines = canvas.wrap(text, 16, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    for line in lines:
        assert canvas.text_width(line, 16) <= width or len(line) == 1
        canvas.line(line, 16, screens.INK, 0, 0, 1.0)


def luminance(color: Color) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in color)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (screens.INK, screens.GROUND),
        (screens.QUIET, screens.GROUND),
        (screens.BLUE, screens.GROUND),
        (screens.YELLOW, screens.GROUND),
        (screens.INK, screens.PANEL),
        (screens.QUIET, screens.PANEL),
        (screens.INK, screens.EDGE),
    ],
)
def test_text_stands_out_from_its_ground(one: Color, other: Color) -> None:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 6
