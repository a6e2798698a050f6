from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pygame
import pytest
from pygame.event import Event
from racing_builders import LEFT, RIGHT, STRAIGHT
from task_builders import ANSWERS, LANDER, make_spec
from window_builders import (
    ARROW_DOWN,
    ESC,
    FOCUS_GAINED,
    FOCUS_LOST,
    FRAME,
    HUD,
    MS,
    PAGE,
    QUIT,
    RETURN,
    SPACE,
    SPEC,
    TEXT,
    TICK,
    Clock,
    OpenWindow,
    Script,
    click,
    down,
    up,
    wait_until,
    windows_opened,
    x_server,
)

from racer.drivers.keyboard import HeldKeys, KeyboardDriver
from racer.errors import ConfigError, NoDisplayError, RacerError
from racer.loop.display import EndSession, Page, Reply
from racer.sitting.questionnaires import Item
from racer.window.window import Window


@pytest.fixture
def open_window(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenWindow]:
    with windows_opened(monkeypatch) as open_one:
        yield open_one


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def xdotool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    with x_server(monkeypatch) as run:
        yield run


def test_nothing_pressed_counts_while_something_loads(open_window: OpenWindow) -> None:
    window, pressed = open_window(), threading.Event()
    told: list[str] = []

    def listen(kind: str, detail: str, at: int) -> None:
        if not told:  # while it loads, and after what was pressed before
            for event in (ESC, QUIT, click(), SPACE, down(pygame.K_F8)):
                pygame.event.post(event)
        told.append(detail)
        if detail == "f8":
            pressed.set()

    window.listener = listen
    pygame.event.post(TICK)
    assert window.load(lambda: pressed.wait(60) and "model") == "model"
    assert {"space", "f8"} <= set(told)
    with pytest.raises(ConfigError, match=r"^no model$"):
        window.load(no_model)


def no_model() -> None:
    raise ConfigError("no model")


@pytest.mark.parametrize("way_on", [SPACE, RETURN, down(pygame.K_KP_ENTER), click()])
def test_a_page_ends_with_space_enter_or_a_click(open_window: OpenWindow, way_on: Event) -> None:
    window = open_window()
    window.listener = Script(key_down_f9=[down(pygame.K_x), way_on])
    pygame.event.post(TICK)
    window.page(PAGE)


def test_what_was_pressed_before_a_page_appeared_does_not_skip_it(open_window: OpenWindow) -> None:
    window = open_window()
    window.listener = script = Script(key_down_f9=[RETURN])
    for event in (SPACE, click(), TICK):
        pygame.event.post(event)
    window.page(PAGE)
    assert script.told[-1] == ("key_down", "return")


def test_a_page_too_long_for_one_screen_asks_for_as_many_keys_as_it_has_screens(open_window: OpenWindow) -> None:
    window = open_window()
    window.listener = script = Script(key_down_f9=[SPACE, up(pygame.K_SPACE)] * 30)
    pygame.event.post(TICK)
    window.page(Page("Long", tuple(f"Paragraph {n} " * 12 for n in range(12))))
    assert 2 <= script.told.count(("key_down", "space")) < 30


def test_a_countdown_lasts_its_seconds_and_keeps_held_keys_but_not_taps(open_window: OpenWindow, clock: Clock) -> None:
    window = open_window(clock=clock, countdown_from=2)
    clock.at(500, down(pygame.K_LEFT), down(pygame.K_d), up(pygame.K_d))
    window.countdown(HUD, FRAME)
    assert 2000 * MS <= clock.now < 2200 * MS
    assert KeyboardDriver(window.keys).act(FRAME) == LEFT


def test_wait_ends_at_its_time_and_feeds_the_driver(open_window: OpenWindow, clock: Clock) -> None:
    window = open_window(clock=clock)
    driver = KeyboardDriver(window.keys)
    window.listener = script = Script()
    clock.at(120, down(pygame.K_RIGHT))
    clock.at(350, up(pygame.K_RIGHT))
    clock.at(440, down(pygame.K_a), up(pygame.K_a))
    actions, paused = [], 0
    for tick in range(100, 700, 100):
        assert window.show(FRAME, HUD) < tick * MS
        paused += window.wait(tick * MS)
        assert tick * MS <= clock.now < (tick + 50) * MS
        actions.append(driver.act(FRAME))
    assert (actions, paused) == ([STRAIGHT, RIGHT, RIGHT, STRAIGHT, LEFT, STRAIGHT], 0)
    assert script.told == [("key_down", "right"), ("key_up", "right"), ("key_down", "a"), ("key_up", "a")]
    assert 120 * MS <= script.times[0] <= 160 * MS


