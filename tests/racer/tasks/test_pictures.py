"""Single pictures under a question."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from racer.errors import ConfigError
from racer.sitting.protocol import PILOT_SEEDS
from racer.tasks.pictures.canvas import Canvas, color_of, mixed
from racer.tasks.pictures.digits import DIGITS, enlarged
from racer.tasks.pictures.faces import FACES
from racer.tasks.pictures.parts import part_of, split
from racer.tasks.pictures.task import Pictures
from racer.tasks.pictures.vehicles import VEHICLES, worth
from racer.tasks.pictures.worlds import DrawnWorld, Question
from racer.tasks.registry import make_task
from racer.tasks.task import Task

WORLDS = {"digits": DIGITS, "vehicles": VEHICLES, "faces": FACES}
DRAWN = [(world, question) for world in (VEHICLES, FACES) for question in world.questions]
EVERY = [(name, question.name) for name, world in WORLDS.items() for question in world.questions]


def task_of(name: str, question: str) -> Task:
    return make_task(name, {"question": question})


@pytest.mark.parametrize(("name", "question"), EVERY)
def test_a_trial_is_one_picture_and_one_answer(name: str, question: str) -> None:
    task = task_of(name, question)
    spec = task.spec
    assert not spec.paced and spec.neutral is None and spec.fixation_seconds == 0.3
    assert {"en", "de"} <= set(spec.texts)
    for seed in (3, 1_000_003):
        trial, again = task.start(seed), task.start(seed)
        frame = trial.frame()
        assert (frame.shape, frame.dtype) == (spec.frame, np.uint8)
        assert frame.tobytes() == again.frame().tobytes() == trial.frame().tobytes()
        right = int(trial.step(0).metrics["right"])
        outcomes = [task.start(seed).step(action) for action in range(len(spec.actions))]
        assert all(outcome.over for outcome in outcomes)
        assert [outcome.metrics["correct"] for outcome in outcomes] == [
            float(action == right) for action in range(len(spec.actions))
        ]
        trial.close()
    assert task.start(1).frame().tobytes() != task.start(2).frame().tobytes()


@pytest.mark.parametrize(("name", "question"), EVERY)
def test_every_answer_is_about_as_often_right(name: str, question: str) -> None:
    task = task_of(name, question)
    assert isinstance(task, Pictures)
    seeds = range(600_000, 600_300)
    counts = np.bincount([task.asked.answer(task.world.picture(seed).traits) for seed in seeds])
    assert len(counts) == len(task.spec.actions)
    assert counts.min() > 0.4 * 300 / len(counts)


@pytest.mark.parametrize(("world", "question"), DRAWN, ids=lambda each: getattr(each, "name", ""))
def test_what_is_asked_fills_less_than_a_tenth_of_the_variance(world: DrawnWorld, question: Question) -> None:
    # The total effect of the traits that decide, after M. Jansen (1999): half the mean squared difference between
    # pictures alike in everything else.
    pairs = [
        (world.draw(np.random.default_rng(seed)), world.draw(np.random.default_rng(seed + 999))) for seed in range(150)
    ]
    plain = np.stack([world.paint(one) for one, _ in pairs]).astype(np.float64)
    others = [{**one, **{name: other[name] for name in question.about}} for one, other in pairs]
    changed = np.stack([world.paint(traits) for traits in others]).astype(np.float64)
    share = ((plain - changed) ** 2).mean() / 2 / plain.var(axis=0).mean()
    assert 0.01 < share < 0.1


@pytest.mark.parametrize("name", ["vehicles", "faces"])
def test_both_questions_of_a_drawn_world_are_independent(name: str) -> None:
    world = WORLDS[name]
    traits = [world.picture(seed).traits for seed in range(300)]
    one, other = (np.array([question.answer(each) for each in traits]) for question in world.questions)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.2


def test_an_answer_follows_from_the_traits_that_it_is_said_to_be_about() -> None:
    for world, question in DRAWN:
        for seed in range(60):
            traits = world.picture(seed).traits
            assert question.answer({name: traits[name] for name in question.about}) == question.answer(traits)
    assert {worth(VEHICLES.picture(seed).traits) for seed in range(60)} >= {17_000, 23_000, 34_000, 40_000}


def test_no_digit_is_in_two_parts_and_seeds_lead_to_the_part_that_they_are_for() -> None:
    parts = split(1797)
    everything = np.concatenate(list(parts.values()))
    assert sorted(everything.tolist()) == list(range(1797)) and min(map(len, parts.values())) > 400
    assert [part_of(seed) for seed in (0, PILOT_SEEDS - 1, 1_000_000, 1_999_999)] == ["piloted"] * 2 + ["learnt"] * 2
    assert {part_of(seed) for seed in (PILOT_SEEDS, 999_999, 2_000_000, 10**9)} == {"held-out"}
    met = {
        part: {DIGITS.picture(first + each).frame.tobytes() for each in range(300)}
        for part, first in (("piloted", 0), ("held-out", PILOT_SEEDS), ("learnt", 1_000_000))
    }
    assert not met["piloted"] & met["held-out"] and not met["learnt"] & (met["piloted"] | met["held-out"])


def test_digits_are_enlarged_linearly() -> None:
    small = np.zeros((8, 8), np.int64)
    assert not enlarged(small).any()
    assert (enlarged(small + 16) == 255).all()
    small[3, 4] = 16
    frame = enlarged(small)[:, :, 0]
    assert np.unravel_index(frame.argmax(), frame.shape) in [(row, column) for row in (13, 14) for column in (17, 18)]
    assert abs(int(frame.sum()) - 255 * 16) < 50
    ramp = enlarged(np.tile(2 * np.arange(8), (8, 1)))[:, :, 0].astype(int)
    assert (np.diff(ramp, axis=1) >= 0).all() and (np.diff(ramp, axis=0) == 0).all()


def test_without_scikit_learn_digits_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from racer.tasks.pictures import digits

    digits._loaded.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    task = make_task("digits")
    with pytest.raises(ConfigError, match=r"needs scikit-learn.*pip install 'racer\[pictures\]'") as refusal:
        task.start(1)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_question_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigError, match="question"):
        make_task("faces", {"question": "worth"})


def test_shapes_cover_what_they_should() -> None:
    canvas = Canvas(16)
    canvas.box((255, 255, 255), 4, 4, 12, 8)
    assert canvas.frame().sum() == 3 * 255 * 32
    canvas.ellipse((0, 0, 0), 8, 6, 100, 100)
    assert not canvas.frame().any()
    canvas.polygon((255, 0, 0), [(0, 0), (16, 0), (16, 16), (0, 16)])
    assert canvas.frame()[:, :, 0].min() >= 191 and not canvas.frame()[:, :, 1:].any()
    canvas.gradient((0, 0, 0), (255, 255, 255), 0, 16)
    rows = canvas.frame()[:, 0, 0].astype(int)
    assert (np.diff(rows) > 0).all() and rows[0] < 16 and rows[-1] > 239
    canvas.bar((9, 9, 9), (-5, 8), (30, 8), 4)
    assert (canvas.frame()[7:9] == 9).all()
    assert mixed((0, 0, 0), (10, 20, 30), 0.5) == (5, 10, 15) and color_of(0, 0, 1) == (255, 255, 255)
