from __future__ import annotations

from collections.abc import Iterator

import pygame
import pytest
from pygame.event import Event
from window_builders import ARROW_DOWN, RETURN, SPACE, click, down

from racer.drivers.keyboard import HeldKeys
from racer.loop.display import Page
from racer.window.pages import Choosing
from racer.window.screens import Painter
from racer.window.texts import english

SECOND = 1_000_000_000
CHOICES = ("I agree", "I decline")
SHORT = Page("Consent", ("We record what you drive.",))
LONG = Page("Consent", tuple(f"Paragraph {number} " * 20 for number in range(6)))


@pytest.fixture(autouse=True, scope="module")
def fonts() -> Iterator[None]:
    pygame.font.init()
    yield


class Reader:
    """Somebody before a page of choices, who takes a second for everything."""

    def __init__(self, page: Page) -> None:
        self.screen = Choosing(page, CHOICES, english().texts)
        self._painter = Painter(pygame.Surface((640, 480)), english().texts, HeldKeys())
        self._now = 0
        self._look()

    def does(self, *events: Event, after: int = SECOND) -> None:
        for event in events:
            self._now += after
            self.screen.tick(self._now)
            self.screen.handle(event)
            self._look()

    @property
    def buttons(self) -> list[pygame.Rect]:
        return self.screen._buttons

    def _look(self) -> None:
        self.screen.tick(self._now)
        self.screen.draw(self._painter)


@pytest.mark.parametrize("confirm", [SPACE, RETURN, down(pygame.K_KP_ENTER)])
def test_nothing_is_chosen_before_an_arrow_key_picked_it(confirm: Event) -> None:
    reader = Reader(SHORT)
    reader.does(*[confirm] * 5)
    assert not reader.screen.done and reader.screen.chosen is None
    reader.does(ARROW_DOWN, confirm)
    assert (reader.screen.done, reader.screen.chosen) == (True, 0)


@pytest.mark.parametrize(
    ("keys", "chosen"),
    [
        ([pygame.K_UP], 1),
        ([pygame.K_DOWN, pygame.K_DOWN, pygame.K_DOWN], 1),
        ([pygame.K_DOWN, pygame.K_DOWN, pygame.K_UP, pygame.K_UP], 0),
        ([pygame.K_2], 1),
        ([pygame.K_1], 0),
        ([pygame.K_3], None),
        ([pygame.K_LEFT, pygame.K_a], None),
    ],
)
def test_arrows_and_numbers_pick_and_enter_confirms(keys: list[int], chosen: int | None) -> None:
    reader = Reader(SHORT)
    reader.does(*map(down, keys))
    assert reader.screen.chosen == chosen and not reader.screen.done
    reader.does(RETURN)
    assert reader.screen.done == (chosen is not None)


def test_the_mouse_chooses_by_a_click_on_a_button_and_nowhere_else() -> None:
    reader = Reader(SHORT)
    reader.does(click(1, 1), Event(pygame.MOUSEMOTION, pos=reader.buttons[0].center), SPACE)
    assert not reader.screen.done
    reader.does(click(*reader.buttons[1].center))
    assert (reader.screen.done, reader.screen.chosen) == (True, 1)


def test_a_long_text_is_read_to_its_end_before_there_is_anything_to_choose() -> None:
    reader = Reader(LONG)
    reader.does(ARROW_DOWN)
    screens = 1
    while not reader.buttons:
        assert reader.screen.chosen is None
        reader.does(SPACE)
        screens += 1
    assert screens > 2
    reader.does(SPACE, RETURN)
    assert not reader.screen.done


def test_keys_and_clicks_that_come_at_once_were_not_meant_for_the_buttons() -> None:
    reader = Reader(LONG)
    while not reader.buttons:
        reader.does(click(320, 240))
    reader.does(*map(click, *zip(*(button.center for button in reader.buttons), strict=True)), after=SECOND // 10)
    assert not reader.screen.done
    reader.does(click(*reader.buttons[0].center))
    assert reader.screen.done
