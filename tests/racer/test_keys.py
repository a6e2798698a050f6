from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from racer.keys import LEFT_KEYS, RIGHT_KEYS, HeldKeys, KeyboardDriver

KEYS = [*sorted(LEFT_KEYS | RIGHT_KEYS), "space"]
FRAME = np.zeros((64, 64, 3), np.uint8)
HAPPENINGS = st.lists(st.tuples(st.sampled_from(["press", "release", "sample"]), st.sampled_from(KEYS)), max_size=60)


def side(keys: set[str]) -> int:
    return bool(keys & RIGHT_KEYS) - bool(keys & LEFT_KEYS)


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
