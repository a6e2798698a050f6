from __future__ import annotations

import gc
import hashlib
import json
import math
import os
import string
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.box2d import lunar_lander as stock
from numpy.typing import NDArray

from racer.errors import ConfigError
from racer.tasks.lunar_lander.flight import EasedLander, Flight
from racer.tasks.lunar_lander.scenery import CRAFT_COLUMN, CRAFT_ROW, FRAME_SIZE, HULL
from racer.tasks.lunar_lander.task import COAST, LEFT, MAIN, RIGHT, Handling, LunarLander
from racer.tasks.registry import make_task

BOTH: tuple[Handling, ...] = ("stock", "eased")


def actions(seed: int, steps: int = 150) -> list[int]:
    """Return keys pressed at random, the main engine most often, so that flights last."""
    return np.random.default_rng(seed).choice(4, size=steps, p=(0.3, 0.15, 0.4, 0.15)).tolist()  # type: ignore[no-any-return]


def fly(task: LunarLander, seed: int, drawn: bool = True) -> tuple[list[NDArray[np.uint8]], list[dict[str, float]]]:
    """Fly until it is over; return the frames that were drawn and the metrics of every step."""
    trial = task.start(seed)
    frames, metrics = [trial.frame()] if drawn else [], []
    for action in actions(seed):
        outcome = trial.step(action)
        metrics.append(dict(outcome.metrics))
        if drawn:
            frames.append(trial.frame())
        if outcome.over:
            break
    trial.close()
    return frames, metrics


def digest(task: LunarLander, seed: int) -> str:
    """Return what a flight's frames and metrics come to."""
    frames, metrics = fly(task, seed)
    return hashlib.sha256(b"".join(frame.tobytes() for frame in frames) + json.dumps(metrics).encode()).hexdigest()


def let_down(trial: Flight) -> dict[str, float]:
    """Let the craft down upright, by what the physics says, wherever it is; return the last metrics."""
    env = trial._env
    for _ in range(600):
        turn = -env.lander.angle - 0.5 * env.lander.angularVelocity
        height = env.lander.position[1] - env.helipad_y
        if env.legs[0].ground_contact or env.legs[1].ground_contact:
            action = COAST
        elif env.lander.linearVelocity[1] < -0.4 - 0.4 * height:
            action = MAIN
        else:
            action = COAST if abs(turn) < 0.05 else (LEFT if turn > 0 else RIGHT)
        outcome = trial.step(action)
        if outcome.over:
            break
    return dict(outcome.metrics)


def test_is_found_by_its_name_with_its_settings() -> None:
    assert make_task("lunar-lander", {"handling": "stock"}) == LunarLander("stock")
    assert LunarLander().handling == "eased"


@pytest.mark.parametrize(
    "settings", [{"handling": "moon"}, {"view": 2.0}, {"view": 50.0}, {"view": math.nan}, {"view": "wide"}]
)
def test_refuses_settings_that_cannot_be(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="must"):
        LunarLander(**settings)  # type: ignore[arg-type]


def test_every_operating_point_is_a_setting() -> None:
    for point in LunarLander().spec.operating_points:
        assert make_task("lunar-lander", point).spec == LunarLander().spec


def test_its_actions_are_those_of_gymnasium() -> None:
    spec = LunarLander().spec
    assert [action.name for action in spec.actions] == ["coast", "left", "main", "right"]
    assert spec.neutral == COAST == 0
    assert spec.actions[COAST].keys == ()
    assert gymnasium.make("LunarLander-v3").action_space == gymnasium.spaces.Discrete(len(spec.actions))


def test_texts_name_the_same_keys_in_every_language() -> None:
    spec = LunarLander().spec
    assert set(spec.texts) == {"en", "de"}
    for text in spec.texts.values():
        named = {field for line in text.lines for _, field, _, _ in string.Formatter().parse(line) if field}
        assert named == {"left", "main", "right", "trials"}
        assert set(text.actions) == {action.name for action in spec.actions}


@pytest.mark.parametrize("seed", range(4))
def test_stock_is_gymnasiums_game_step_by_step(seed: int) -> None:
    theirs = gymnasium.make("LunarLander-v3")
    theirs.reset(seed=seed)
    trial = LunarLander("stock").start(seed)
    for step, action in enumerate(actions(seed)):
        if step % 3 == 0:
            trial.frame()
        _, reward, over, _, _ = theirs.step(action)
        outcome = trial.step(action)
        lander = theirs.unwrapped.lander
        assert outcome.metrics["reward"] == float(reward)
        assert outcome.metrics["tilt"] == abs(math.remainder(lander.angle, 2 * math.pi))
        assert trial._env.lander.position == lander.position
        assert outcome.over == over
        if over:
            break
    trial.close()


def test_eased_handling_has_weaker_engines_and_leaves_gymnasiums_own_alone() -> None:
    before = fly(LunarLander("stock"), seed=3)
    for action, turned, lifted in ((COAST, 0, 0), (MAIN, 0, 1), (LEFT, 1, 0), (RIGHT, -1, 0)):
        answers = []
        for env in (stock.LunarLander(), EasedLander()):
            env.reset(seed=1)
            env.step(COAST)
            velocity, turning = env.lander.linearVelocity[1], env.lander.angularVelocity
            env.step(action)
            answers.append((env.lander.linearVelocity[1] - velocity, env.lander.angularVelocity - turning))
        (their_lift, their_turn), (lift, turn) = answers
        # All forces are scaled alike; what is left are the legs, which swing into their places at first.
        assert lift == pytest.approx(their_lift * 5 / 13, abs=0.02)
        assert turn == pytest.approx(their_turn * 5 / 13, abs=0.02)
        assert np.sign(round(turn, 2)) == turned
        assert (lift > 0) == bool(lifted)
    after = fly(LunarLander("stock"), seed=3)
    assert before[1] == after[1]
    assert stock.MAIN_ENGINE_POWER == 13.0


