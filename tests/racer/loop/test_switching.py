from __future__ import annotations

from racer.loop.switching import NEXT_KEY, Switch


def test_tab_goes_around_and_numbers_pick() -> None:
    switch = Switch(("raw", "full", "pico"), "pico", ["left", "a"])
    switch.key("left")
    assert switch.turn() is None
    switch.key(NEXT_KEY)
    assert (switch.turn(), switch.shown, switch.turn()) == ("raw", "raw", None)
    switch.key("2")
    switch.key("9")
    assert switch.turn() == "full"
    assert switch.seen == ["pico", "raw", "full"]
    assert switch.told == "1 raw, 2 full, 3 pico"


def test_numbers_stay_answers_where_the_task_has_them() -> None:
    switch = Switch(("raw", "full"), "raw", ["1", "[1]"])
    switch.key("2")
    assert switch.turn() is None
    assert switch.told == "raw, full"


def test_what_it_costs_is_said_from_the_last_switch_on() -> None:
    switch = Switch(("raw", "pico"), "pico", [])
    assert switch.mark == "pico"
    for lost in (False, True, True):
        switch.count(85, lost)
    assert switch.mark == "pico, 85 bits, 2 of 3 lost"
    switch.key("1")
    switch.turn()
    switch.count(0, False)
    assert switch.mark == "raw, original frames"
