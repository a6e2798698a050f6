"""Several pictures on one screen: what keys and clicks mark, when, and where everything stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pygame
import pytest
from pygame import Rect, Surface
from pygame.event import Event
from window_builders import ESC, MS, RETURN, SPACE, Clock, OpenWindow, Script, click, down, windows_opened

from racer.drivers.keyboard import HeldKeys
from racer.loop.display import EndSession, Hud
from racer.tasks.registry import make_task
from racer.window.gamepad import PAGE_KEYS
from racer.window.marking import Marking
from racer.window.screens import Painter
from racer.window.texts import english
from racer.window.window import Window

PAGED = make_task("faces", {"page": 4}).spec
FRAMES = [np.full(PAGED.frame, 60 + 20 * number, np.uint8) for number in range(4)]
TOGETHER = Hud("Are the eyes covered?", 0.25, count=(5, 20))


@pytest.fixture
def open_window(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenWindow]:
    with windows_opened(monkeypatch) as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(open_window: OpenWindow, clock: Clock) -> Window:
    return open_window(keys=HeldKeys(PAGED), text=PAGED.text("en"), clock=clock)


def test_keys_and_clicks_mark_and_take_marks_away(open_window: OpenWindow, clock: Clock) -> None:
    window = opened(open_window, clock)
    window.listener = script = Script()
    areas = window._stage.painter.catalogue(FRAMES, TOGETHER)
    clock.at(500, down(pygame.K_2))
    clock.at(1000, click(*areas.pictures[3].center))
    clock.at(1500, down(pygame.K_KP1), down(pygame.K_9), click(2, 2))
    clock.at(2000, click(*areas.pictures[3].center))
    clock.at(3000, click(*areas.button.center))
    marks = window.mark(FRAMES, TOGETHER)
    assert [mark.marked for mark in marks] == [True, True, False, False]
    assert len({mark.shown_ns for mark in marks}) == 1 and marks[0].shown_ns < 200 * MS
    for mark, at in zip(marks, (1500, 500, 3000, 2000), strict=True):
        assert at * MS <= mark.response_ns < (at + 80) * MS
    assert [told for told in script.told if told[0] == "click"] == [
        ("click", "picture 4"),
        ("click", "picture 4"),
        ("click", "continue"),
    ]


def test_arrow_keys_and_a_gamepad_move_a_ring_and_space_marks_what_has_it(
    open_window: OpenWindow, clock: Clock
) -> None:
    window = opened(open_window, clock)
    pad = [Event(pygame.KEYDOWN, key=PAGE_KEYS[name], mod=0, pad=name) for name in ("pad right", "pad 1")]
    clock.at(500, down(pygame.K_RIGHT), pad[0], pad[1])
    clock.at(1000, down(pygame.K_RIGHT), down(pygame.K_RIGHT), SPACE)
    clock.at(1500, down(pygame.K_LEFT), SPACE)
    clock.at(2000, SPACE)
    clock.at(2500, down(pygame.K_LEFT), down(pygame.K_LEFT), down(pygame.K_LEFT), SPACE)
    clock.at(3000, RETURN)
    marks = window.mark(FRAMES, TOGETHER)
    assert [mark.marked for mark in marks] == [True, True, False, True]
    for mark, at in zip(marks, (2500, 500, 2000, 1000), strict=True):
        assert at * MS <= mark.response_ns < (at + 80) * MS


def test_space_leaves_the_page_where_the_button_has_the_ring(open_window: OpenWindow, clock: Clock) -> None:
    window = opened(open_window, clock)
    clock.at(500, down(pygame.K_DOWN), down(pygame.K_DOWN), SPACE)
    marks = window.mark(FRAMES, TOGETHER)
    assert not any(mark.marked for mark in marks) and marks[0].response_ns < 580 * MS


@pytest.mark.parametrize("page", [2, 5, 9])
def test_every_picture_and_the_button_can_be_reached_from_the_first(page: int, clock: Clock) -> None:
    pygame.font.init()
    spec = make_task("vehicles", {"page": page}).spec
    painter = Painter(Surface((960, 720)), english().texts, HeldKeys(spec), spec.text("en"))
    marking = Marking(FRAMES[:1] * page, TOGETHER, clock, lambda kind, detail: None)
    marking.draw(painter)
    reached, waiting = {0}, [0]
    while waiting:
        start = waiting.pop()
        for key in (pygame.K_LEFT, pygame.K_RIGHT, pygame.K_UP, pygame.K_DOWN):
            marking._ringed = start
            marking.handle(down(key))
            if marking._ringed not in reached:
                reached.add(marking._ringed)
                waiting.append(marking._ringed)
    assert reached == set(range(page + 1))
    marking._ringed = page
    marking.handle(down(pygame.K_UP))
    assert marking._ringed != page, "and left again"


@pytest.mark.parametrize("key", [SPACE, RETURN])
def test_a_page_can_be_left_without_a_mark_and_what_was_pressed_before_it_counts_for_nothing(
    key: pygame.event.Event, open_window: OpenWindow, clock: Clock
) -> None:
    window = opened(open_window, clock)
    pygame.event.post(down(pygame.K_1))
    pygame.event.post(key)
    clock.at(700, key)
    marks = window.mark(FRAMES[:2], TOGETHER)
    assert [mark.marked for mark in marks] == [False, False]
    assert all(700 * MS <= mark.response_ns < 780 * MS for mark in marks)


def test_a_pause_takes_its_time_out_of_what_was_and_what_will_be_marked(open_window: OpenWindow, clock: Clock) -> None:
    window = opened(open_window, clock)
    window.listener = script = Script(pause_escape=[RETURN])
    clock.at(400, down(pygame.K_1))
    clock.at(600, ESC)
    clock.at(3000, down(pygame.K_2))
    clock.at(3500, SPACE)
    first, second, third, _ = window.mark(FRAMES, TOGETHER)
    paused, resumed = (script.times[[kind for kind, _ in script.told].index(kind)] for kind in ("pause", "resume"))
    lasted = resumed - paused
    assert lasted > 0 and script.kinds == ["pause", "resume"]
    waits = [(mark.response_ns - mark.shown_ns) / MS for mark in (first, second, third)]
    assert waits == pytest.approx([350, 2950 - lasted / MS, 3450 - lasted / MS], abs=120)
    assert third.response_ns < 3580 * MS, "the page is left when it is left"


def test_the_session_can_be_ended_amid_a_page(open_window: OpenWindow, clock: Clock) -> None:
    window = opened(open_window, clock)
    window.listener = Script(pause=[down(pygame.K_DOWN), RETURN, down(pygame.K_DOWN), RETURN])
    clock.at(100, ESC)
    with pytest.raises(EndSession):
        window.mark(FRAMES, TOGETHER)


@pytest.mark.parametrize("size", [(320, 240), (640, 480), (1280, 720), (1920, 1080), (600, 1000)])
@pytest.mark.parametrize("page", [2, 5, 9])
def test_pictures_and_button_have_their_place_at_every_size(size: tuple[int, int], page: int) -> None:
    pygame.font.init()
    spec = make_task("vehicles", {"page": page}).spec
    painter = Painter(Surface(size), english().texts, HeldKeys(spec), spec.text("en"))
    areas = painter.catalogue(FRAMES[:1] * page, TOGETHER, {0})
    every = [*areas.pictures, areas.button]
    assert len(areas.pictures) == page
    assert all(Rect(0, 0, *size).contains(area) for area in every)
    assert all(one.collidelist(every[place + 1 :]) < 0 for place, one in enumerate(every))
    last = painter.catalogue(FRAMES[:1], replace(TOGETHER, mark="TRIAL RUN"))
    assert last.pictures == areas.pictures[:1], "the last page of a block has its pictures where they were"
    assert min(areas.pictures[0].size) > size[1] / 10
