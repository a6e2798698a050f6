from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from racer.drivers.keyboard import Bindings, default_bindings
from racer.loop.display import Page
from racer.sitting.agenda import (
    AgendaItem,
    Asking,
    Consent,
    Done,
    Drive,
    Screens,
    heading,
    make_agenda,
    paragraphs,
    remaining,
)
from racer.sitting.protocol import ProtocolConfig, plan_episodes
from racer.sitting.questionnaires import Item, Questionnaire
from racer.tasks.registry import make_task
from racer.tasks.task import TaskText
from racer.window.texts import english, load_texts

TEXTS = english().texts
SPEC = make_task("car-racing").spec
TEXT = SPEC.text("en")
KEYS = default_bindings(SPEC)
EVALUATION = ProtocolConfig("evaluation", practice=2, evaluation=2)
WELCOME = Page("Welcome back", ())


def questionnaire(name: str) -> Questionnaire:
    return Questionnaire(name, (Item("first", "First?"), Item("second", "Second?")))


EVERYTHING = Screens(
    consent="We record how you drive.\n\nYou may stop at any time.",
    key_test=True,
    break_every=3,
    break_seconds=20,
    start=(questionnaire("before"),),
    after_condition=(questionnaire("driving"),),
    end=(questionnaire("after"),),
)


def agenda(screens: Screens = EVERYTHING, attended: bool = True, order: int = 0) -> tuple[AgendaItem, ...]:
    return make_agenda(plan_episodes(EVALUATION, "p01", 0, order), screens, TEXTS, TEXT, KEYS, attended=attended)


def outline(items: Sequence[AgendaItem]) -> list[str]:
    """Return each item in a word: what is driven, where something is asked, or a page's title."""
    words = []
    for item in items:
        if isinstance(item, Drive):
            words.append(item.plan.condition)
        elif isinstance(item, Asking):
            words.append(item.place)
        else:
            words.append(item.page.title if isinstance(item, Consent) else item.title)
    return words


def test_a_whole_sitting_goes_from_consent_to_thanks() -> None:
    assert outline(agenda()) == [
        TEXTS.consent_title,
        "start/0/-",
        TEXT.title,
        TEXTS.key_test_title,
        "full",
        "full",
        "Part 1 of 3",
        "random",
        TEXTS.break_title,
        "random",
        "evaluation/1/random",
        "Part 2 of 3",
        "pico",
        "pico",
        "evaluation/2/pico",
        TEXTS.break_title,
        "Part 3 of 3",
        "full",
        "full",
        "evaluation/3/full",
        "end/0/-",
        TEXTS.thanks_title,
    ]


def test_what_is_not_asked_for_is_left_out() -> None:
    assert outline(agenda(Screens()))[:2] == [TEXT.title, "full"]
    assert TEXTS.break_title not in outline(agenda(Screens()))


def test_nobody_is_shown_pages_where_nobody_sits() -> None:
    assert {type(item) for item in agenda(attended=False)} == {Drive, Asking}


def test_pages_are_filled_in_and_no_page_names_a_condition() -> None:
    for item in agenda():
        if isinstance(item, Page):
            text = " ".join((item.title, *item.lines, item.prompt))
            assert "{" not in text
            assert not {"random", "pico", "full"} & set(text.lower().split())
    rest = next(item for item in agenda() if isinstance(item, Page) and item.title == TEXTS.break_title)
    assert rest.least_seconds == 20
    assert "3 of 8" in rest.lines[0]


def instructions(text: TaskText, keys: Bindings, screens: Screens = Screens()) -> Page:  # noqa: B008  # frozen
    page = make_agenda(plan_episodes(EVALUATION, "p01", 0, 0), screens, TEXTS, text, keys)[0]
    assert isinstance(page, Page)
    return page


def test_the_instructions_name_the_keys_of_the_actions() -> None:
    page = instructions(TEXT, {"left": ("j",), "right": ("left shift", "l")})
    assert "J to steer left" in page.lines[0]
    assert "Left Shift or L" in page.lines[0]


