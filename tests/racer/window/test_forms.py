from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pygame
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pygame.event import Event
from window_builders import RETURN, SPACE, SPEC, TEXT, click, down

from racer.drivers.keyboard import HeldKeys
from racer.sitting.questionnaires import MOST_ANSWER_CHARACTERS, Item
from racer.window.form_view import FormAreas
from racer.window.forms import Form
from racer.window.screens import Painter
from racer.window.text_field import TextField
from racer.window.texts import english

LEFT, RIGHT, UP, BACKSPACE = map(down, (pygame.K_LEFT, pygame.K_RIGHT, pygame.K_UP, pygame.K_BACKSPACE))
DONE_WRITING = down(pygame.K_RETURN, pygame.KMOD_LCTRL)
SECOND = 1_000_000_000
COMMENT = Item("comment", "Anything else?", kind="text")


@pytest.fixture(autouse=True, scope="module")
def fonts() -> Iterator[None]:
    pygame.font.init()
    yield


def in_view(form: Form, shown_for: int = SECOND) -> tuple[Form, FormAreas]:
    """Bring a form to a screen, and return where it can be clicked."""
    form.tick(0)
    form.draw(Painter(pygame.Surface((640, 480)), english().texts, HeldKeys(SPEC), TEXT))
    form.tick(shown_for)
    assert form._areas is not None
    return form, form._areas


def asked(*items: Item, answers: Sequence[str] = (), back: bool = False) -> tuple[Form, FormAreas]:
    return in_view(Form(items, "", answers, back))


def rating(points: int = 7, answer: str = "", back: bool = False) -> tuple[Form, FormAreas]:
    return asked(Item("control", "The car did what I wanted.", "no", "yes", points), answers=[answer], back=back)


def writing(answer: str = "", back: bool = False) -> tuple[Form, FormAreas]:
    return asked(COMMENT, answers=[answer], back=back)


def answer_to(form: Form) -> str:
    (given,) = form.answers
    return given


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
            assert form.answers == (str(number) if number <= points else "",)
            assert not form.done


def test_the_number_row_works_where_the_layout_has_other_signs_on_it() -> None:
    form, _ = rating()
    handle(form, Event(pygame.KEYDOWN, key=pygame.K_QUOTE, scancode=pygame.KSCAN_4))
    assert form.answers == ("4",)


def test_numbers_do_not_answer_a_scale_of_more_points_than_keys() -> None:
    form, _ = rating(21)
    handle(form, down(pygame.K_2))
    assert form.answers == ("",)


