from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence

import numpy as np
import pygame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_builders import ANSWERS, LANDER, WHEEL, make_spec

from racer.drivers.keyboard import HeldKeys, KeyboardDriver, check_bindings, default_bindings, key_label
from racer.errors import ConfigError
from racer.tasks.registry import make_task, needed_settings, task_names
from racer.tasks.task import Action, TaskSpec

LEFT, STRAIGHT, RIGHT = range(3)
STEERING = make_spec(WHEEL, together="neutral")
LANDING = make_spec(LANDER)
EITHER = make_spec((Action("first", ("f",)), Action("second", ("s",))), neutral=1)
MANY = make_spec((Action("rest"), *(Action(f"act-{key}", (key, f"[{key}]")) for key in "123456789")))
ASKING = make_spec(ANSWERS)
SPECS = [STEERING, LANDING, EITHER, ASKING, make_spec(LANDER, together="neutral")]
FRAME = np.zeros((64, 64, 3), np.uint8)


@st.composite
def key_events(draw: st.DrawFn) -> tuple[TaskSpec, list[tuple[str, str]]]:
    spec = draw(st.sampled_from(SPECS))
    keys = [key for action in spec.actions for key in action.keys] + ["q"]
    what = st.tuples(st.sampled_from(["press", "release", "sample"]), st.sampled_from(keys))
    return spec, draw(st.lists(what, max_size=60))


def meant(spec: TaskSpec, keys: list[str]) -> int | None:
    """Return what keys mean together, in the order in which they last went down."""
    actions = [index for key in keys for index, action in enumerate(spec.actions) if key in action.keys]
    if len(set(actions)) > 1 and spec.together == "neutral":
        return spec.neutral
    return actions[-1] if actions else spec.neutral


def played(spec: TaskSpec, happened: list[tuple[str, str]]) -> HeldKeys:
    keys = HeldKeys(spec)
    for what, key in happened:
        if what == "sample":
            keys.sample()
        else:
            (keys.press if what == "press" else keys.release)(key)
    return keys


@given(key_events())
def test_a_sample_says_what_the_keys_mean_that_are_held_or_were_pressed_since(
    case: tuple[TaskSpec, list[tuple[str, str]]],
) -> None:
    spec, happened = case
    # Every key, where it went down last; those that are up and were not pressed since do not count.
    keys, order, held, since = HeldKeys(spec), list[str](), set[str](), set[str]()
    for what, key in happened:
        if what == "press":
            keys.press(key)
            order = [*(other for other in order if other != key), key]
            held.add(key)
            since.add(key)
        elif what == "release":
            keys.release(key)
            held.discard(key)
        else:
            assert keys.answered == bool(since - {"q"})
            assert keys.sample() == meant(spec, [key for key in order if key in held | since])
            since = set()
        assert keys.action == meant(spec, [key for key in order if key in held])


@given(key_events())
def test_two_samples_in_a_row_leave_only_what_is_held(case: tuple[TaskSpec, list[tuple[str, str]]]) -> None:
    keys = played(*case)
    keys.sample()
    assert keys.sample() == keys.action


@given(key_events())
def test_clear_forgets_held_keys_and_taps(case: tuple[TaskSpec, list[tuple[str, str]]]) -> None:
    keys = played(*case)
    keys.clear()
    assert (keys.action, keys.answered, keys.sample()) == (case[0].neutral, False, case[0].neutral)


@pytest.mark.parametrize("spec", [STEERING, LANDING, EITHER, MANY], ids=lambda spec: len(spec.actions))
def test_a_tap_between_two_samples_acts_for_exactly_one(spec: TaskSpec) -> None:
    for index, action in enumerate(spec.actions):
        for key in action.keys:
            keys = HeldKeys(spec)
            keys.press(key)
            keys.release(key)
            assert [keys.sample(), keys.sample()] == [index, spec.neutral]


def test_two_keys_of_one_action_count_as_one_and_act_until_both_are_up() -> None:
    keys = HeldKeys(STEERING)
    keys.press("left")
    keys.press("a")
    assert keys.sample() == LEFT
    keys.release("left")
    assert keys.sample() == LEFT
    keys.release("a")
    assert keys.sample() == STRAIGHT


@pytest.mark.parametrize("together", ["neutral", "latest"])
def test_moving_to_another_key_acts_by_it_at_once(together: str) -> None:
    keys = HeldKeys(make_spec(WHEEL, together=together))
    keys.press("left")
    assert keys.sample() == LEFT
    keys.release("left")
    keys.press("right")
    assert keys.sample() == RIGHT


def test_on_a_wheel_both_sides_or_a_tap_against_a_held_key_go_straight() -> None:
    keys = HeldKeys(STEERING)
    keys.press("right")
    keys.sample()
    keys.press("a")
    assert keys.sample() == STRAIGHT
    keys.release("a")
    assert keys.sample() == RIGHT
    keys.press("a")
    keys.release("a")
    assert [keys.sample(), keys.sample()] == [STRAIGHT, RIGHT]


def test_elsewhere_the_key_that_went_down_last_counts_and_then_the_one_still_held() -> None:
    keys = HeldKeys(LANDING)
    keys.press("left")
    keys.press("up")
    keys.press("right")
    assert keys.sample() == 3
    keys.release("right")
    assert keys.sample() == 2
    keys.press("a")
    keys.release("a")
    assert [keys.sample(), keys.sample()] == [1, 2]
    keys.press("left")
    assert keys.sample() == 1, "a key that is pressed again went down last"
    keys.release("left")
    keys.release("up")
    assert keys.sample() == LANDING.neutral


