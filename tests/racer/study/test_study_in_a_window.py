"""A study's sitting in a real window: everything that a participant and the experimenter meet, with real keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from desk import Screen, open_screen, run_racer
from racing_builders import CAR_RACING, LEFT, RIGHT, STRAIGHT
from seated import Experimenter, Participant, shown

import sessions
from racer.drivers.keyboard import default_bindings
from racer.sitting.agenda import AgendaItem, Asking, Consent, Drive, make_agenda
from racer.sitting.protocol import EpisodePlan, plan_episodes
from racer.study.file import Study, load_study
from racer.study.sitting import sitting_config

CODE = "lab2026"
STUDY = f"""
title = "Lab"
participants = 1
pilots = 0
[episodes]
practice = 2
evaluation = 2
steps = 24
pace = 16.0
[masks]
pico = "shipped"
[screens]
consent = '''
You will drive a car in a video game.

You may stop at any time.'''
break_every = 3
countdown = 1
[questionnaires]
start = ["before"]
end = ["nasa-tlx"]
[[questionnaires.custom]]
name = "before"
[[questionnaires.custom.items]]
id = "games"
text = "How often do you play video games?"
low = "never"
high = "daily"
points = 5
[experimenter]
code = "{CODE}"
"""
COMMENTS = ("Bends were hard, straights easy.", "The road was gone.", "I saw it all; no trouble.")
NOTE = "Telephone rang."
PLANNED = 8
"""Drives: two of practice, two under each of three conditions."""


@pytest.fixture
def screen() -> Iterator[Screen]:
    """A bare X server."""
    with open_screen() as opened:
        yield opened


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A short study with everything in it."""
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "study.toml").write_text(STUDY)
    return load_study(tmp_path / "lab")


def agenda_of(study: Study) -> tuple[AgendaItem, ...]:
    """Return what the study's first participant is to meet."""
    config = sitting_config(study, "evaluation", None)
    plans = plan_episodes(config.protocol, "p01", config.seed, 0)
    text, keys = CAR_RACING.spec.text(config.language.code), default_bindings(CAR_RACING.spec)
    return make_agenda(plans, config.screens, config.language.texts, text, keys)


def numbers_for(asking: Asking, block: int) -> list[int]:
    """Return an answer to each item, different from block to block."""
    items = asking.questionnaire.items
    return [(2 * index + 3 * block) % item.points + 1 for index, item in enumerate(items)]


@pytest.mark.xvfb
@pytest.mark.long
def test_a_participant_goes_through_a_whole_study_and_every_answer_is_recorded(screen: Screen, study: Study) -> None:
    agenda = agenda_of(study)
    redone = False
    drives = blocks = 0
    with run_racer(screen, study.folder.parent, "session", "start", "--study", "lab") as process:
        person = Participant(screen, process, study)
        for item in agenda:
            if isinstance(item, Consent):
                person.consents(item, 0)
            elif isinstance(item, Asking):
                evaluated = item.place.startswith("evaluation")
                comment = COMMENTS[blocks] if evaluated else ""
                person.answers(item, numbers_for(item, blocks), comment, mouse=evaluated and blocks == 1)
                blocks += evaluated
            elif isinstance(item, Drive):
                drives += 1
                with person.holding("Left" if drives % 2 else "d"):
                    person.until(lambda: person.episodes_done() == drives)  # noqa: B023
            elif item.test_keys:
                person.tries_the_keys(item)
            elif item is agenda[-1]:
                person.until(person.ended, lambda: person.press("space"))
            else:
                if item.title == person.texts.break_title and not redone:
                    person.waits_for(shown(item))
                    experimenter = Experimenter(person, item)
                    experimenter.opens_the_menu(CODE)
                    experimenter.takes_a_note(NOTE)
                    experimenter.has_the_last_episode_driven_again()
                    redone, drives = True, drives + 1
                    person.until(lambda: person.episodes_done() == drives)  # noqa: B023
                person.reads(item)
        out, err = process.communicate()
    assert (process.returncode, err) == (0, "")

    (path,) = sessions.find_recordings(study.recordings)
    assert f"Recorded lab/recordings/{path.name}" in out
    assert path.name.startswith("p01_evaluation_")
    with sessions.open(path) as session:
        assert (session.status, session.info.study, session.info.driver) == ("complete", "Lab", "keyboard")
        assert session.info.config["study_sha256"] == study.sha256
        assert CODE not in str(session.info.config)
        answers, events = session.answers(), session.events()
        episodes = list(session.episodes)
        check_episodes(episodes, [item.plan for item in agenda if isinstance(item, Drive)])
        check_actions(episodes, events)
    check_answers(answers, person.given)
    assert [event.detail for event in events if event.detail == "x" and event.time_ns < answers[0].time_ns] == []
    assert min(event.time_ns for event in events) >= answers[0].time_ns
    told = {event.detail for event in events if event.kind == "key_down"}
    # The "guess", the code, the note and the comments are nobody's keys; what steers and moves on is.
    assert told.isdisjoint("bcefghijklmnopqrstuvwyz")
    assert {"left", "d", "a", "space", "return"} <= told