def test_a_wait_whose_time_has_passed_still_takes_in_keys(open_window: OpenWindow, clock: Clock) -> None:
    window = open_window(clock=clock)
    pygame.event.post(down(pygame.K_LEFT))
    assert window.wait(-1) == 0
    assert window.keys.action == LEFT


def test_esc_pauses_and_the_deadline_moves_by_exactly_the_time_paused(open_window: OpenWindow, clock: Clock) -> None:
    window = open_window(clock=clock, countdown_from=3)
    window.listener = script = Script(pause_escape=[TICK], key_down_f9=[ESC])
    window.show(FRAME, HUD)
    clock.at(100, ESC)
    paused = window.wait(500 * MS)
    assert script.kinds == ["pause", "resume"]
    assert paused >= 3000 * MS
    assert 500 * MS + paused <= clock.now < 600 * MS + paused


def test_keys_held_through_a_pause_still_steer_and_taps_of_it_do_not(open_window: OpenWindow, clock: Clock) -> None:
    window = open_window(clock=clock)
    window.listener = Script(pause=[down(pygame.K_d), down(pygame.K_LEFT), up(pygame.K_d), RETURN])
    clock.at(50, ESC)
    window.wait(100 * MS)
    assert window.keys.sample() == LEFT


def test_ending_takes_a_choice_and_a_confirmation(open_window: OpenWindow, clock: Clock) -> None:
    window = open_window(clock=clock)
    window.listener = script = Script(pause=[ARROW_DOWN, RETURN, ARROW_DOWN, RETURN])
    clock.at(50, ESC)
    with pytest.raises(EndSession):
        window.wait(100 * MS)
    assert script.kinds == ["pause", "end"]


@pytest.mark.parametrize(
    "keys",
    [
        [RETURN],
        [ESC],
        [SPACE],
        [ARROW_DOWN, RETURN, RETURN],
        [ARROW_DOWN, RETURN, ESC],
        [ARROW_DOWN, down(pygame.K_UP), RETURN],
        [QUIT, ESC],
        [QUIT, QUIT, QUIT, RETURN],
    ],
)
def test_no_slip_of_the_hand_ends_a_session(open_window: OpenWindow, clock: Clock, keys: list[Event]) -> None:
    window = open_window(clock=clock, countdown_from=1)
    window.listener = script = Script(pause=keys)
    clock.at(50, ESC)
    assert window.wait(100 * MS) > 0
    assert script.kinds == ["pause", "resume"]


def test_the_close_button_asks_at_once_whether_to_end(open_window: OpenWindow, clock: Clock) -> None:
    window = open_window(clock=clock)
    window.listener = Script(pause_close=[ARROW_DOWN, RETURN, ESC])
    clock.at(50, QUIT)
    with pytest.raises(EndSession):
        window.wait(100 * MS)


def test_a_double_click_on_the_close_button_is_no_answer(open_window: OpenWindow, clock: Clock) -> None:
    window = open_window(clock=clock)
    window.listener = script = Script(pause_close=[QUIT, TICK], key_down_f9=[ARROW_DOWN, RETURN])
    clock.at(50, QUIT)
    with pytest.raises(EndSession):
        window.wait(100 * MS)
    assert script.told[-1] == ("end", "close")
    assert ("key_down", "return") in script.told


def test_the_mouse_can_choose(open_window: OpenWindow, clock: Clock) -> None:
    window = open_window(clock=clock)
    # The lower of two buttons, in the window's middle third; both menus have it at the same place or a line apart.
    window.listener = Script(pause=[click(320, 282), click(320, 282)])
    clock.at(50, ESC)
    with pytest.raises(EndSession):
        window.wait(100 * MS)


