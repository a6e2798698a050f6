from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import pygame
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pygame.event import Event
from window_builders import RETURN, SPACE, SPEC, TEXT, click, down

from racer.drivers.keyboard import HeldKeys
from racer.sitting.questionnaires import MOST_ANSWER_CHARACTERS, Item
from racer.window.form_view import FormAreas
from racer.window.forms import Form, Rating, Writing
from racer.window.screens import Painter
from racer.window.text_field import TextField
from racer.window.texts import english

LEFT, RIGHT, UP, BACKSPACE = map(down, (pygame.K_LEFT, pygame.K_RIGHT, pygame.K_UP, pygame.K_BACKSPACE))
DONE_WRITING = down(pygame.K_RETURN, pygame.KMOD_LCTRL)
SECOND = 1_000_000_000
AnyForm = TypeVar("AnyForm", bound=Form)


@pytest.fixture(autouse=True, scope="module")
def fonts() -> Iterator[None]:
    pygame.font.init()
    yield


def in_view(form: AnyForm, shown_for: int = SECOND) -> tuple[AnyForm, FormAreas]:
    """Bring a form to a screen, and return where it can be clicked."""
    form.tick(0)
    form.draw(Painter(pygame.Surface((640, 480)), english().texts, HeldKeys(SPEC), TEXT))
    form.tick(shown_for)
    assert form._areas is not None
    return form, form._areas


def rating(points: int = 7, answer: int | None = None, back: bool = False) -> tuple[Rating, FormAreas]:
    return in_view(Rating(Item("control", "The car did what I wanted.", "no", "yes", points), "", answer, back))


def writing(answer: str = "", back: bool = False) -> tuple[Writing, FormAreas]:
    return in_view(Writing(Item("comment", "Anything else?", free=True), "", answer, back))


def handle(form: Form, *events: Event) -> None:
    for event in events:
        form.handle(event)


def text(words: str) -> Event:
    return Event(pygame.TEXTINPUT, text=words)


@pytest.mark.parametrize("points", [2, 5, 7, 9])
def test_number_keys_choose_points_of_the_scale_and_no_others(points: int) -> None:
    for number in range(1, 10):
        for first in (pygame.K_1, pygame.K_KP1):
            form, _ = rating(points)
            handle(form, down(first + number - 1))
            assert form.answer == (number if number <= points else None)
            assert not form.done


def test_the_number_row_works_where_the_layout_has_other_signs_on_it() -> None:
    form, _ = rating()
    handle(form, Event(pygame.KEYDOWN, key=pygame.K_QUOTE, scancode=pygame.KSCAN_4))
    assert form.answer == 4


def test_numbers_do_not_answer_a_scale_of_more_points_than_keys() -> None:
    form, _ = rating(21)
    handle(form, down(pygame.K_2))
    assert form.answer is None


