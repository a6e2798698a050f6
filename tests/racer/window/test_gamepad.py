"""Gamepads: SDL's own virtual one, plugged in while a window is open, and posted events."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path

import pygame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pygame.event import Event
from racing_builders import LEFT, RIGHT, STRAIGHT
from window_builders import FRAME, HUD, MS, Clock, OpenWindow, Script, down, windows_opened

from racer.drivers.keyboard import HeldKeys, KeyboardDriver, check_bindings
from racer.loop.display import Page
from racer.tasks.registry import make_task
from racer.window.gamepad import Gamepads
from racer.window.stage import accepts

(SDL,) = (ctypes.CDLL(str(path)) for path in Path(pygame.__file__).parents[1].glob("pygame_ce.libs/libSDL2-2*"))
SDL.SDL_JoystickFromInstanceID.restype = ctypes.c_void_p
GAMEPAD, AXES, BUTTONS, HATS = 1, 2, 4, 1


@pytest.fixture
def open_window(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenWindow]:
    with windows_opened(monkeypatch) as open_one:
        yield open_one


class Virtual:
    """A gamepad that SDL believes in."""

    def __init__(self) -> None:
        self._index = SDL.SDL_JoystickAttachVirtual(GAMEPAD, AXES, BUTTONS, HATS)
        assert self._index >= 0
        instance = SDL.SDL_JoystickGetDeviceInstanceID(self._index)
        self._pad = lambda: ctypes.c_void_p(SDL.SDL_JoystickFromInstanceID(instance))

    def axis(self, number: int, value: float) -> None:
        SDL.SDL_JoystickSetVirtualAxis(self._pad(), number, ctypes.c_int16(round(value * 32767)))

    def button(self, number: int, pressed: bool) -> None:
        SDL.SDL_JoystickSetVirtualButton(self._pad(), number, pressed)

    def hat(self, value: int) -> None:
        SDL.SDL_JoystickSetVirtualHat(self._pad(), 0, value)

    def unplug(self) -> None:
        SDL.SDL_JoystickDetachVirtual(self._index)


def test_a_stick_steers_beyond_its_dead_zone_and_is_recorded_as_what_it_is(open_window: OpenWindow) -> None:
    clock = Clock()
    window = open_window(clock=clock)
    window.listener = script = Script()
    pad, driver = Virtual(), KeyboardDriver(window.keys)
    window.wait(clock.now + 20 * MS)

    def after(move: Callable[[], None]) -> int:
        move()
        window.show(FRAME, HUD)
        window.wait(clock.now + 50 * MS)
        return driver.act(FRAME)

    assert after(lambda: pad.axis(0, 0.4)) == STRAIGHT
    assert after(lambda: pad.axis(0, 0.9)) == RIGHT
    assert after(lambda: pad.axis(0, 0.4)) == RIGHT, "a hand that gives way a little has not let go"
    assert after(lambda: pad.axis(0, -1.0)) == LEFT
    assert after(lambda: pad.axis(0, 0.0)) == STRAIGHT
    assert after(lambda: pad.hat(2)) == RIGHT
    pad.hat(0)
    window.wait(clock.now + 50 * MS)
    pad.button(3, True)
    window.wait(clock.now + 50 * MS)
    assert script.told == [
        ("key_down", "pad right"),
        ("key_up", "pad right"),
        ("key_down", "pad left"),
        ("key_up", "pad left"),
        ("key_down", "pad right"),
        ("key_up", "pad right"),
        ("key_down", "pad 4"),
    ]
    window.listener = unplugged = Script(pause=[down(pygame.K_RETURN)])
    pad.unplug()
    window.wait(clock.now + 50 * MS)
    assert ("key_up", "pad 4") in unplugged.told and unplugged.kinds[-1] == "resume", "time stood still meanwhile"


def test_the_key_test_and_pages_are_gone_through_with_a_gamepad(open_window: OpenWindow) -> None:
    window = open_window()
    pushed = [Event(pygame.JOYHATMOTION, instance_id=0, hat=0, value=(side, 0)) for side in (-1, 0, 1, 0)]
    accepted = [Event(kind, instance_id=0, button=0) for kind in (pygame.JOYBUTTONDOWN, pygame.JOYBUTTONUP)] * 2
    window.listener = script = Script(key_down_f9=[*pushed, *accepted])
    pygame.event.post(down(pygame.K_F9))
    window.page(Page("Keys", (), show_keys=True, test_keys=True))
    assert [detail for kind, detail in script.told if kind == "key_down"][1:4] == ["pad left", "pad right", "pad 1"]


def test_a_study_may_name_buttons_and_directions_follow_the_arrows() -> None:
    spec = make_task("car-racing").spec
    assert check_bindings(spec, {"left": ["pad 5"]})["left"] == ("pad 5",)
    keys = HeldKeys(spec, {"left": ["pad 5"], "right": ["d"]})
    assert [keys.action_of(name) for name in ("pad 5", "pad left", "pad right", "pad 1")] == [LEFT, LEFT, RIGHT, None]


def test_a_button_is_no_key_where_text_is_typed(open_window: OpenWindow) -> None:
    window = open_window()
    assert not accepts(Event(pygame.JOYBUTTONDOWN, instance_id=0, button=0))
    window._stage._take_text(True)
    window.listener = script = Script()
    pygame.event.post(Event(pygame.JOYHATMOTION, instance_id=0, hat=0, value=(-1, 0)))
    list(window._stage.events())
    assert script.told == [] and window.keys.action == STRAIGHT


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(-1, 1)), max_size=30))
def test_what_goes_down_comes_up_before_it_goes_down_again(moves: list[tuple[int, float]]) -> None:
    pads, held = Gamepads(), set()
    for axis, value in [*moves, (0, 0.0), (1, 0.0)]:
        for name, pressed in pads.take(Event(pygame.JOYAXISMOTION, instance_id=0, axis=axis, value=value)):
            assert (name in held) != pressed
            held ^= {name}
    assert not held