@pytest.mark.parametrize("points", [2, 7, 10, 21])
def test_arrows_begin_beside_the_middle_and_stop_at_the_ends(points: int) -> None:
    for arrow, first, end in ((LEFT, points // 2, 1), (RIGHT, points - points // 2 + 1, points)):
        form, _ = rating(points)
        handle(form, arrow)
        assert form.answers == (str(first),)
        handle(form, *[arrow] * points)
        assert form.answers == (str(end),)


@pytest.mark.parametrize("on", [RETURN, SPACE, down(pygame.K_KP_ENTER)])
def test_a_rating_goes_on_only_once_a_point_is_chosen(on: Event) -> None:
    form, _ = rating()
    handle(form, on, on)
    assert not form.done
    handle(form, down(pygame.K_6), on)
    assert (form.done, form.answers) == (True, ("6",))


@pytest.mark.parametrize("points", [2, 3, 7, 9, 10, 21])
def test_a_click_on_a_point_chooses_it_and_one_on_the_button_goes_on(points: int) -> None:
    form, areas = rating(points)
    handle(form, click(*areas.onward.center))
    assert not form.done
    for point, area in enumerate(areas.items[0].points, 1):
        handle(form, click(*area.center))
        assert (form.answers, form.done) == ((str(point),), False)
    handle(form, click(*areas.onward.center))
    assert form.done


def test_a_click_near_a_tick_of_the_ruler_chooses_the_nearest() -> None:
    form, areas = rating(21)
    for left, right in zip(areas.items[0].points, areas.items[0].points[1:], strict=False):
        assert 0 <= right.left - left.right <= 1, "there is a gap between the ticks"
    handle(form, click(areas.items[0].points[8].left + 1, areas.items[0].points[8].top + 2))
    assert form.answers == ("9",)


@pytest.mark.parametrize("way", [BACKSPACE, UP])
def test_the_way_back_is_open_only_where_there_is_a_question_before(way: Event) -> None:
    form, areas = rating(answer="2")
    handle(form, way)
    assert not form.done and areas.back is None
    form, areas = rating(answer="2", back=True)
    handle(form, way)
    assert form.done and form.went_back
    form, areas = rating(back=True)
    assert areas.back is not None
    handle(form, click(*areas.back.center))
    assert form.went_back


@pytest.mark.parametrize("answered", [Form([Item("a", "A?")], "", ["3"], True), Form([COMMENT], "", (), True)])
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
    assert answer_to(form) == expected.strip()
    assert not form.done


def test_letter_keys_and_space_write_and_do_not_confirm() -> None:
    form, _ = writing()
    handle(form, SPACE, text(" "), down(pygame.K_1), text("1"), RETURN, text("é"))
    assert (answer_to(form), form.done) == ("1\né", False)
    handle(form, DONE_WRITING)
    assert form.done


def test_writing_ends_with_the_button_too_and_may_stay_empty() -> None:
    form, areas = writing()
    handle(form, click(*areas.onward.center))
    assert (form.done, answer_to(form)) == (True, "")


def test_going_back_with_the_arrow_loses_nothing() -> None:
    form, _ = writing("as before", back=True)
    handle(form, text("!"), UP)
    assert (form.went_back, form.answers) == (True, ("as before!",))


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
    assert answer_to(form) == "red big car"
    handle(form, down(pygame.K_HOME), text("A "), down(pygame.K_END), text("!"))
    assert answer_to(form) == "A red big car!"
    handle(form, down(pygame.K_LEFT, CTRL), down(pygame.K_LEFT, CTRL), down(pygame.K_DELETE))
    assert answer_to(form) == "A red big ar!"


def test_words_and_what_is_selected_are_deleted_at_once() -> None:
    form, _ = writing("one two three")
    handle(form, down(pygame.K_BACKSPACE, CTRL))
    assert answer_to(form) == "one two"
    handle(form, down(pygame.K_LEFT, CTRL | SHIFT), text("2"))
    assert answer_to(form) == "one 2"
    handle(form, down(pygame.K_a, CTRL), text("nothing"))
    assert answer_to(form) == "nothing"
    handle(form, down(pygame.K_HOME, SHIFT), BACKSPACE)
    assert answer_to(form) == ""


def test_the_mouse_puts_the_caret_and_selects() -> None:
    form, areas = writing("one two three")
    assert areas.items[0].field is not None
    x, y = areas.items[0].field.origin
    middle = areas.items[0].field.width("one ")
    handle(form, click(x + middle, y + 5), text("and "))
    assert answer_to(form) == "one and two three"
    in_view(form)
    to = (x + areas.items[0].field.width("one and"), y + 5)
    drag = Event(pygame.MOUSEMOTION, pos=to)
    handle(form, click(x, y + 5), drag, Event(pygame.MOUSEBUTTONUP, button=1, pos=to), text("2"))
    assert answer_to(form) == "2 two three" and not form.done


def test_lines_that_scrolled_away_come_back_with_the_caret() -> None:
    form, areas = writing("\n".join(map(str, range(60))))
    assert areas.items[0].field is not None and areas.items[0].field.first > 0
    for _ in range(60):
        handle(form, UP)
        in_view(form)
    assert form._areas is not None and form._areas.items[0].field is not None and form._areas.items[0].field.first == 0
    handle(form, text("first "))
    assert answer_to(form).startswith("first 0\n")


@settings(max_examples=30, deadline=None)
@given(st.text("ab \n", max_size=60), st.integers(0, 60))
def test_every_place_of_a_text_lies_on_the_line_that_it_is_drawn_on(written: str, place: int) -> None:
    _, areas = writing(written)
    field = areas.items[0].field
    assert field is not None
    place = min(place, len(written))
    start, line = field.lines[field.line_of(place)]
    left, top = field.origin
    y = top + (field.line_of(place) - field.first) * field.leading
    found = field.at(left + field.width(line[: place - start]), y)
    assert written[min(found, place) : max(found, place)].strip() == ""


SEX = Item("sex", "Who are you?", kind="choice", options={"f": "female", "m": "male", "other": "neither"})
PLAYS = Item("plays", "What do you play?", kind="choices", options={"cars": "Cars", "maze": "Mazes"}, required=False)
AGE = Item("age", "How old are you?", kind="number", least=18, most=99)
TAB, DOWN = down(pygame.K_TAB), down(pygame.K_DOWN)


def test_one_of_several_options_is_chosen_by_arrows_numbers_and_clicks() -> None:
    form, areas = asked(SEX, back=True)
    handle(form, RETURN)
    assert not form.done
    handle(form, DOWN, DOWN)
    assert form.answers == ("m",)
    handle(form, down(pygame.K_3))
    assert form.answers == ("other",)
    handle(form, click(*areas.items[0].points[0].center), UP)
    assert form.went_back, "there is nothing above the first option"
    assert form.answers == ("f",)


def test_one_of_several_pictures_is_chosen_where_it_is_seen() -> None:
    colours = {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200)}
    pictures = {name: np.full((4, 4, 3), colour, np.uint8) for name, colour in colours.items()}
    item = Item("which", "Which?", kind="picture", options={name: f"{name}.png" for name in colours}, pictures=pictures)
    form, areas = asked(item, back=True)
    tiles = areas.items[0].points
    surface = pygame.Surface((640, 480))
    form.draw(Painter(surface, english().texts, HeldKeys(SPEC), TEXT))
    assert [tuple(surface.get_at(tile.center))[:3] for tile in tiles] == [*colours.values()]
    handle(form, RIGHT, RIGHT)
    assert form.answers == ("green",)
    handle(form, RIGHT, RIGHT)
    assert form.answers == ("blue",) and not form.went_back, "there is nothing to the right of the last"
    handle(form, down(pygame.K_1))
    assert form.answers == ("red",)
    handle(form, click(*tiles[1].center), RETURN)
    assert (form.done, form.answers) == (True, ("green",))


def test_any_of_several_options_are_taken_and_given_back() -> None:
    form, areas = asked(PLAYS)
    handle(form, DOWN, SPACE, DOWN, SPACE, click(*areas.items[0].points[0].center))
    assert form.answers == ("maze",)
    handle(form, down(pygame.K_1))
    assert form.answers == ("cars maze",)
    handle(form, down(pygame.K_DELETE), RETURN)
    assert (form.done, form.answers) == (True, ("",)), "an optional question may stay empty"


@pytest.mark.parametrize(
    ("typed", "recorded"), [("42", "42"), (" 042 ", "42"), ("18,0", "18"), ("17", None), ("1e2", None), ("", None)]
)
def test_a_number_is_taken_only_within_its_range(typed: str, recorded: str | None) -> None:
    form, _ = asked(AGE)
    handle(form, text(typed), RETURN)
    assert form.done == (recorded is not None)
    assert recorded is None or form.answers == (recorded,)


def test_several_questions_on_a_page_are_gone_through_with_the_keys() -> None:
    form, _ = asked(AGE, SEX, COMMENT)
    handle(form, text("30"), RETURN, DOWN, RETURN, text("No."), DONE_WRITING)
    assert (form.done, form.answers) == (True, ("30", "f", "No."))
    form, _ = asked(AGE, SEX, answers=form.answers[:2], back=True)
    handle(form, DOWN, TAB, down(pygame.K_2), down(pygame.K_TAB, SHIFT), text("3"), UP)
    assert (form.went_back, form.answers) == (True, ("303", "m")), "going back loses nothing, right or wrong"


def test_a_page_goes_on_to_what_was_left_out_and_then_ends() -> None:
    form, areas = asked(SEX, AGE)
    handle(form, click(*areas.items[1].rect.center), text("20"), click(*areas.onward.center))
    assert not form.done
    handle(form, down(pygame.K_1), click(*areas.onward.center))
    assert (form.done, form.answers) == (True, ("f", "20"))


def test_the_wheel_brings_what_is_below_into_reach_of_a_click_and_what_is_hidden_is_out_of_it() -> None:
    many = {f"o{number}": f"Option {number}" for number in range(20)}
    form, areas = asked(Item("many", "Which?", kind="choice", options=many))
    last = areas.items[0].points[-1]
    assert last.top > areas.room.bottom
    handle(form, click(*last.center))
    assert form.answers == ("",)
    handle(form, Event(pygame.MOUSEWHEEL, x=0, y=-100))
    form, areas = in_view(form)
    handle(form, click(*areas.items[0].points[-1].center))
    assert form.answers == ("o19",)
    _, after = in_view(form)
    assert after.scrolled == areas.scrolled, "nothing moves under the mouse"


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from([SEX, PLAYS, AGE, COMMENT, Item("a", "A?", "no", "yes")]), min_size=1, max_size=10),
    st.sampled_from([(320, 240), (640, 480), (1920, 1080)]),
    st.data(),
)
def test_the_question_that_keys_go_to_is_in_view(items: list[Item], size: tuple[int, int], data: st.DataObject) -> None:
    form = Form(items, "", (), back=True)
    painter = Painter(pygame.Surface(size), english().texts, HeldKeys(SPEC), TEXT)
    steps = data.draw(st.integers(0, len(items) - 1))
    handle(form, *[TAB] * steps)
    form.draw(painter)
    assert form._areas is not None
    areas = form._areas.items[steps]
    seen = areas.rect.clip(form._areas.room)
    assert seen.height >= min(areas.rect.height, form._areas.room.height) - 2
    assert not any(
        area.rect.colliderect(form._areas.onward) and not form._areas.scrolled for area in form._areas.items[:1]
    )
    for one, other in zip(form._areas.items, form._areas.items[1:], strict=False):
        assert one.rect.bottom < other.rect.top


@given(st.from_regex(r"-?[0-9]{1,4}([.,][0-9]{1,3})?", fullmatch=True))
def test_what_is_recorded_of_a_number_is_that_number_and_is_taken_again(typed: str) -> None:
    item = Item("n", "N?", kind="number", least=-10_000, most=10_000, decimals=3)
    recorded = item.canonical(typed)
    assert recorded is not None and float(recorded) == float(typed.replace(",", "."))
    assert item.canonical(recorded) == recorded


@given(st.integers(0, 2**32), st.sampled_from([SEX, PLAYS, AGE, Item("a", "A?", points=21)]))
def test_answers_by_chance_are_answers(seed: int, item: Item) -> None:
    answer = item.by_chance(np.random.default_rng(seed))
    assert item.canonical(answer) == answer != ""