@pytest.mark.parametrize("points", [2, 7, 10, 21])
def test_arrows_begin_beside_the_middle_and_stop_at_the_ends(points: int) -> None:
    for arrow, first, end in ((LEFT, points // 2, 1), (RIGHT, points - points // 2 + 1, points)):
        form, _ = rating(points)
        handle(form, arrow)
        assert form.answer == first
        handle(form, *[arrow] * points)
        assert form.answer == end


@pytest.mark.parametrize("on", [RETURN, SPACE, down(pygame.K_KP_ENTER)])
def test_a_rating_goes_on_only_once_a_point_is_chosen(on: Event) -> None:
    form, _ = rating()
    handle(form, on, on)
    assert not form.done
    handle(form, down(pygame.K_6), on)
    assert (form.done, form.answer) == (True, 6)


@pytest.mark.parametrize("points", [2, 3, 7, 9, 10, 21])
def test_a_click_on_a_point_chooses_it_and_one_on_the_button_goes_on(points: int) -> None:
    form, areas = rating(points)
    handle(form, click(*areas.onward.center))
    assert not form.done
    for point, area in enumerate(areas.points, 1):
        handle(form, click(*area.center))
        assert (form.answer, form.done) == (point, False)
    handle(form, click(*areas.onward.center))
    assert form.done


def test_a_click_near_a_tick_of_the_ruler_chooses_the_nearest() -> None:
    form, areas = rating(21)
    for left, right in zip(areas.points, areas.points[1:], strict=False):
        assert 0 <= right.left - left.right <= 1, "there is a gap between the ticks"
    handle(form, click(areas.points[8].left + 1, areas.points[8].top + 2))
    assert form.answer == 9


@pytest.mark.parametrize("way", [BACKSPACE, UP])
def test_the_way_back_is_open_only_where_there_is_a_question_before(way: Event) -> None:
    form, areas = rating(answer=2)
    handle(form, way)
    assert not form.done and areas.back is None
    form, areas = rating(answer=2, back=True)
    handle(form, way)
    assert form.done and form.went_back
    form, areas = rating(back=True)
    assert areas.back is not None
    handle(form, click(*areas.back.center))
    assert form.went_back


@pytest.mark.parametrize("answered", [Rating(Item("a", "A?"), "", 3, True), Writing(Item("a", "A?"), "", "", True)])
def test_the_second_of_a_double_click_answers_no_question(answered: Form) -> None:
    form, areas = in_view(answered, shown_for=SECOND // 5)
    assert areas.back is not None
    handle(form, click(*areas.onward.center), click(*areas.back.center), RETURN, DONE_WRITING)
    assert not form.done and not form.went_back


@given(st.lists(st.one_of(st.text(max_size=400), st.just("\n"), st.just("\b")), max_size=12))
def test_a_text_is_what_was_typed_within_its_length(pieces: list[str]) -> None:
    form, _ = writing()
    expected = ""
    for piece in pieces:
        if piece == "\b":
            handle(form, BACKSPACE)
            expected = expected[:-1]
        elif piece == "\n":
            handle(form, RETURN)
            expected = (expected + "\n")[:MOST_ANSWER_CHARACTERS]
        else:
            handle(form, text(piece))
            printable = "".join(letter for letter in piece if letter.isprintable())
            expected = (expected + printable)[:MOST_ANSWER_CHARACTERS]
    assert form.answer == expected
    assert not form.done


def test_letter_keys_and_space_write_and_do_not_confirm() -> None:
    form, _ = writing()
    handle(form, SPACE, text(" "), down(pygame.K_1), text("1"), RETURN, text("é"))
    assert (form.answer, form.done) == (" 1\né", False)
    handle(form, DONE_WRITING)
    assert form.done


def test_writing_ends_with_the_button_too_and_may_stay_empty() -> None:
    form, areas = writing()
    handle(form, click(*areas.onward.center))
    assert (form.done, form.answer) == (True, "")


def test_the_arrow_goes_back_only_while_nothing_would_be_lost() -> None:
    form, _ = writing("as before", back=True)
    handle(form, text("!"), UP)
    assert not form.done
    handle(form, down(pygame.K_END), BACKSPACE, UP)
    assert form.went_back


def test_a_backspace_that_is_held_deletes_on_and_stops_when_it_comes_up() -> None:
    held = [True]
    field = TextField("x" * 20, 20, held=lambda key: held[0])
    field.handle(down(pygame.K_BACKSPACE))
    lengths = []
    for milliseconds in range(0, 1000, 10):
        held[0] = milliseconds < 600
        field.tick(milliseconds * 1_000_000)
        lengths.append(len(field.text))
    assert lengths[39] == 19 and lengths[40] == 18
    assert 12 <= lengths[59] <= 14
    assert lengths[-1] == lengths[60]


CTRL, SHIFT = pygame.KMOD_LCTRL, pygame.KMOD_LSHIFT


def test_the_caret_goes_anywhere_and_writes_there() -> None:
    form, _ = writing("red car")
    handle(form, LEFT, LEFT, LEFT, text("big "))
    assert form.answer == "red big car"
    handle(form, down(pygame.K_HOME), text("A "), down(pygame.K_END), text("!"))
    assert form.answer == "A red big car!"
    handle(form, down(pygame.K_LEFT, CTRL), down(pygame.K_LEFT, CTRL), down(pygame.K_DELETE))
    assert form.answer == "A red big ar!"


def test_words_and_what_is_selected_are_deleted_at_once() -> None:
    form, _ = writing("one two three")
    handle(form, down(pygame.K_BACKSPACE, CTRL))
    assert form.answer == "one two "
    handle(form, down(pygame.K_LEFT, CTRL | SHIFT), text("2"))
    assert form.answer == "one 2"
    handle(form, down(pygame.K_a, CTRL), text("nothing"))
    assert form.answer == "nothing"
    handle(form, down(pygame.K_HOME, SHIFT), BACKSPACE)
    assert form.answer == ""


def test_the_mouse_puts_the_caret_and_selects() -> None:
    form, areas = writing("one two three")
    assert areas.field is not None
    x, y = areas.field.origin
    middle = areas.field.width("one ")
    handle(form, click(x + middle, y + 5), text("and "))
    assert form.answer == "one and two three"
    in_view(form)
    to = (x + areas.field.width("one and"), y + 5)
    drag = Event(pygame.MOUSEMOTION, pos=to)
    handle(form, click(x, y + 5), drag, Event(pygame.MOUSEBUTTONUP, button=1, pos=to), text("2"))
    assert form.answer == "2 two three" and not form.done


def test_lines_that_scrolled_away_come_back_with_the_caret() -> None:
    form, areas = writing("\n".join(map(str, range(60))))
    assert areas.field is not None and areas.field.first > 0
    for _ in range(60):
        handle(form, UP)
        in_view(form)
    assert form._areas is not None and form._areas.field is not None and form._areas.field.first == 0
    handle(form, text("first "))
    assert form.answer.startswith("first 0\n")


@settings(max_examples=30, deadline=None)
@given(st.text("ab \n", max_size=60), st.integers(0, 60))
def test_every_place_of_a_text_lies_on_the_line_that_it_is_drawn_on(written: str, place: int) -> None:
    _, areas = writing(written)
    field = areas.field
    assert field is not None
    place = min(place, len(written))
    start, line = field.lines[field.line_of(place)]
    left, top = field.origin
    y = top + (field.line_of(place) - field.first) * field.leading
    found = field.at(left + field.width(line[: place - start]), y)
    assert written[min(found, place) : max(found, place)].strip() == ""