def check_episodes(episodes: list[sessions.Episode], plans: list[EpisodePlan]) -> None:
    """Every planned drive was driven to its end, and the third one twice."""
    assert [episode.status for episode in episodes] == ["complete"] * (PLANNED + 1)
    assert [episode.index for episode in episodes if episode.rejected] == [2]
    driven = [(episode.info.phase, episode.info.condition, episode.info.seed) for episode in episodes]
    planned = [(plan.phase, plan.condition, plan.seed) for plan in plans]
    assert driven[:2] + driven[3:] == planned
    assert driven[2] == driven[3]
    assert {episode.n_steps for episode in episodes} == {24}


def check_actions(episodes: list[sessions.Episode], events: list[sessions.Event]) -> None:
    """A key that was down from one frame to the next steered, and where none was touched nothing did."""
    spans: list[tuple[int, int, int]] = []
    down: dict[str, int] = {}
    for event in events:
        if event.detail not in ("left", "d"):
            continue
        if event.kind == "key_down":
            down[event.detail] = event.time_ns
        else:
            spans.append((down.pop(event.detail), event.time_ns, LEFT if event.detail == "left" else RIGHT))
    assert down == {}
    steered = set()
    for episode in episodes:
        times, actions = episode.time_ns, episode.action
        for begun, ended, action in zip(times[:-1], times[1:], actions[:-1], strict=True):
            held = [way for first, last, way in spans if first <= begun and ended <= last]
            touched = [way for first, last, way in spans if first <= ended and begun <= last]
            if held:
                assert action == held[0]
                steered.add(int(action))
            elif not touched:
                assert action == STRAIGHT
    assert steered == {LEFT, RIGHT}


def check_answers(answers: list[sessions.Answer], given: dict[str, str]) -> None:
    """Consent comes first; every item was answered once, with what was chosen; the note is there."""
    assert (answers[0].item, answers[0].answer) == ("consent", "accepted")
    assert [(answer.item, answer.answer) for answer in answers if answer.item == "note"] == [("note", NOTE)]
    questions = [(answer.item, answer.answer) for answer in answers if answer.item not in ("consent", "note")]
    assert questions == list(given.items())
    assert len(questions) == 1 + 3 * 8 + 6
    blocks = [f"evaluation/{block}/{condition}" for block, condition in enumerate(("random", "pico", "full"), 1)]
    assert [item for item, _ in questions if item.endswith("driving/comment")] == [
        f"{block}/driving/comment" for block in blocks
    ]
    assert questions[0][0] == "start/0/-/before/games"
    assert questions[-1][0] == "end/0/-/nasa-tlx/frustration"


@pytest.mark.xvfb
def test_of_somebody_who_declines_nothing_else_is_recorded(screen: Screen, study: Study) -> None:
    consent = agenda_of(study)[0]
    assert isinstance(consent, Consent)
    with run_racer(screen, study.folder.parent, "session", "start", "--study", "lab") as process:
        person = Participant(screen, process, study)
        person.consents(consent, 1)
        person.waits_for(shown(consent.declined))
        person.until(person.ended, lambda: person.press("space"))
        out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert "declined" in out
    (path,) = sessions.find_recordings(study.recordings)
    with sessions.open(path) as session:
        assert session.status == "aborted"
        assert [(answer.item, answer.answer) for answer in session.answers()] == [("consent", "declined")]
        assert session.events() == []
        assert list(session.episodes) == []
