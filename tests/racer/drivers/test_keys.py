from __future__ import annotations

import subprocess
import sys

import numpy as np
import pygame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from racer.drivers.keyboard import LEFT_KEYS, RIGHT_KEYS, HeldKeys, KeyboardDriver, check_keys, key_label
from racer.errors import ConfigError

KEYS = [*LEFT_KEYS, *RIGHT_KEYS, "space"]
FRAME = np.zeros((64, 64, 3), np.uint8)
HAPPENINGS = st.lists(st.tuples(st.sampled_from(["press", "release", "sample"]), st.sampled_from(KEYS)), max_size=60)


def side(keys: set[str]) -> int:
    return bool(keys & set(RIGHT_KEYS)) - bool(keys & set(LEFT_KEYS))


def played(happenings: list[tuple[str, str]]) -> HeldKeys:
    keys = HeldKeys()
    for what, key in happenings:
        if what == "sample":
            keys.sample()
        else:
            (keys.press if what == "press" else keys.release)(key)
    return keys


@given(HAPPENINGS)
def test_a_sample_is_right_minus_left_of_what_is_held_or_was_pressed_since(happenings: list[tuple[str, str]]) -> None:
    keys, held, down = HeldKeys(), set[str](), set[str]()
    for what, key in happenings:
        if what == "press":
            keys.press(key)
            held.add(key)
            down.add(key)
        elif what == "release":
            keys.release(key)
            held.discard(key)
        else:
            assert keys.sample() == side(held | down)
            down = set()
        assert keys.action == side(held)


@given(HAPPENINGS)
def test_two_samples_in_a_row_leave_only_what_is_held(happenings: list[tuple[str, str]]) -> None:
    keys = played(happenings)
    keys.sample()
    assert keys.sample() == keys.action


@given(HAPPENINGS)
def test_clear_forgets_held_keys_and_taps(happenings: list[tuple[str, str]]) -> None:
    keys = played(happenings)
    keys.clear()
    assert (keys.action, keys.sample()) == (0, 0)


@pytest.mark.parametrize(("key", "action"), [("left", -1), ("a", -1), ("right", 1), ("d", 1), ("space", 0)])
def test_a_tap_between_two_samples_steers_for_exactly_one(key: str, action: int) -> None:
    keys = HeldKeys()
    keys.press(key)
    keys.release(key)
    assert [keys.sample(), keys.sample()] == [action, 0]


def test_two_keys_of_one_side_count_as_one_and_steer_until_both_are_up() -> None:
    keys = HeldKeys()
    keys.press("left")
    keys.press("a")
    assert keys.sample() == -1
    keys.release("left")
    assert keys.sample() == -1
    keys.release("a")
    assert keys.sample() == 0


def test_moving_to_the_other_side_steers_there_at_once() -> None:
    keys = HeldKeys()
    keys.press("left")
    assert keys.sample() == -1
    keys.release("left")
    keys.press("right")
    assert keys.sample() == 1


def test_both_sides_or_a_tap_against_a_held_key_go_straight() -> None:
    keys = HeldKeys()
    keys.press("right")
    keys.sample()
    keys.press("a")
    assert keys.sample() == 0
    keys.release("a")
    assert keys.sample() == 1
    keys.press("a")
    keys.release("a")
    assert [keys.sample(), keys.sample()] == [0, 1]


def test_other_keys_can_be_chosen_but_none_for_both_sides() -> None:
    keys = HeldKeys(left=["j"], right=["l"])
    keys.press("l")
    keys.press("left")
    assert keys.sample() == 1
    with pytest.raises(ValueError, match="both ways: j"):
        HeldKeys(left=["j"], right=["j", "l"])


def test_the_driver_samples_and_its_reset_keeps_held_keys_but_not_taps() -> None:
    keys = HeldKeys()
    driver = KeyboardDriver(keys)
    keys.press("left")
    keys.release("left")
    keys.press("right")
    driver.reset()
    assert driver.act(FRAME) == 1
    keys.release("right")
    assert driver.act(FRAME) == 0


@pytest.mark.parametrize(
    ("left", "right", "why"),
    [
        ([], ["d"], "no key steers left"),
        (["a"], [], "no key steers right"),
        (["Left"], ["d"], "did you mean 'left'"),
        (["lshift"], ["d"], "did you mean 'left shift'"),
        (["a"], ["the pedal"], "no steering key"),
        (["a"], [""], "no steering key"),
        (["a"], ["\x00" * 1000], "no steering key"),
        (["a", "j"], ["j"], "both ways: j"),
        *((["a"], [key], "the window needs it") for key in ("escape", "f11", "space", "return", "enter", "tab", "up")),
    ],
)
def test_keys_that_cannot_steer_are_refused_in_one_line(left: list[str], right: list[str], why: str) -> None:
    for check in (check_keys, HeldKeys):
        with pytest.raises(ConfigError, match=why) as refusal:
            check(left, right)
        assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 200


def test_every_key_that_may_steer_is_one_that_pygame_names_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame.display.init()
    codes = {value for name, value in vars(pygame).items() if name.startswith("K_")}
    names = {pygame.key.name(code) for code in codes}
    pygame.display.quit()
    allowed = [name for name in names | {"left", "q", "[7]", "é", "A"} if steers(name)]
    assert {"left", "a", "right shift", "[4]", "page up", "7", ";"} <= set(allowed) <= names
    assert len(allowed) > 80


def steers(name: str) -> bool:
    try:
        check_keys([name], ["x" if name != "x" else "y"])
    except ConfigError:
        return False
    return True


def test_key_names_are_checked_without_pygame() -> None:
    code = (
        "import sys; from racer.drivers.keyboard import check_keys; "
        "check_keys(['j'], ['l']); sys.exit('pygame' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "label"), [("a", "A"), ("left shift", "Left Shift"), ("[4]", "4"), ("[", "["), ("f1", "F1")]
)
def test_a_key_is_called_what_the_keyboard_has_printed_on_it(name: str, label: str) -> None:
    assert key_label(name) == label
