"""A study's window: the participant can only pause, and the experimenter's menu is behind Ctrl+Shift+X and a code."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pygame
import pytest
from pygame.event import Event
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
    down,
    up,
    windows_opened,
    x_server,
)

from racer.drivers.keyboard import HeldKeys
from racer.loop.display import EndSession, Page, RedoEpisode
from racer.sitting.questionnaires import Item
from racer.window.texts import english
from racer.window.window import Window

CHORD = down(pygame.K_x, pygame.KMOD_LCTRL | pygame.KMOD_RSHIFT)
F11 = down(pygame.K_F11)
NOTE = [ARROW_DOWN, RETURN]
REDO = [ARROW_DOWN, ARROW_DOWN, RETURN]
END = [ARROW_DOWN] * 4 + [RETURN]
CONFIRM = [ARROW_DOWN, RETURN]


@pytest.fixture
def open_window(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenWindow]:
    with windows_opened(monkeypatch) as open_one:
        yield open_one


@pytest.fixture
def clock() -> Clock:
    return Clock()


def typed(text: str) -> list[Event]:
    return [event for c in text for event in (down(ord(c)), Event(pygame.TEXTINPUT, text=c), up(ord(c)))]


@pytest.mark.parametrize("slip", [ESC, QUIT])
@pytest.mark.parametrize("keys", [[RETURN], [ARROW_DOWN, RETURN], [QUIT, QUIT, ARROW_DOWN, SPACE], [ESC]])
def test_nothing_that_the_participant_does_ends_a_locked_session(
    open_window: OpenWindow, clock: Clock, slip: Event, keys: list[Event]
) -> None:
    window = open_window(clock=clock, countdown_from=1, locked=True)
    window.listener = script = Script(pause=[*keys, RETURN])
    clock.at(50, slip)
    assert window.wait(100 * MS) > 0
    assert script.kinds == ["pause", "resume"]


def test_a_locked_window_that_loses_the_focus_pauses(open_window: OpenWindow, clock: Clock) -> None:
    window = open_window(clock=clock, countdown_from=1, locked=True)
    window.listener = script = Script(pause=[RETURN])
    pygame.event.post(FOCUS_GAINED)
    clock.at(50, FOCUS_LOST)
    assert window.wait(100 * MS) > 0
    assert script.told[-1] == ("resume", "focus")


@pytest.mark.parametrize("locked", [True, False])
def test_the_experimenter_pauses_a_drive_and_the_deadline_moves_by_the_time_paused(
    open_window: OpenWindow, clock: Clock, locked: bool
) -> None:
    window = open_window(clock=clock, countdown_from=2, locked=locked)
    window.listener = script = Script(pause=[RETURN])
    clock.at(100, CHORD)
    paused = window.wait(500 * MS)
    assert [told for told in script.told if not told[0].startswith("key")] == [
        ("pause", "experimenter"),
        ("resume", "experimenter"),
    ]
    assert paused >= 2000 * MS
    assert 500 * MS + paused <= clock.now < 600 * MS + paused


@pytest.mark.parametrize("mod", [0, pygame.KMOD_LCTRL, pygame.KMOD_LSHIFT])
def test_only_the_whole_chord_opens_the_menu(open_window: OpenWindow, clock: Clock, mod: int) -> None:
    window = open_window(clock=clock, locked=True)
    clock.at(50, down(pygame.K_x, mod))
    assert window.wait(100 * MS) == 0


def test_the_chord_works_where_the_layout_has_no_latin_letters(open_window: OpenWindow, clock: Clock) -> None:
    window = open_window(clock=clock, countdown_from=0)
    window.listener = script = Script(pause=[ESC])
    cyrillic = {"key": 0x447, "scancode": pygame.KSCAN_X, "mod": pygame.KMOD_CTRL | pygame.KMOD_SHIFT}
    clock.at(50, Event(pygame.KEYDOWN, cyrillic))
    window.wait(100 * MS)
    assert script.kinds == ["pause", "resume"]


ITEM, COMMENT = Item("control", "The car obeyed."), Item("comment", "Anything?", kind="text")
SCREENS: dict[str, Callable[[Window], object]] = {
    "page": lambda window: window.page(PAGE),
    "choice": lambda window: window.choose(Page("Consent", ()), ("Agree", "Decline")),
    "rating": lambda window: window.ask([ITEM], "", (), back=False),
    "writing": lambda window: window.ask([COMMENT], "", (), back=False),
    "countdown": lambda window: window.countdown(HUD, FRAME),
    "drive": lambda window: window.wait(10_000 * MS),
}


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize(("chosen", "raised"), [(REDO, RedoEpisode), (END, EndSession)])
def test_the_experimenter_can_redo_or_end_from_any_screen(
    open_window: OpenWindow, clock: Clock, screen: str, chosen: list[Event], raised: type[Exception]
) -> None:
    window = open_window(clock=clock, locked=True)
    window.listener = script = Script(pause_experimenter=[*chosen, *CONFIRM])
    clock.at(100, CHORD)
    with pytest.raises(raised):
        SCREENS[screen](window)
    assert script.kinds == (["pause", "end"] if raised is EndSession else ["pause"])
    if raised is EndSession:
        assert script.told[-1] == ("end", "experimenter")


@pytest.mark.parametrize("chosen", [REDO, END])
@pytest.mark.parametrize("answer", [RETURN, SPACE, ESC])
def test_redoing_and_ending_take_a_confirmation(
    open_window: OpenWindow, clock: Clock, chosen: list[Event], answer: Event
) -> None:
    window = open_window(clock=clock, countdown_from=0, locked=True)
    window.listener = script = Script(pause=[*chosen, answer, ESC])
    clock.at(50, CHORD)
    window.wait(100 * MS)
    assert script.kinds == ["pause", "resume"]


def test_the_menu_opens_over_the_participants_pause(open_window: OpenWindow, clock: Clock) -> None:
    window = open_window(clock=clock, locked=True)
    window.listener = script = Script(pause_escape=[CHORD, *END, *CONFIRM])
    clock.at(50, ESC)
    with pytest.raises(EndSession):
        window.wait(100 * MS)
    assert script.told[-1] == ("end", "experimenter")


def test_the_right_code_opens_the_menu_and_no_key_of_it_is_told(open_window: OpenWindow, clock: Clock) -> None:
    window = open_window(clock=clock, locked=True, code="a7d")
    window.listener = script = Script(
        pause=[*typed("a7q"), down(pygame.K_BACKSPACE), *typed("d"), RETURN, *END, *CONFIRM]
    )
    clock.at(50, CHORD)
    with pytest.raises(EndSession):
        window.wait(100 * MS)
    assert not {"a", "7", "d", "q", "backspace"} & {detail for _, detail in script.told}
    assert window.keys.sample() == SPEC.neutral


@pytest.mark.parametrize(
    "keys",
    [
        [ESC],
        [*typed("1234"), RETURN, RETURN],
        [RETURN, RETURN],
        [*typed("a7d"), ESC],
        [*typed("A7D"), RETURN, F11, RETURN],
    ],
)
def test_without_the_code_the_session_goes_on(open_window: OpenWindow, clock: Clock, keys: list[Event]) -> None:
    window = open_window(clock=clock, countdown_from=0, locked=True, code="a7d", fullscreen=True)
    window.listener = script = Script(pause=[*keys, *END, *CONFIRM])
    clock.at(50, CHORD)
    assert window.wait(100 * MS) > 0
    assert script.kinds == ["pause", "resume"]


def test_a_window_that_is_not_locked_asks_for_no_code(open_window: OpenWindow, clock: Clock) -> None:
    window = open_window(clock=clock, code="a7d")
    window.listener = Script(pause=[*END, *CONFIRM])
    clock.at(50, CHORD)
    with pytest.raises(EndSession):
        window.wait(100 * MS)


def test_a_note_is_told_as_it_was_typed_and_an_empty_or_discarded_one_is_not(
    open_window: OpenWindow, clock: Clock
) -> None:
    window = open_window(clock=clock, countdown_from=0, locked=True)
    written = Event(pygame.TEXTINPUT, text="Größe: 3 ")
    window.listener = script = Script(
        pause=[*NOTE, *typed("lost"), ESC, *NOTE, *typed(" "), RETURN, *NOTE, written, RETURN, ESC]
    )
    clock.at(50, CHORD)
    window.wait(100 * MS)
    assert [detail for kind, detail in script.told if kind == "note"] == ["Größe: 3"]
    assert script.kinds == ["pause", "note", "resume"]


@pytest.mark.parametrize("code", ["7", ""])
def test_leaving_full_screen_takes_the_code_where_there_is_one(
    open_window: OpenWindow, clock: Clock, code: str
) -> None:
    def in_full_screen(window: Window) -> bool:
        return window._stage.fullscreen

    window = open_window(clock=clock, fullscreen=True, locked=True, code=code)
    window.listener = Script(key_down_f9=[F11, *[ESC] * bool(code), down(pygame.K_F8)], key_down_f8=[SPACE])
    pygame.event.post(TICK)
    window.page(PAGE)
    assert in_full_screen(window) == bool(code)
    window.listener = Script(key_down_f9=[F11, *typed(code), RETURN, down(pygame.K_F8)], key_down_f8=[SPACE])
    pygame.event.post(TICK)
    window.page(PAGE)
    assert in_full_screen(window) != bool(code)


def test_the_experimenter_leaves_full_screen_from_the_menu(open_window: OpenWindow, clock: Clock) -> None:
    window = open_window(clock=clock, countdown_from=0, fullscreen=True, locked=True)
    window.listener = Script(pause=[ARROW_DOWN, ARROW_DOWN, ARROW_DOWN, RETURN, ESC])
    clock.at(50, CHORD)
    window.wait(100 * MS)
    assert not window._stage.fullscreen


@pytest.mark.xvfb
def test_real_keys_lead_through_consent_questions_and_the_experimenters_menu(monkeypatch: pytest.MonkeyPatch) -> None:
    with x_server(monkeypatch) as xdotool:
        window = Window(HeldKeys(SPEC), TEXT, locked=True, code="x7", countdown_from=0)
        told: list[tuple[str, str]] = []
        waiting: list[str] = []
        due = [0]

        def clock() -> int:
            """Tell the time, and press the next keys once those before have had a while to show."""
            now = time.monotonic_ns()
            if waiting and now > due[0]:
                xdotool("key", *waiting.pop(0).split())
                due[0] = now + 400 * MS
            assert now < due[0] + 20_000 * MS, "the X server's events never came"
            return now

        def press(*keys: str) -> None:
            waiting[:], due[0] = keys, time.monotonic_ns() + 500 * MS

        window._stage.clock = clock
        window.listener = lambda kind, detail, now: told.append((kind, detail))
        press("space Return Down space")
        assert window.choose(Page("Consent", ("We record your drive.",)), ("I agree", "I decline")) == 0
        press("space Right Right Return")
        assert window.ask([ITEM], "Question 1 of 2", (), back=False).answers == ("6",)
        press("a Y space exclam Return b ctrl+Return")
        assert window.ask([COMMENT], "Question 2 of 2", (), back=True).answers == ("aY !\nb",)
        assert ("key_down", "b") not in told
        press("ctrl+shift+x", "x 7 Return", "Down Return", "h i Return", "Down Down Down Down Return", "Down Return")
        with pytest.raises(EndSession):
            window.page(PAGE)
        assert ("note", "hi") in told
        assert told[-1] == ("end", "experimenter")
        assert not {("key_down", "7"), ("key_down", "h")} & set(told)
        window.close()


def test_a_wrong_code_can_be_typed_again_and_a_saved_note_says_so(open_window: OpenWindow, clock: Clock) -> None:
    window = open_window(clock=clock, countdown_from=0, locked=True, code="a7d")
    menus: list[str] = []
    drawn = window._stage.painter.menu
    window._stage.painter.menu = lambda menu, *rest: (menus.append(menu.text), drawn(menu, *rest))[1]  # type: ignore
    note = [ARROW_DOWN, RETURN, *typed("loud"), RETURN]
    window.listener = script = Script(pause=[*typed("no"), RETURN, *typed("a7d"), RETURN, *note, ESC])
    clock.at(50, CHORD)
    assert window.wait(100 * MS) > 0
    assert ("note", "loud") in script.told
    texts = english().texts
    assert texts.code_wrong_text in menus and texts.note_saved in menus
