from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from racing_builders import CAR_RACING

from racer.loop.behaviour import BehaviourTally
from racer.tasks.task import TaskSpec

LEFT, STRAIGHT, RIGHT = range(3)
SPEC = replace(CAR_RACING.spec, step_seconds=1.0)


def values_of(rows: list[tuple[int, bool, float]], spec: TaskSpec = SPEC) -> dict[str, float]:
    tally = BehaviourTally(spec)
    for row in rows:
        tally.add(*row)
    return dict(tally.values())


def test_a_reversal_is_another_key_than_the_last_whatever_lay_between() -> None:
    pressed = [STRAIGHT, LEFT, LEFT, STRAIGHT, LEFT, STRAIGHT, RIGHT, LEFT, STRAIGHT, STRAIGHT]
    assert values_of([(action, False, 0.0) for action in pressed])["reversals"] == 2 * 60 / 10


def test_a_failure_counts_when_it_begins() -> None:
    failing = [True, True, False, True, False, False]
    assert values_of([(STRAIGHT, each, 0.0) for each in failing])["failures"] == 2 * 60 / 6


@given(st.lists(st.floats(0, 1e3), min_size=1))
def test_the_deviation_is_the_mean(deviations: list[float]) -> None:
    mean = sum(deviations) / len(deviations)
    assert values_of([(STRAIGHT, False, each) for each in deviations])["deviation"] == pytest.approx(mean)


def test_what_a_task_does_not_have_is_left_out() -> None:
    assert values_of([]) == {}
    bare = replace(SPEC, failure="", deviation="")
    assert values_of([(LEFT, True, 1.0)], bare).keys() == {"reversals"}
