from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from racer.drivers.driver import Driver, DriverError
from racer.drivers.families import lander_pilot
from racer.drivers.families.lander_pilot import LANDER_PILOT, LanderTraits
from racer.drivers.registry import find_family, make_driver
from racer.tasks.lunar_lander.sight import Eye
from racer.tasks.lunar_lander.task import COAST, Handling, LunarLander
from racer.tasks.task import Task, TaskSpec

Frame = NDArray[np.uint8]


class Coasting:
    """Does nothing."""

    def reset(self) -> None: ...

    def act(self, frame: Frame) -> int:
        return COAST


def blurred(frame: Frame, radius: float) -> Frame:
    return np.asarray(Image.fromarray(frame).filter(ImageFilter.GaussianBlur(radius)))


def flights(
    driver: Driver, seeds: range, handling: Handling = "eased", see: Callable[[Frame], Frame] = lambda frame: frame
) -> list[dict[str, float]]:
    """Return the last metrics of one flight from each seed."""
    ends = []
    for seed in seeds:
        trial = LunarLander(handling).start(seed)
        driver.reset()
        for _ in range(LunarLander().spec.steps):
            outcome = trial.step(driver.act(see(trial.frame())))
            if outcome.over:
                break
        trial.close()
        ends.append(dict(outcome.metrics))
    return ends


def test_is_the_family_that_the_task_names() -> None:
    assert find_family(LunarLander().spec.driver) is LANDER_PILOT
    assert LunarLander().spec.name in LANDER_PILOT.tasks
    make_driver("simulated", LunarLander(), 0).reset()


def test_flies_no_other_task() -> None:
    class Other:
        @property
        def spec(self) -> TaskSpec:
            return LunarLander().spec

    other: Task = Other()  # type: ignore[assignment]
    with pytest.raises(DriverError, match="lunar-lander"):
        LANDER_PILOT.make(other, 0, 0)


def test_sees_frames_alone_and_knows_nothing_of_compression() -> None:
    tree = ast.parse(inspect.getsource(lander_pilot))
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [
        module for module in modules if module.startswith("compression") or module.endswith((".flight", "view"))
    ]


@pytest.mark.parametrize(("radius", "slack"), [(0.0, 1.0), (1.0, 3.0)])
def test_an_eye_reads_tilt_speed_and_distance_off_a_frame_even_a_blurred_one(radius: float, slack: float) -> None:
    eye, errors = Eye(LunarLander().view), []
    for seed in range(6):
        trial = LunarLander().start(seed)
        rng = np.random.default_rng(seed)
        for step in range(160):
            metrics = trial.step(int(rng.choice(4, p=(0.45, 0.1, 0.35, 0.1)))).metrics
            if step % 10 or metrics["crashed"]:
                continue
            sight = eye.see(blurred(trial.frame(), radius))
            assert sight.axis is not None
            seen = [abs(sight.axis) - metrics["tilt"], math.hypot(sight.across, sight.up) - min(metrics["speed"], 4.0)]
            known = sight.aside is not None and sight.height is not None
            distance = math.hypot(sight.aside or 0.0, sight.height or 0.0)
            errors.append([*seen, distance - metrics["distance"] if known else math.nan])
    typical = np.nanmedian(np.abs(errors), axis=0)
    assert np.isfinite(errors).all(axis=1).sum() >= 5
    assert (typical < slack * np.array([0.02, 0.05, 0.1])).all(), typical


def test_an_eye_says_nothing_of_a_blank_frame() -> None:
    for grey in (0, 128, 255):
        sight = Eye(10.0).see(np.full((64, 64, 3), grey, np.uint8))
        assert (sight.aside, sight.height, sight.across, sight.up, sight.axis) == (None, None, 0.0, 0.0, None)


def test_a_person_fixes_the_traits_and_dice_fix_the_chances() -> None:
    assert LanderTraits.of(3) == LanderTraits.of(3)
    assert LanderTraits.of(3) != LanderTraits.of(4)
    frames = []
    trial = LunarLander().start(1)
    for step in range(80):
        frames.append(trial.frame())
        trial.step(step % 4)

    def keys(person: int, dice: int) -> list[int]:
        driver = LANDER_PILOT.make(LunarLander(), person, dice)
        return [driver.act(frame) for frame in frames]

    assert keys(3, 1) == keys(3, 1)
    assert keys(3, 1) != keys(3, 2)
    assert keys(3, 1) != keys(4, 1)


def test_most_pilots_land_where_one_that_does_nothing_or_sees_nothing_crashes() -> None:
    seeds = range(100, 102)
    people = [LANDER_PILOT.make(LunarLander(), person, person) for person in range(3)]
    landed = [end["landed"] for driver in people for end in flights(driver, seeds)]
    assert np.mean(landed) >= 0.6
    assert sum(end["landed"] for end in flights(Coasting(), seeds)) == 0
    blank = np.zeros((64, 64, 3), np.uint8)
    assert sum(end["landed"] for end in flights(people[0], seeds, see=lambda frame: blank)) == 0


def test_a_blurred_view_is_flown_by() -> None:
    people = [LANDER_PILOT.make(LunarLander(), person, person) for person in range(2)]
    seen = [
        end["landing"] for driver in people for end in flights(driver, range(2), see=lambda frame: blurred(frame, 1.0))
    ]
    nothing = [end["landing"] for end in flights(Coasting(), range(2))]
    assert np.mean(seen) > np.mean(nothing) + 0.2
