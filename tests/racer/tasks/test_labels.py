"""Label maps: what every pixel shows, by the shapes that were drawn, without changing a byte of any frame."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from gymnasium.envs.box2d import car_racing as stock
from numpy.typing import NDArray

from racer.errors import ConfigError
from racer.tasks.lunar_lander import scenery
from racer.tasks.registry import BUILT_IN, TaskError, _CheckedTrial, make_task, needed_settings
from racer.tasks.task import Labelled

LABELLED = [name for name in BUILT_IN if not needed_settings(name) and make_task(name).spec.labels]
STEPS = 24


def looked_at(name: str, labelled: bool, seeds: range = range(3, 5)) -> list[tuple[NDArray[np.uint8], Any]]:
    """Return frames of a few trials with their label maps, if these were asked for."""
    found = []
    task = make_task(name)
    for seed in seeds:
        trial = task.start(seed)
        rng = np.random.default_rng(seed)
        for _ in range(STEPS):
            labels = cast(Labelled, trial).labels() if labelled else None
            found.append((trial.frame(), labels))
            if trial.step(int(rng.integers(len(task.spec.actions)))).over:
                break
        trial.close()
    return found


def test_all_drawn_worlds_have_labels() -> None:
    assert {"car-racing", "car-racing-clutter", "lunar-lander", "vehicles", "faces"} == set(LABELLED)


@pytest.mark.parametrize("name", LABELLED)
def test_every_pixel_has_a_label_and_looking_changes_no_frame(name: str) -> None:
    spec = make_task(name).spec
    with_labels, without = looked_at(name, labelled=True), looked_at(name, labelled=False)
    for (frame, labels), (plain, _) in zip(with_labels, without, strict=True):
        assert frame.tobytes() == plain.tobytes()
        assert (labels.shape, labels.dtype) == (spec.frame[:2], np.uint8)
        assert labels.max() < len(spec.labels)


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("vehicles", "721cb87f8e2c91c3"),
        ("faces", "02e93fe800831771"),
    ],
)
def test_drawn_pictures_are_the_bytes_they_always_were(name: str, digest: str) -> None:
    frames = b"".join(frame.tobytes() for frame, _ in looked_at(name, False, range(3, 9)))
    assert hashlib.sha256(frames).hexdigest()[:16] == digest


def test_labels_on_the_road_are_what_its_colours_say() -> None:
    edge, grass, road, kerb, car = range(5)
    for frame, labels in looked_at("car-racing", labelled=True):
        red, green, blue = (frame[:, :, channel].astype(int) for channel in range(3))
        excess = green - np.maximum(red, blue)
        assert np.isin(labels[excess > 95], [grass]).all()
        assert np.isin(labels[(excess < 3) & (red < green + 3)], [road, car, kerb]).all()
        assert np.isin(labels[red > green + 110], [car, kerb]).all()
        assert (labels[44:58, 30:34] == car).any() and not (labels == edge).any()


def test_labels_beyond_the_field_are_its_edge() -> None:
    trial = cast(Any, make_task("car-racing").start(3))
    trial._env.car.hull.position = (stock.PLAYFIELD - 5, 0.0)
    labels, frame = trial.labels(), trial.frame()
    trial.close()
    black = frame.max(axis=2) == 0
    assert black.any() and (labels[black] == 0).all()


def test_labels_in_flight_are_what_its_colours_say() -> None:
    of_color = {
        scenery.GROUND: {"ground"},
        scenery.PAD: {"pad", "arrow"},
        scenery.HULL: {"craft"},
        scenery.LEGS: {"craft"},
        scenery.NEEDLE: {"needle"},
        scenery.FLAME: {"flame"},
        scenery.STAR: {"sky"},
    }
    seen = set()
    for frame, labels in looked_at("lunar-lander", labelled=True):
        for color, names in of_color.items():
            found = {scenery.LABELS[label] for label in labels[(frame == color).all(axis=2)]}
            assert found <= names
            seen |= found
    assert {"craft", "needle", "flame"} <= seen


@pytest.mark.parametrize(
    ("name", "color", "part"), [("vehicles", (192, 210, 220), "glass"), ("faces", (30, 30, 34), "glasses")]
)
def test_labels_of_drawn_pictures_are_what_was_drawn(name: str, color: tuple[int, int, int], part: str) -> None:
    number = make_task(name).spec.labels.index(part)
    pixels = [labels[(frame == color).all(axis=2)] for frame, labels in looked_at(name, True, range(3, 20))]
    found = np.concatenate(pixels)
    assert len(found) > 20 and (found == number).all()


@pytest.mark.parametrize(
    ("labels", "wrong"),
    [
        (np.zeros((64, 64), np.int64), "must return uint8"),
        (np.zeros((32, 64), np.uint8), "must return uint8"),
        (np.full((64, 64), 9, np.uint8), "must lie below 9"),
        (None, "it returned NoneType"),
    ],
)
def test_label_maps_of_somebody_elses_task_are_checked(labels: Any, wrong: str) -> None:
    class Trial:
        def labels(self) -> Any:
            return labels

    with pytest.raises(TaskError, match=wrong) as caught:
        _CheckedTrial(cast(Any, Trial()), make_task("vehicles").spec).labels()
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("labels", [("one",), ("one", "one"), ("a b", "c"), tuple(f"l{i}" for i in range(17))])
def test_names_of_labels_are_checked(labels: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="label"):
        replace(make_task("vehicles").spec, labels=labels)
