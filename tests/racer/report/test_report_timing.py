from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_builders import CONFIG, driven, evaluation

from racer.report.study import report_study
from racer.report.timing import Timing


def timing_of(folder: Path, times_ms: list[float], **changes: Any) -> Timing:
    """Write a sitting whose frames came at these times and return its timing."""
    evaluation(folder, "ann", [driven("random", [0] * len(times_ms), times_ms=times_ms)], **changes)
    (timing,) = report_study(folder).timing
    return timing


def test_durations_overruns_and_dropped_steps_follow_from_when_frames_came(tmp_path: Path) -> None:
    # 10 steps a second: 100, 101.9 (within 2 ms), 102.1 (overran), 260 (overran, 2 periods and a half: 2 dropped)
    timing = timing_of(tmp_path, list(np.cumsum([0, 100, 101.9, 102.1, 260])))
    assert (timing.paced, timing.pace, timing.steps, timing.planned_steps) == (True, 10.0, 5, 100)
    assert timing.median_ms == pytest.approx((101.9 + 102.1) / 2)
    assert timing.longest_ms == pytest.approx(260)
    assert (timing.overruns, timing.dropped) == (2, 2)
    assert timing.stage_us == (1, 2, 3, 4)


def test_a_pause_is_not_part_of_a_steps_duration(tmp_path: Path) -> None:
    timing = timing_of(tmp_path, [0, 100, 5200, 5300], pauses_ms=[(150, 5150), (9000, 9001)])
    assert timing.longest_ms == pytest.approx(100)
    assert (timing.overruns, timing.dropped) == (0, 0)


@pytest.mark.parametrize(
    "changes", [{"headless": True}, {"pace": None}, {"pace": "fast"}, {"pace": 0}, {"headless": None}]
)
def test_a_sitting_that_kept_no_time_has_no_durations(changes: dict[str, Any], tmp_path: Path) -> None:
    timing = timing_of(tmp_path, [0, 100, 500], config=CONFIG | changes)
    assert timing.paced is False
    assert (timing.median_ms, timing.p99_ms, timing.longest_ms, timing.overruns, timing.dropped) == (None,) * 5
    assert timing.stage_us is None
    assert timing.steps == 3


def test_an_episode_of_one_step_has_no_duration(tmp_path: Path) -> None:
    timing = timing_of(tmp_path, [0])
    assert (timing.paced, timing.median_ms, timing.overruns) == (True, None, None)


@pytest.mark.parametrize("steps", [None, "many", -1, True])
def test_steps_are_missing_only_where_the_plan_is_known(steps: Any, tmp_path: Path) -> None:
    config = CONFIG | {"protocol": CONFIG["protocol"] | {"steps": steps}}
    assert timing_of(tmp_path, [0, 100], config=config).planned_steps is None
