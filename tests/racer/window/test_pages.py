from __future__ import annotations

from collections.abc import Iterator

import pygame
import pytest
from pygame.event import Event
from task_builders import ANSWERS, LANDER, make_spec
from window_builders import ARROW_DOWN, RETURN, SPACE, SPEC, TEXT, click, down, up

from racer.drivers.keyboard import HeldKeys
from racer.loop.display import Page
from racer.tasks.task import Action, TaskSpec
from racer.window.pages import Choosing, Reading
from racer.window.screens import Painter
from racer.window.texts import english

SECOND = 1_000_000_000
BACKSPACE = down(pygame.K_BACKSPACE)
CHOICES = ("I agree", "I decline")
SHORT = Page("Consent", ("We record what you drive.",))
TESTING = Page("Keys", (), "Press SPACE to begin", show_keys=True, test_keys=True)
LONG = Page("Consent", tuple(f"Paragraph {number} " * 20 for number in range(9)))


@pytest.fixture(autouse=True, scope="module")
def fonts() -> Iterator[None]:
    pygame.font.init()
    yield


class KeyTrier:
    """Somebody before a page that tests keys, as a window brings their keys to it."""

    def __init__(self, spec: TaskSpec, bindings: dict[str, list[str]] | None = None) -> None:
        self.keys = HeldKeys(spec, bindings)
        self.screen = Reading(TESTING, self.keys, english().texts)
        self._painter = Painter(pygame.Surface((640, 480)), english().texts, self.keys, spec.text("en"))
        self._now = 0

    def taps(self, *keys: int) -> None:
        for key in keys:
            for event, note in ((down(key), self.keys.press), (up(key), self.keys.release)):
                self._now += SECOND
                self.screen.tick(self._now)
                note(pygame.key.name(key))
                self.screen.handle(event)
                self.screen.draw(self._painter)

    @property
    def prompt(self) -> str:
        return self.screen._prompt()[0]


class Reader:
    """Somebody before a page of choices, who takes a second for everything."""

    def __init__(self, page: Page) -> None:
        self.screen = Choosing(page, CHOICES, english().texts)
        self._painter = Painter(pygame.Surface((640, 480)), english().texts, HeldKeys(SPEC), TEXT)
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


def test_a_key_test_asks_for_a_key_of_every_action_in_turn() -> None:
    tester = KeyTrier(make_spec(LANDER))
    assert tester.prompt == "Now press the left arrow or A"
    tester.taps(pygame.K_a)
    assert tester.prompt == "Now press the up arrow or the space bar"
    tester.taps(pygame.K_RETURN, pygame.K_q, pygame.K_UP)
    assert tester.prompt == "Now press the right arrow"
    tester.taps(pygame.K_RIGHT)
    assert tester.prompt == TESTING.prompt and not tester.screen.done
    tester.taps(pygame.K_SPACE)
    assert tester.screen.done


@pytest.mark.parametrize("order", [[pygame.K_SPACE, pygame.K_n, pygame.K_y], [pygame.K_n, pygame.K_y, pygame.K_SPACE]])
def test_space_that_is_tried_as_the_key_of_an_action_does_not_leave_the_page(order: list[int]) -> None:
    tester = KeyTrier(make_spec(ANSWERS))
    tester.taps(*order)
    assert not tester.screen.done and tester.prompt == TESTING.prompt
    tester.taps(pygame.K_SPACE)
    assert tester.screen.done


def test_a_click_leaves_a_key_test_no_sooner_than_the_keys_are_tried() -> None:
    tester = KeyTrier(make_spec(ANSWERS), {"unsure": ["a"]})
    tester.screen.handle(click())
    tester.taps(pygame.K_SPACE, pygame.K_n, pygame.K_y)
    tester.screen.handle(click())
    assert not tester.screen.done
    tester.taps(pygame.K_a)
    tester.screen.handle(click())
    assert tester.screen.done


@pytest.mark.parametrize("count", [2, 9, 40])
def test_as_many_keys_can_be_tested_as_there_are(count: int) -> None:
    keys = "abcdefghijklmnopqrstuvwxyz0123456789,.-/"[:count]
    tester = KeyTrier(make_spec(tuple(Action(f"act-{place}", (key,)) for place, key in enumerate(keys)), neutral=0))
    for key in keys:
        assert tester.prompt == f"Now press {key.upper()}"
        tester.taps(ord(key))
    assert tester.prompt == TESTING.prompt


def test_a_long_page_says_where_one_is_and_leads_back() -> None:
    reader = Reader(LONG)
    reader.does(SPACE)
    assert reader.screen._index == 1
    reader.does(BACKSPACE)
    assert reader.screen._index == 0
    reader.does(BACKSPACE)
    assert reader.screen._index == 0 and not reader.screen.done


def test_the_buttons_of_a_long_page_never_stand_without_text() -> None:
    painter = Painter(pygame.Surface((640, 480)), english().texts, HeldKeys(SPEC), TEXT)
    for words in range(200, 700, 20):
        screens = painter._pages.layout(Page("Consent", ("word " * words,)), 2).screens
        assert len(screens[-1]) >= min(len(screens[0]) // 2, 3), (words, [len(each) for each in screens])