@pytest.mark.parametrize("interruption", [ESC, QUIT])
def test_pages_and_countdowns_can_be_interrupted_and_resumed(
    open_window: OpenWindow, clock: Clock, interruption: Event
) -> None:
    window = open_window(clock=clock, countdown_from=1)
    window.listener = script = Script(pause=[RETURN, TICK], key_down_f9=[SPACE])
    pygame.event.post(interruption)
    window.page(PAGE)
    assert script.kinds == ["pause", "resume"]

    window.listener = script = Script(pause=[RETURN])
    began = clock.now
    clock.at(began // MS + 900, interruption)
    window.countdown(HUD, FRAME)
    assert script.kinds == ["pause", "resume"]
    assert clock.now - began >= 1900 * MS


def test_a_session_can_be_ended_from_a_page_and_from_a_countdown(open_window: OpenWindow, clock: Clock) -> None:
    window = open_window(clock=clock)
    end = [ARROW_DOWN, RETURN, ARROW_DOWN, RETURN]
    window.listener = Script(pause=end)
    pygame.event.post(ESC)
    with pytest.raises(EndSession):
        window.page(PAGE)
    window.listener = Script(pause=end)
    pygame.event.post(ESC)
    with pytest.raises(EndSession):
        window.countdown(HUD, FRAME)


def test_losing_the_focus_releases_the_keys_and_pauses_until_a_key_is_pressed(
    open_window: OpenWindow, clock: Clock
) -> None:
    window = open_window(clock=clock, countdown_from=1)
    window.listener = script = Script(
        focus_gained=[TICK], pause_focus=[FOCUS_GAINED], key_down_f9=[down(pygame.K_F8)], key_down_f8=[RETURN]
    )
    pygame.event.post(FOCUS_GAINED)
    clock.at(50, down(pygame.K_LEFT), FOCUS_LOST)
    assert window.wait(100 * MS) >= 1000 * MS
    assert script.kinds == ["focus_gained", "focus_lost", "pause", "focus_gained", "resume"]
    assert script.told.index(("key_down", "return")) < script.told.index(("resume", "focus"))
    assert window.keys.sample() == STRAIGHT


def test_time_does_not_start_in_a_window_that_lost_the_focus_during_the_countdown(
    open_window: OpenWindow, clock: Clock
) -> None:
    window = open_window(clock=clock, countdown_from=1)
    window.listener = script = Script(pause_focus=[RETURN])
    pygame.event.post(FOCUS_GAINED)
    clock.at(500, FOCUS_LOST)
    window.countdown(HUD, FRAME)
    assert script.kinds == ["focus_gained", "focus_lost", "pause", "resume"]


def test_a_window_that_never_had_the_focus_does_not_pause_for_it(open_window: OpenWindow, clock: Clock) -> None:
    window = open_window(clock=clock)
    window.listener = script = Script()
    clock.at(50, FOCUS_LOST)
    assert window.wait(100 * MS) == 0
    assert script.kinds == ["focus_lost"]


def test_a_break_ends_no_sooner_than_its_seconds(open_window: OpenWindow, clock: Clock) -> None:
    window = open_window(clock=clock)
    window.listener = script = Script()
    for milliseconds in range(100, 1500, 200):
        clock.at(milliseconds, SPACE)
    window.page(Page("Break", (), least_seconds=1))
    assert 1000 * MS <= clock.now < 1300 * MS
    assert script.told.count(("key_down", "space")) == 6


def test_a_key_test_ends_only_after_a_key_of_every_action_was_pressed(open_window: OpenWindow) -> None:
    window = open_window(keys=HeldKeys(SPEC, {"left": ["j"], "right": ["l", "k"]}))
    window.listener = script = Script(
        key_down_f9=[SPACE, down(pygame.K_k), up(pygame.K_k), SPACE, down(pygame.K_a), SPACE, down(pygame.K_j), SPACE]
    )
    pygame.event.post(TICK)
    window.page(Page("Keys", (), show_keys=True, test_keys=True))
    assert script.told.count(("key_down", "space")) == 4


def test_keys_tested_before_the_page_appeared_do_not_count(open_window: OpenWindow) -> None:
    window = open_window()
    both = [down(pygame.K_a), down(pygame.K_d)]
    for event in (*both, TICK):
        pygame.event.post(event)
    window.listener = script = Script(key_down_f9=[SPACE, *both, RETURN])
    window.page(Page("Keys", (), show_keys=True, test_keys=True))
    assert script.told[-1] == ("key_down", "return")


def test_what_is_written_is_told_to_nobody_but_the_keys_pressed_before_come_up(
    open_window: OpenWindow, clock: Clock
) -> None:
    window = open_window(clock=clock)
    window.listener = script = Script()
    typed = [
        event
        for letter in "lad"
        for event in (down(ord(letter)), Event(pygame.TEXTINPUT, text=letter), up(ord(letter)))
    ]
    pygame.event.post(down(pygame.K_LEFT))
    window.wait(clock.now + 20 * MS)
    clock.at(500, *typed, up(pygame.K_LEFT), down(pygame.K_RETURN, pygame.KMOD_LCTRL))
    assert window.ask([COMMENT], "Question 1 of 1", (), back=False) == Reply(("lad",))
    clock.at(clock.now // MS + 100, up(pygame.K_RETURN), down(pygame.K_LEFT))
    window.wait(clock.now + 500 * MS)
    assert script.told == [("key_down", "left"), ("key_up", "left"), ("key_down", "left")]
    assert window.keys.sample() == LEFT


def test_esc_pauses_amid_writing_and_nothing_written_is_lost(open_window: OpenWindow, clock: Clock) -> None:
    window = open_window(clock=clock)
    window.listener = script = Script(pause=[down(pygame.K_x), RETURN])
    clock.at(500, Event(pygame.TEXTINPUT, text="é"), ESC)
    clock.at(900, Event(pygame.TEXTINPUT, text="ß"), down(pygame.K_KP_ENTER, pygame.KMOD_RCTRL))
    assert window.ask([COMMENT], "", ["a "], back=True) == Reply(("a éß",))
    assert script.kinds == ["pause", "resume"]


def test_answers_given_before_are_begun_from(open_window: OpenWindow, clock: Clock) -> None:
    window = open_window(clock=clock)
    clock.at(500, down(pygame.K_RIGHT), RETURN)
    assert window.ask([CONTROL], "", ["3"], back=False) == Reply(("4",))


def test_one_can_go_back_to_the_question_before(open_window: OpenWindow, clock: Clock) -> None:
    window = open_window(clock=clock)
    clock.at(500, down(pygame.K_BACKSPACE))
    assert window.ask([CONTROL], "", (), back=True) == Reply(("",), back=True)


def test_a_stray_space_agrees_to_nothing(open_window: OpenWindow, clock: Clock) -> None:
    window = open_window(clock=clock)
    for milliseconds in range(0, 600, 50):
        clock.at(milliseconds, SPACE, RETURN)
    clock.at(600, ARROW_DOWN, ARROW_DOWN, RETURN)
    assert window.choose(Page("Consent", ("We record what you drive.",)), ("I agree", "I decline")) == 1


def test_f11_resizes_at_once_on_a_page_and_pauses_while_time_runs(open_window: OpenWindow, clock: Clock) -> None:
    window = open_window(clock=clock, countdown_from=1)
    window.listener = script = Script(resize=[SPACE], key_down_f9=[down(pygame.K_F11)])
    pygame.event.post(TICK)
    window.page(PAGE)
    assert script.kinds == ["resize"]
    assert script.told[-1] == ("key_down", "space")

    window.listener = script = Script()
    clock.at(clock.now // MS + 50, down(pygame.K_F11))
    assert window.wait(clock.now + 100 * MS) >= 1000 * MS
    assert script.kinds == ["pause", "resize", "resume"]
    assert ("resize", "640x480") in script.told


def test_time_running_before_anything_was_shown_can_be_paused(open_window: OpenWindow, clock: Clock) -> None:
    window = open_window(clock=clock, countdown_from=0)
    window.listener = Script(pause=[ESC])
    clock.at(50, ESC)
    assert window.wait(100 * MS) > 0


def test_closing_twice_leaves_fonts_and_surfaces_to_the_game(open_window: OpenWindow) -> None:
    window = open_window()
    window.close()
    window.close()
    pygame.display.init()
    pygame.display.quit()
    window.close()
    assert not pygame.display.get_init()
    font = pygame.font.Font(pygame.font.get_default_font(), 42)
    canvas = pygame.Surface((200, 100), 0, 32)
    canvas.blit(font.render("0007", True, (255, 255, 255)), (0, 0))
    assert pygame.transform.smoothscale(canvas, (20, 10)).get_bounding_rect().width > 0


@pytest.mark.parametrize("settings", [{"size": (100, 100)}, {"countdown_from": 11}, {"countdown_from": -1}])
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Window(HeldKeys(SPEC), TEXT, **settings)


@pytest.mark.parametrize("display", ["", ":987654"])
def test_without_a_display_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch, display: str) -> None:
    for name in ("SDL_VIDEODRIVER", "SDL_VIDEO_DRIVER", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", display)
    with pytest.raises(NoDisplayError, match="--headless") as refusal:
        Window(HeldKeys(SPEC), TEXT)
    assert "\n" not in str(refusal.value)
    assert not pygame.display.get_init()


def test_an_unknown_video_driver_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "crystal_ball")
    with pytest.raises(NoDisplayError, match="crystal_ball"):
        Window(HeldKeys(SPEC), TEXT)


def test_plain_pygame_is_refused_with_the_way_to_mend_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(pygame, "IS_CE")
    with pytest.raises(RacerError, match="--force-reinstall pygame-ce"):
        Window(HeldKeys(SPEC), TEXT)


# Tasks that wait for answers, and tasks of other keys ---------------------------------------------------------------


COMMENT, CONTROL = Item("comment", "Anything?", kind="text"), Item("control", "The car obeyed.")


def asking(open_window: OpenWindow, clock: Clock, **settings: Any) -> Window:
    """Return a window on a task that waits for answers."""
    return open_window(keys=HeldKeys(make_spec(ANSWERS)), clock=clock, **settings)


def test_an_answer_is_a_key_of_an_action_pressed_after_the_frame_was_shown(
    open_window: OpenWindow, clock: Clock
) -> None:
    window = asking(open_window, clock)
    driver = KeyboardDriver(window.keys)
    clock.at(20, down(pygame.K_n))
    window.wait(100 * MS)
    shown = window.show(FRAME, HUD)
    clock.at(300, down(pygame.K_q), up(pygame.K_q), RETURN)
    clock.at(700, down(pygame.K_y), up(pygame.K_y))
    assert window.await_answer() == 0
    assert driver.act(FRAME) == 1, "what was pressed before is no answer, and what is held is none"
    assert driver.pressed_ns is not None and shown < 700 * MS <= driver.pressed_ns < 760 * MS
    assert clock.now < 800 * MS


def test_a_key_pressed_before_the_frame_was_shown_is_no_answer_though_it_is_heard_of_later(
    open_window: OpenWindow, clock: Clock
) -> None:
    window = asking(open_window, clock)
    pygame.event.post(down(pygame.K_n))
    pygame.event.post(up(pygame.K_n))
    window.show(FRAME, HUD)
    clock.at(700, down(pygame.K_y), up(pygame.K_y))
    window.await_answer()
    assert KeyboardDriver(window.keys).act(FRAME) == 1
    assert clock.now >= 700 * MS


def test_a_key_still_held_answers_again_only_when_it_is_pressed_again(open_window: OpenWindow, clock: Clock) -> None:
    window = asking(open_window, clock)
    driver = KeyboardDriver(window.keys)
    clock.at(100, down(pygame.K_SPACE))
    window.await_answer()
    assert driver.act(FRAME) == 2
    clock.at(1000, up(pygame.K_SPACE), down(pygame.K_SPACE))
    window.await_answer()
    assert clock.now >= 1000 * MS
    assert driver.act(FRAME) == 2


def test_a_pause_while_an_answer_is_awaited_takes_its_time_and_no_answer(open_window: OpenWindow, clock: Clock) -> None:
    window = asking(open_window, clock, countdown_from=10)
    window.listener = script = Script(
        pause_escape=[down(pygame.K_y), up(pygame.K_y), TICK], key_down_f9=[RETURN], resume=[down(pygame.K_F8)]
    )
    window.show(FRAME, HUD)
    clock.at(100, ESC)
    clock.at(2000, down(pygame.K_n))
    paused = window.await_answer()
    assert script.kinds == ["pause", "resume"]
    assert 0 < paused < 1000 * MS, "a task that waits has no countdown"
    assert clock.now >= 2000 * MS
    assert KeyboardDriver(window.keys).act(FRAME) == 0


def test_a_key_held_through_a_pause_is_no_answer(open_window: OpenWindow, clock: Clock) -> None:
    window = asking(open_window, clock)
    window.listener = Script(pause=[down(pygame.K_y), RETURN])
    clock.at(100, ESC)
    clock.at(1500, down(pygame.K_n))
    window.await_answer()
    assert clock.now >= 1500 * MS
    assert KeyboardDriver(window.keys).act(FRAME) == 0


def test_an_answer_can_be_clicked_on_its_button_and_nowhere_else(open_window: OpenWindow, clock: Clock) -> None:
    window = asking(open_window, clock)
    window.listener = script = Script()
    told = window.show(FRAME, HUD)
    width, height = window._stage.painter.size
    spots = [
        [
            (x, y)
            for x in range(0, width, 8)
            for y in range(0, height, 8)
            if window._stage.painter.answer_at((x, y)) == n
        ]
        for n in range(3)
    ]
    assert all(spots) and max(y for x, y in spots[0]) < height
    clock.at(100, click(width // 2, height // 3))
    clock.at(900, click(*spots[2][len(spots[2]) // 2]))
    assert window.await_answer() == 0
    driver = KeyboardDriver(window.keys)
    assert driver.act(FRAME) == 2 and script.kinds == ["click"]
    assert driver.pressed_ns is not None and told < 900 * MS <= driver.pressed_ns < 960 * MS
    assert not window.keys.answered, "a click is over when it was heard of"


def test_a_click_before_the_frame_was_shown_answers_nothing(open_window: OpenWindow, clock: Clock) -> None:
    window = asking(open_window, clock)
    window.show(FRAME, HUD)
    spot = next((x, y) for x in range(960) for y in range(720) if window._stage.painter.answer_at((x, y)) == 0)
    pygame.event.post(click(*spot))
    clock.at(700, down(pygame.K_y), up(pygame.K_y))
    window.await_answer()
    assert KeyboardDriver(window.keys).act(FRAME) == 1


def test_a_picture_that_is_shown_for_a_while_is_gone_then_and_can_still_be_answered(
    open_window: OpenWindow, clock: Clock
) -> None:
    window = asking(open_window, clock)
    shown = window.show(FRAME, HUD)
    picture = pygame.surfarray.array3d(window._stage.painter._canvas.screen)
    seen = []
    window.listener = lambda kind, detail, time_ns: seen.append(
        pygame.surfarray.array3d(window._stage.painter._canvas.screen)
    )
    clock.at(100, down(pygame.K_q))
    clock.at(900, down(pygame.K_q))
    clock.at(1500, down(pygame.K_y))
    window.await_answer(np.full(FRAME.shape, 128, np.uint8), shown + 500 * MS)
    assert clock.now >= 1500 * MS and KeyboardDriver(window.keys).act(FRAME) == 1
    assert np.array_equal(seen[0], picture) and not np.array_equal(seen[1], picture)
    assert (np.abs(seen[1].astype(int) - 128).max(axis=2) == 0).sum() > 100_000


def test_the_session_can_be_ended_while_an_answer_is_awaited(open_window: OpenWindow, clock: Clock) -> None:
    window = asking(open_window, clock)
    window.listener = Script(pause=[ARROW_DOWN, RETURN, ARROW_DOWN, RETURN])
    clock.at(100, ESC)
    with pytest.raises(EndSession):
        window.await_answer()


def test_losing_the_focus_while_an_answer_is_awaited_pauses(open_window: OpenWindow, clock: Clock) -> None:
    window = asking(open_window, clock)
    window.listener = script = Script(pause_focus=[RETURN])
    pygame.event.post(FOCUS_GAINED)
    clock.at(50, FOCUS_LOST)
    clock.at(900, down(pygame.K_n))
    assert window.await_answer() > 0
    assert script.kinds == ["focus_gained", "focus_lost", "pause", "resume"]


def test_a_task_that_waits_begins_when_it_is_looked_at(open_window: OpenWindow, clock: Clock) -> None:
    window = asking(open_window, clock, countdown_from=10)
    window.countdown(HUD, FRAME)
    assert clock.now < 100 * MS


def test_four_actions_reach_the_driver_by_up_down_and_space_too(open_window: OpenWindow, clock: Clock) -> None:
    keys = HeldKeys(make_spec(LANDER), {"right": ["down"]})
    window = open_window(keys=keys, clock=clock)
    driver, actions = KeyboardDriver(keys), []
    for tick, key in enumerate((pygame.K_UP, pygame.K_SPACE, pygame.K_DOWN, pygame.K_a, pygame.K_F9)):
        clock.at(tick * 100 + 30, down(key), up(key))
        window.wait((tick + 1) * 100 * MS)
        actions.append(driver.act(FRAME))
    assert actions == [2, 2, 3, 1, 0]


def test_choosing_in_a_menu_by_keys_of_actions_acts_on_nothing(open_window: OpenWindow, clock: Clock) -> None:
    window = open_window(keys=HeldKeys(make_spec(LANDER)), clock=clock, countdown_from=0)
    window.listener = script = Script(pause=[ARROW_DOWN, down(pygame.K_UP), up(pygame.K_UP), SPACE, up(pygame.K_SPACE)])
    clock.at(50, ESC)
    window.wait(100 * MS)
    assert script.kinds == ["pause", "resume"]
    assert KeyboardDriver(window.keys).act(FRAME) == 0


def test_the_keys_of_every_action_can_be_tested_in_a_window(open_window: OpenWindow) -> None:
    window = open_window(keys=HeldKeys(make_spec(LANDER)))
    order = [pygame.K_SPACE, pygame.K_RIGHT, pygame.K_SPACE, pygame.K_a, pygame.K_SPACE]
    window.listener = script = Script(key_down_f9=[event for key in order for event in (down(key), up(key))])
    pygame.event.post(TICK)
    window.page(Page("Keys", (), show_keys=True, test_keys=True))
    assert script.told.count(("key_down", "space")) == 3


@pytest.mark.parametrize("shape", [(40, 40, 1), (96, 96, 3), (24, 100, 3)], ids=str)
def test_frames_of_any_size_are_shown_counted_down_and_paused(
    open_window: OpenWindow, clock: Clock, shape: tuple[int, int, int]
) -> None:
    window = open_window(keys=HeldKeys(make_spec(frame=shape)), clock=clock, countdown_from=1)
    window.listener = script = Script(pause=[RETURN])
    frame = np.full(shape, 90, np.uint8)
    window.countdown(HUD, frame, frame)
    window.show(frame, HUD)
    clock.at(clock.now // MS + 50, ESC)
    window.wait(clock.now + 100 * MS)
    assert script.kinds == ["pause", "resume"]


@pytest.mark.xvfb
def test_real_keys_steer_a_real_window(xdotool: Callable[..., None]) -> None:
    window = Window(HeldKeys(SPEC), TEXT)
    window.listener = script = Script()
    driver = KeyboardDriver(window.keys)
    window.show(FRAME, HUD)
    wait_until(window, lambda: "focus_gained" in script.kinds)

    xdotool("keydown", "Left")
    wait_until(window, lambda: ("key_down", "left") in script.told)
    assert [driver.act(FRAME), driver.act(FRAME)] == [LEFT, LEFT]
    xdotool("keyup", "Left")
    wait_until(window, lambda: ("key_up", "left") in script.told)
    assert driver.act(FRAME) == STRAIGHT

    xdotool("key", "d")
    wait_until(window, lambda: ("key_up", "d") in script.told)
    assert [driver.act(FRAME), driver.act(FRAME)] == [RIGHT, STRAIGHT]
    window.close()


@pytest.mark.xvfb
def test_real_keys_lead_from_the_page_to_the_end_of_the_session(xdotool: Callable[..., None]) -> None:
    window = Window(HeldKeys(SPEC), TEXT, countdown_from=1)
    answers = {"focus_gained": ["space"], "pause": ["Down", "Return", "Down", "Return"]}
    told: list[str] = []

    def listener(kind: str, detail: str, time_ns: int) -> None:
        told.append(kind)
        if kind in answers:
            xdotool("key", *answers.pop(kind))

    window.listener = listener
    window.page(PAGE)
    window.countdown(HUD, FRAME)
    window.show(FRAME, HUD)
    xdotool("key", "Escape")
    with pytest.raises(EndSession):
        window.wait(time.monotonic_ns() + 20_000 * MS)
    assert told[-1] == "end"
    window.close()
