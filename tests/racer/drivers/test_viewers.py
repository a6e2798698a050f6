"""Simulated people who answer questions about pictures."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from racer.drivers import filters
from racer.drivers.driver import Driver, DriverError
from racer.drivers.families import viewers
from racer.drivers.families.viewers import Viewer, draw_traits
from racer.drivers.filters import Filters
from racer.drivers.registry import find_family, make_driver
from racer.tasks.pictures.parts import part_of
from racer.tasks.pictures.task import Pictures
from racer.tasks.registry import make_task

FAMILIES = ("viewer-network", "viewer-neighbours", "viewer-trees", "viewer-convolution")
TASK = make_task("digits", {"question": "thickness"})


@pytest.fixture(scope="module", autouse=True)
def fewer() -> object:
    """Learn from fewer pictures, so that it is quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(viewers, "_LEARNT", 1000)
        viewers._learnt.cache_clear()
        yield
        viewers._learnt.cache_clear()


def viewer(family: str, person: int = 3, dice: int = 4) -> Viewer:
    made: Driver = make_driver(family, TASK, person, dice)
    assert isinstance(made, Viewer)
    return made


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_answers_pictures_that_it_has_not_learnt(family: str) -> None:
    assert isinstance(TASK, Pictures)
    pictures = [TASK.world.picture(seed) for seed in range(700_000, 700_200)]
    right = np.array([TASK.asked.answer(picture.traits) for picture in pictures])
    chances = viewer(family).probabilities(np.stack([picture.frame for picture in pictures]))
    assert chances.shape == (200, 2)
    assert np.allclose(chances.sum(axis=1), 1) and chances.min() > 0
    assert (chances.argmax(axis=1) == right).mean() > 0.7


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_person_with_the_same_dice_answers_alike(family: str) -> None:
    frames = [TASK.start(seed).frame() for seed in range(40)]
    one, again, unlucky = viewer(family), viewer(family), viewer(family, dice=5)
    answers = [[each.act(frame) for frame in frames] for each in (one, again, unlucky)]
    assert answers[0] == answers[1] and set(answers[0]) == {0, 1}
    assert answers[0] != answers[2]


def test_people_of_a_family_differ_in_their_traits() -> None:
    traits = [draw_traits(person) for person in range(20)]
    assert len(set(traits)) == 20
    assert all(0.5 < each.temperature < 1.5 and 0 <= each.lapses <= 0.04 for each in traits)


def test_families_learn_from_seeds_of_their_own_that_lead_to_no_picture_that_anybody_meets() -> None:
    starts = [viewers._FIRST_SEED + number * viewers._APART for number in range(len(FAMILIES))]
    ranges = [range(start, start + 4_000) for start in starts]
    assert all(part_of(seed) == "learnt" for each in ranges for seed in (each[0], each[-1]))
    assert [name for name, _ in viewers._READERS] == list(FAMILIES)
    for name in FAMILIES:
        assert find_family(name).tasks == ("digits", "vehicles", "faces", "folder")


@pytest.mark.parametrize(("side", "seen"), [(16, 16), (40, 40), (64, 32), (256, 32)])
def test_filters_see_pictures_of_any_size_reduced(side: int, seen: int) -> None:
    frames = np.random.default_rng(2).integers(256, size=(3, side, side, 3), dtype=np.uint8)
    made = Filters.see(frames)
    assert made.shape == (3, seen, seen, 3) and made.dtype == np.float32 and 0 <= made.min() <= made.max() <= 1
    assert np.allclose(made.mean(axis=(1, 2)), frames.mean(axis=(1, 2)) / 255, atol=1e-3)


def test_filters_learn_the_same_whenever_they_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "_SAMPLED", 2_000)
    answers = np.arange(60) % 2
    frames = np.random.default_rng(2).integers(200, size=(60, 16, 16, 1), dtype=np.uint8)
    frames[answers == 1, :, 8:] += 50
    one, again, seen = Filters(), Filters(), Filters.see(frames)
    for each in (one, again):
        each.learn(seen, answers)
    assert np.array_equal(one.probabilities(seen), again.probabilities(seen))
    assert (one.probabilities(seen).argmax(axis=1) == answers).all()


def test_who_pilots_does_not_judge() -> None:
    for name in ("digits", "vehicles", "faces"):
        spec = make_task(name).spec
        assert spec.driver in FAMILIES and spec.pilot_driver in FAMILIES and spec.driver != spec.pilot_driver


def test_without_scikit_learn_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    viewers._learnt.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn.neural_network", None)
    with pytest.raises(DriverError, match=r"viewer-network need scikit-learn.*pip install 'racer\[pictures\]'") as told:
        viewer("viewer-network")
    assert len(str(told.value).splitlines()) == 1