def test_only_an_action_without_keys_can_be_the_answer_to_nothing() -> None:
    keys = HeldKeys(ASKING)
    assert (keys.action, keys.answered, keys.sample()) == (None, False, None)
    keys.press("space")
    assert keys.answered
    assert keys.sample() == 2
    assert not keys.answered, "held is not pressed again"
    assert keys.bound == (0, 1, 2) and HeldKeys(LANDING).bound == (1, 2, 3)


def test_a_sample_knows_when_the_last_of_its_keys_was_pressed() -> None:
    keys = HeldKeys(LANDING)
    keys.press("left", 5)
    keys.press("q", 7)
    keys.sample()
    assert keys.response_ns == 5
    keys.sample()
    assert keys.response_ns is None, "it was only held"
    keys.press("up", 11)
    keys.release("up")
    keys.press("right", 13)
    driver = KeyboardDriver(keys)
    assert driver.act(FRAME) == 3
    assert driver.pressed_ns == 13
    keys.press("up", 17)
    driver.reset()
    driver.act(FRAME)
    assert driver.pressed_ns is None


def test_other_keys_can_be_chosen_for_some_actions_and_none_for_two() -> None:
    keys = HeldKeys(STEERING, {"right": ["l"]})
    for key in ("l", "right", "d"):
        keys.press(key)
    assert keys.sample() == RIGHT
    keys.press("a")
    assert keys.sample() == STRAIGHT
    assert keys.bindings == {"left": ("left", "a"), "right": ("l",)}
    assert (keys.action_of("a"), keys.action_of("l"), keys.action_of("right")) == (LEFT, RIGHT, None)
    HeldKeys(STEERING, {"left": ["d"], "right": ["a"]})
    with pytest.raises(ConfigError, match="two actions: a is that of left and of right"):
        HeldKeys(STEERING, {"right": ["a"]})


def test_the_driver_samples_and_its_reset_keeps_held_keys_but_not_taps() -> None:
    keys = HeldKeys(STEERING)
    driver = KeyboardDriver(keys)
    keys.press("left")
    keys.release("left")
    keys.press("right")
    driver.reset()
    assert driver.act(FRAME) == RIGHT
    keys.release("right")
    assert driver.act(FRAME) == STRAIGHT


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"left": []}, "no key is named for left; name at least one, such as 'left'"),
        ({"right": []}, "no key is named for right"),
        ({"left": ["Left"]}, "did you mean 'left'"),
        ({"left": ["lshift"]}, "did you mean 'left shift'"),
        ({"right": ["the pedal"]}, "there is no key 'the pedal'"),
        ({"right": [""]}, "there is no key ''"),
        ({"right": ["\x00" * 1000]}, "there is no key"),
        ({"left": ["a", "j"], "right": ["j"]}, "two actions: j is that of left and of right"),
        ({"brake": ["b"]}, "no action 'brake' has keys in task trying; there are left, right"),
        ({"straight": ["s"]}, "no action 'straight' has keys"),
        ({"x" * 500: ["s"]}, "there are left, right"),
        *(({"left": [key]}, "the window needs it") for key in ("escape", "f11", "return", "enter", "tab", "backspace")),
    ],
)
def test_keys_that_cannot_act_are_refused_in_one_line(given: Mapping[str, Sequence[str]], why: str) -> None:
    for check in (check_bindings, HeldKeys):
        with pytest.raises(ConfigError, match=why) as refusal:
            check(STEERING, given)
        assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 200


def test_keys_that_a_task_itself_names_are_checked_as_well() -> None:
    with pytest.raises(ConfigError, match="did you mean 'space'"):
        HeldKeys(make_spec((Action("rest"), Action("act", ("spacebar",)))))


def test_two_keys_cannot_mean_a_neutral_action_that_there_is_none_of() -> None:
    with pytest.raises(ConfigError, match="task trying has no neutral action"):
        HeldKeys(make_spec(ANSWERS, together="neutral"))


@pytest.mark.parametrize("name", [name for name in task_names() if not needed_settings(name)])
def test_the_keys_of_every_task_that_comes_with_racer_can_act(name: str) -> None:
    spec = make_task(name).spec
    assert check_bindings(spec, {}) == default_bindings(spec)
    assert set(HeldKeys(spec).bound) == set(range(len(spec.actions))) - {spec.neutral}


def test_every_key_that_may_act_is_one_that_pygame_names_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame.display.init()
    codes = {value for name, value in vars(pygame).items() if name.startswith("K_")}
    names = {pygame.key.name(code) for code in codes}
    pygame.display.quit()
    allowed = [name for name in names | {"left", "q", "[7]", "é", "A"} if acts(name)]
    assert {"left", "a", "right shift", "[4]", "page up", "7", ";", "space", "up", "down"} <= set(allowed) <= names
    assert len(allowed) > 80


def acts(name: str) -> bool:
    try:
        check_bindings(EITHER, {"first": [name], "second": ["x" if name != "x" else "y"]})
    except ConfigError:
        return False
    return True


def test_key_names_are_checked_without_pygame() -> None:
    code = (
        "import sys; from racer.drivers.keyboard import check_bindings; from racer.tasks.registry import make_task; "
        "check_bindings(make_task().spec, {'left': ['j'], 'right': ['l']}); sys.exit('pygame' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "label"), [("a", "A"), ("left shift", "Left Shift"), ("[4]", "4"), ("[", "["), ("f1", "F1")]
)
def test_a_key_is_called_what_the_keyboard_has_printed_on_it(name: str, label: str) -> None:
    assert key_label(name) == label
