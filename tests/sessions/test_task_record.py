from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from session_builders import SMALL_TASK, TASK

from sessions import TaskRecord
from sessions.task_record import MOST_ACTIONS, MOST_METRICS


@pytest.mark.parametrize("task", [TASK, SMALL_TASK])
def test_record_comes_back_from_json_equal(task: TaskRecord) -> None:
    assert TaskRecord.from_json(json.loads(json.dumps(asdict(task)))) == task


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": "../x"},
        {"name": 1},
        {"settings": []},
        {"frame": (7, 64, 3)},
        {"frame": (64, 257, 3)},
        {"frame": (64, 64, 2)},
        {"frame": (64, 64)},
        {"frame": (64.0, 64, 3)},
        {"frame": 64},
        {"actions": ("left",)},
        {"actions": ("left", "left")},
        {"actions": ("left", "a\nb")},
        {"actions": ("left", 1)},
        {"actions": tuple(f"a{number}" for number in range(MOST_ACTIONS + 1))},
        {"actions": "ab"},
        {"neutral": len(TASK.actions)},
        {"neutral": -1},
        {"neutral": "left"},
        {"metrics": ()},
        {"metrics": TASK.metrics[:1] * 2},
        {"metrics": TASK.metrics[::-1]},
        {"metrics": tuple(replace(TASK.primary, name=f"m{number}") for number in range(MOST_METRICS + 1))},
        {"metrics": ("progress",)},
        {"latents": 0},
        {"latents": 2**40},
        {"latents": 32.0},
        {"blocks": 0},
        {"blocks": 2 * TASK.latents},
        {"blocks": 5},
        {"paced": 1},
        {"step_seconds": 0},
        {"step_seconds": float("nan")},
        {"step_seconds": "1"},
    ],
)
def test_malformed_task_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        replace(TASK, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Progress"},
        {"name": "a/b"},
        {"name": ""},
        {"name": "latent"},
        {"name": "mask_1"},
        {"name": "trial_progress"},
        {"name": None},
        {"meaning": "a\nb"},
        {"meaning": "\u202eabc"},
        {"label": "x" * 301},
        {"unit": 1},
        {"better": "faster"},
        {"trial": "first"},
        {"boolean": 1},
        {"low": 1.0},
        {"low": float("nan")},
        {"high": float("inf")},
        {"high": 1e39},
        {"high": "1"},
    ],
)
def test_malformed_metric_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        replace(TASK.primary, **changes)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: value.pop("metrics"),
        lambda value: value.update(more=1),
        lambda value: value.update(metrics=[1]),
        lambda value: value.update(metrics=[{}]),
        lambda value: value.update(frame=None),
        lambda value: value.update(actions=7),
    ],
)
def test_json_that_is_no_record_is_refused(spoil: Any) -> None:
    value = json.loads(json.dumps(asdict(TASK)))
    spoil(value)
    with pytest.raises((ValueError, TypeError, KeyError)):
        TaskRecord.from_json(value)


def test_metrics_are_found_by_name_and_know_what_a_trial_comes_to() -> None:
    values = np.array([0.0, 1.0, 0.5], np.float32)
    assert TASK.metric("progress") == TASK.primary
    assert (TASK.primary.of_trial(values), TASK.metric("reward").of_trial(values)) == (0.5, 0.5)
    assert (TASK.metric("wet").title, TASK.metric("reward").title) == ("time in the water", "reward")
    with pytest.raises(KeyError):
        TASK.metric("latent")
