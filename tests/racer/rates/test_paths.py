from __future__ import annotations

from contextlib import closing
from typing import cast

import numpy as np
import pytest
from gymnasium.envs.box2d.car_racing import TRACK_WIDTH

from racer.drivers.registry import families_for
from racer.errors import ConfigError
from racer.rates.paths import draw_paths, drive_paths
from racer.tasks.car_racing.task import STRAIGHT, CarRacing
from racer.tasks.lunar_lander.task import COAST, LunarLander
from racer.tasks.registry import make_task
from racer.tasks.task import Mapped


def test_each_family_that_does_the_task_begins_at_the_same_place_and_each_person_goes_its_own_way() -> None:
    told: list[tuple[int, int]] = []
    paths = drive_paths(LunarLander(), 2, 30, 5, lambda done, total: told.append((done, total)))
    assert list(paths.families) == families_for(LunarLander().spec)
    assert told == [(done, 2 * len(paths.families)) for done in range(2 * len(paths.families) + 1)]
    every = [path for own in paths.families.values() for path in own]
    assert len({tuple(path[0]) for path in every}) == 1 and all(path.shape == (31, 2) for path in every)
    assert len({path.tobytes() for path in every}) == len(every)
    again = drive_paths(LunarLander(), 1, 30, 5)
    assert all(np.array_equal(own[0], again.families[name][0]) for name, own in paths.families.items())
    assert len(draw_paths(paths).rows) == 31 * len(every)


def test_pictures_are_nothing_to_move_about_in() -> None:
    with pytest.raises(ConfigError, match="nobody moves about in vehicles"):
        drive_paths(make_task("vehicles"), 1, 1, 0)


def test_a_car_stands_between_the_edges_of_its_road_and_moves_as_fast_as_it_says() -> None:
    with closing(CarRacing().start(3)) as track:
        seen = cast(Mapped, track)
        left, right = seen.outlines()
        assert np.allclose(np.hypot(*(left - right).T), 2 * TRACK_WIDTH) and np.array_equal(left[0], left[-1])
        assert max(np.hypot(*(edge - seen.place()).T).min() for edge in (left, right)) < 2 * TRACK_WIDTH
        for _ in range(30):
            track.step(STRAIGHT)
        before, speed = seen.place(), track.step(STRAIGHT).metrics["speed"]
        assert np.hypot(*np.subtract(before, seen.place())) == pytest.approx(speed / 50, rel=0.05)


def test_a_craft_is_as_far_from_the_pad_as_it_says() -> None:
    with closing(LunarLander().start(3)) as flight:
        distance = flight.step(COAST).metrics["distance"]
        seen = cast(Mapped, flight)
        ground, pad = seen.outlines()
        assert ground[0, 0] == 0 and np.ptp(pad[:, 0]) == pytest.approx(4.0)
        middle = (pad[0, 0] + pad[1, 0]) / 2, pad[:, 1].max()
        assert np.hypot(*np.subtract(seen.place(), middle)) == pytest.approx(distance, abs=0.7)