@pytest.mark.parametrize("handling", BOTH)
def test_the_same_seed_and_keys_give_the_same_bytes_in_a_fresh_process(handling: Handling) -> None:
    here = digest(LunarLander(handling), 5)
    code = (
        "from test_lunar_lander import digest; from racer.tasks.lunar_lander.task import LunarLander; "
        f"print(digest(LunarLander({handling!r}), 5))"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    there = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == here
    assert digest(LunarLander(handling), 6) != here


@pytest.mark.parametrize("handling", BOTH)
def test_looking_changes_nothing(handling: Handling) -> None:
    seen, unseen = fly(LunarLander(handling), seed=2), fly(LunarLander(handling), seed=2, drawn=False)
    assert seen[1] == unseen[1]
    late = LunarLander(handling).start(2)
    for action in actions(2)[:40]:
        late.step(action)
    # Looked at for the first time, and twice: no drawing depends on those before.
    assert np.array_equal(late.frame(), seen[0][40])
    assert np.array_equal(late.frame(), seen[0][40])


@pytest.mark.parametrize("handling", BOTH)
def test_every_metric_is_there_and_within_its_bounds(handling: Handling) -> None:
    spec = LunarLander(handling).spec
    for seed in range(12):
        for metrics in fly(LunarLander(handling), seed, drawn=False)[1]:
            assert list(metrics) == [metric.name for metric in spec.metrics]
            for metric in spec.metrics:
                assert metric.bounds[0] <= metrics[metric.name] <= metric.bounds[1]
                assert math.isfinite(metrics[metric.name])


def test_metrics_stay_within_their_bounds_far_out() -> None:
    trial = LunarLander().start(0)
    spec = LunarLander().spec
    for _ in range(500):
        metrics = trial.step(MAIN).metrics
        assert all(metric.bounds[0] <= metrics[metric.name] <= metric.bounds[1] for metric in spec.metrics)
        assert trial.frame().shape == spec.frame  # far above the sky's ceiling as well


@pytest.mark.parametrize("handling", BOTH)
def test_a_gentle_landing_on_the_pad_scores_one_and_a_crash_less_than_half(handling: Handling) -> None:
    landed = []
    for seed in range(6):
        trial = LunarLander(handling).start(seed)
        aside = trial._env.lander.position[0] - 10.0
        for body in (trial._env.lander, *trial._env.legs):
            body.linearVelocity = (0.0, 0.0)
            body.position = (body.position[0] - aside, body.position[1])  # above the pad
        landed.append(let_down(trial))
    assert any(metrics["landed"] for metrics in landed)
    for metrics in landed:
        assert metrics["landed"] == (metrics["landing"] == 1.0)
    trial = LunarLander(handling).start(0)
    while not (outcome := trial.step(COAST)).over:
        assert outcome.metrics["landing"] <= 0.8
    assert outcome.metrics["crashed"] == 1.0
    assert outcome.metrics["landing"] < 0.5


def test_resting_beside_the_pad_is_no_landing() -> None:
    trial = LunarLander().start(0)
    env = trial._env
    x, middle = env.helipad_x2 + 1.5, env.lander.position[0]
    for body in (env.lander, *env.legs):
        body.position = (body.position[0] + x - middle, body.position[1])
        body.linearVelocity = (0.0, 0.0)
    metrics = let_down(trial)
    assert metrics["landed"] == 0.0
    assert metrics["landing"] < 0.8


def test_there_is_no_fifth_action() -> None:
    with pytest.raises(ValueError, match="action must be"):
        LunarLander().start(0).step(4)


@pytest.mark.parametrize("handling", BOTH)
def test_the_craft_is_always_in_its_place_and_larger_than_three_pixels(handling: Handling) -> None:
    for seed in range(3):
        for frame in fly(LunarLander(handling), seed)[0][::10]:
            assert frame.shape == (FRAME_SIZE, FRAME_SIZE, 3)
            assert frame.dtype == np.uint8
            red, green, blue = frame.astype(int).transpose(2, 0, 1)
            hull = (np.abs(frame.astype(int) - HULL).max(axis=2) < 60) | (np.minimum(red, blue) - green > 60)
            rows, columns = np.nonzero(hull)
            assert len(rows) > 20
            assert max(np.ptp(rows), np.ptp(columns)) >= 8
            assert math.hypot(rows.mean() - CRAFT_ROW, columns.mean() - CRAFT_COLUMN) < 3


def test_the_pad_is_in_view_near_the_ground_and_pointed_to_from_afar() -> None:
    trial = LunarLander("stock").start(1)
    env = trial._env

    def yellow_at(x: float, y: float) -> NDArray[np.intp]:
        env.lander.position = (x, y)
        red, green, blue = trial.frame().astype(int).transpose(2, 0, 1)
        columns: NDArray[np.intp] = np.flatnonzero((np.minimum(red, green) - blue > 100).any(axis=0))
        return columns

    width = (env.helipad_x2 - env.helipad_x1) / LunarLander().view * FRAME_SIZE
    assert len(yellow_at(10.0, 6.0)) == pytest.approx(width, abs=2)
    assert yellow_at(2.0, 6.0).min() > 55
    assert yellow_at(18.0, 6.0).max() < 8


def test_a_hundred_trials_leave_nothing_behind() -> None:
    def use(trials: int) -> None:
        for seed in range(trials):
            trial = LunarLander().start(seed)
            trial.frame()
            trial.step(MAIN)
            trial.close()
            trial.close()

    use(20)
    gc.collect()
    before = len(gc.get_objects())
    use(100)
    gc.collect()
    assert len(gc.get_objects()) - before < 100