def test_the_instructions_are_the_tasks_with_its_number_of_trials_and_how_to_pause() -> None:
    text = TaskText("Land", ("{main_engine} brakes the fall.", "There are {trials} landings."))
    page = instructions(text, {"main-engine": ("up",)})
    assert (page.title, page.show_keys) == ("Land", True)
    assert page.lines == (f"{TEXTS.key_names(('up',))} brakes the fall.", "There are 8 landings.", TEXTS.pause_hint)


@pytest.mark.parametrize("code", ["en", "de"])
def test_the_question_mark_of_a_probe_is_explained_to_those_who_will_meet_one(code: str) -> None:
    texts, text = load_texts(code, None).texts, SPEC.text(code)

    def told(protocol: ProtocolConfig, screens: Screens, probes: bool) -> tuple[str, ...]:
        page = make_agenda(plan_episodes(protocol, "p01", 0, 0), screens, texts, text, KEYS, probes=probes)[0]
        assert isinstance(page, Page)
        return page.lines

    assert told(EVALUATION, Screens(), True)[-2:] == (texts.probe_hint, texts.pause_hint)
    assert {"en": "question mark", "de": "Fragezeichen"}[code] in texts.probe_hint
    assert texts.probe_hint not in told(EVALUATION, Screens(), False)
    assert texts.probe_hint not in told(ProtocolConfig("pilot"), Screens(), True)  # pilots are not asked
    assert told(EVALUATION, Screens(instructions="Our own words."), True) == ("Our own words.",)


def test_a_studys_own_instructions_are_shown_as_they_are_also_with_braces() -> None:
    page = instructions(TEXT, KEYS, Screens(instructions="Drive {fast}.\n\n Never\nstop. "))
    assert page.lines == ("Drive {fast}.", "Never stop.")


@pytest.mark.parametrize("text", ["", "\n\n \n", "  "])
def test_an_empty_text_has_no_paragraphs(text: str) -> None:
    assert paragraphs(text) == ()


def names(items: Sequence[AgendaItem]) -> list[str]:
    return [item.name(question) for item in items if isinstance(item, Asking) for question in item.questionnaire.items]


@given(order=st.integers(0, 5), steps=st.integers(0, 30))
def test_wherever_it_was_interrupted_the_rest_holds_every_drive_and_question_that_is_left_and_no_other(
    order: int, steps: int
) -> None:
    whole = agenda(order=order)
    met: list[AgendaItem | str] = []
    for item in whole:
        if isinstance(item, Drive):
            met.append(item)
        elif isinstance(item, Asking):
            met += [item.name(question) for question in item.questionnaire.items]
        elif isinstance(item, Consent):
            met.append("consent")
    done, left = met[:steps], met[steps:]
    answers = frozenset(each for each in done if isinstance(each, str))
    rest = remaining(whole, Done(sum(isinstance(each, Drive) for each in done), answers), WELCOME)
    assert rest[0] == WELCOME
    assert [item for item in rest if isinstance(item, Drive)] == [each for each in left if isinstance(each, Drive)]
    asked = names(rest) + ["consent"] * any(isinstance(item, Consent) for item in rest)
    assert sorted(asked) == sorted(each for each in left if isinstance(each, str))
    assert outline(rest)[-1] == TEXTS.thanks_title


def test_pages_that_came_before_what_is_done_do_not_come_again() -> None:
    rest = outline(remaining(agenda(), Done(3, frozenset({"consent", "start/0/-/before/first"})), WELCOME))
    assert rest[:4] == ["Welcome back", "start/0/-", TEXTS.break_title, "random"]


def test_phases_that_take_turns_are_counted_as_one() -> None:
    plans = plan_episodes(ProtocolConfig("pilot", practice=1, calibration=8, exploration=8), "p01", 0, 0, alone=True)
    headings = [heading(plans, plan, TEXTS) for plan in plans]
    assert headings == ["Practice, round 1 of 17", *(f"Round {number} of 17" for number in range(2, 18))]


def test_a_list_in_a_text_keeps_its_lines() -> None:
    text = "We record\n- the keys\n  that you press\n- the picture\n\nand nothing\nelse."
    assert paragraphs(text) == ("We record\n- the keys that you press\n- the picture", "and nothing else.")
