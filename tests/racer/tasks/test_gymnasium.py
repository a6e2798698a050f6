from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from racing_builders import (
    CAR_RACING,
    LEFT,
    RIGHT,
    SESSION,
    STRAIGHT,
    Replayer,
    ScriptedDisplay,
    write_mask,
)
from tiny_models import GREY, write_tiny_model
from tiny_tasks import Drift, installed

import sessions
from compression.coders.blocks import BlockReceiver
from compression.coders.packet import layout_for
from compression.fitting.fitted import load_fitted
from compression.model.latent_model import LatentModel
from racer.errors import ConfigError
from racer.loop.attended import Setup
from racer.loop.conditions import ChannelConfig
from racer.sitting.agenda import Drive
from racer.sitting.protocol import EpisodePlan
from racer.sitting.run import SittingRun, SittingSetup
from racer.tasks.gymnasium import ChannelObservation, TaskEnv, env_id, env_spec, register_tasks, reward_of
from racer.tasks.registry import BUILT_IN, make_task, needed_settings
from racer.tasks.task import MOST_SEED, Outcome
from racer.window.texts import english

Make = Callable[..., ChannelObservation]
STEPWISE = ChannelConfig(mask_interval="step", fill="prior")
ACTIONS = [STRAIGHT, RIGHT, RIGHT, LEFT, STRAIGHT, LEFT]
PACED = [name for name in BUILT_IN if not needed_settings(name) and make_task(name).spec.paced]


@pytest.fixture
def make() -> Iterator[Make]:
    """Build wrapped environments, and close them after the test."""
    made: list[ChannelObservation] = []

    def build(condition: str, config: ChannelConfig | None = None, **others: Any) -> ChannelObservation:
        env = gymnasium.make("racer/CarRacing-v0", disable_env_checker=True)
        made.append(ChannelObservation(env, condition, config, **others))
        return made[-1]

    yield build
    for env in made:
        env.close()


def drive(env: gymnasium.Env[Any, Any], seed: int, actions: list[int]) -> list[tuple[bytes, bytes]]:
    """Return what was shown and what crossed, from the reset on."""
    observation, info = env.reset(seed=seed)
    seen = [(observation.tobytes(), info["packet"])]
    for action in actions:
        observation, _, _, _, info = env.step(action)
        seen.append((observation.tobytes(), info["packet"]))
    return seen


def check(env: gymnasium.Env[Any, Any], **options: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it recommends checking without wrappers
        check_env(env, **options)


# Tasks --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PACED)
def test_every_paced_task_is_registered_and_gymnasiums_own_checker_finds_nothing(name: str) -> None:
    env = gymnasium.make(env_id(name), render_mode="rgb_array", disable_env_checker=True)
    inner = env.unwrapped
    assert isinstance(inner, TaskEnv) and inner.task == make_task(name)
    check(inner, skip_render_check=True)
    env.close()


def test_the_names_of_environments_are_gymnasiums_way_of_spelling_the_tasks() -> None:
    assert env_id("car-racing") == "racer/CarRacing-v0"
    assert {"racer/CarRacing-v0", "racer/CarRacingClutter-v0", "racer/LunarLander-v0"} <= set(gymnasium.registry)


@pytest.mark.parametrize("name", PACED)
def test_an_agent_sees_does_and_is_told_what_the_task_shows_takes_and_measures(name: str) -> None:
    env, trial = TaskEnv(name), make_task(name).start(5)
    spec = env.task.spec
    shown, info = env.reset(seed=5)
    assert (env.observation_space.shape, env.action_space.n) == (spec.frame, len(spec.actions))
    assert np.array_equal(shown, trial.frame()) and info == {}
    for action in range(len(spec.actions)):
        shown, _, over, truncated, info = env.step(np.int64(action))
        outcome = trial.step(action)
        assert np.array_equal(shown, trial.frame())
        assert (info, over, truncated) == (dict(outcome.metrics), outcome.over, False)
    trial.close()
    env.close()


def test_gymnasium_makes_a_task_of_its_settings_and_again_of_its_specification() -> None:
    fast = make_task("car-racing", {"speed": 80.0})
    for env in (gymnasium.make("racer/CarRacing-v0", speed=80.0), gymnasium.make(env_spec(fast))):
        inner = env.unwrapped
        assert isinstance(inner, TaskEnv) and inner.task == fast
        env.close()
    assert env_spec(fast).id == "racer/CarRacing-v0"
    assert env_spec(fast).max_episode_steps is None


def test_the_specification_travels_as_text() -> None:
    again = gymnasium.envs.registration.EnvSpec.from_json(env_spec(CAR_RACING).to_json())
    env = gymnasium.make(again)
    assert isinstance(env.unwrapped, TaskEnv) and env.unwrapped.task == CAR_RACING
    env.close()


def test_a_setting_that_cannot_be_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match="car-racing") as refusal:
        TaskEnv("car-racing", speed=-1.0)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_seed_larger_than_any_trials_is_counted_around() -> None:
    env = TaskEnv("car-racing")
    first, _ = env.reset(seed=3)
    again, _ = env.reset(seed=3 + MOST_SEED + 1)
    assert np.array_equal(first, again)
    env.close()


def test_without_a_seed_every_episode_is_another_trial_and_all_follow_from_the_first_seed() -> None:
    env = TaskEnv("car-racing")

    def three() -> list[bytes]:
        return [env.reset(seed=9)[0].tobytes(), env.reset()[0].tobytes(), env.reset()[0].tobytes()]

    first = three()
    assert first == three()
    assert len(set(first)) == 3
    env.close()


def test_a_step_before_the_reset_is_refused() -> None:
    with pytest.raises(gymnasium.error.ResetNeeded):
        TaskEnv("car-racing").step(0)


def test_rewards_are_the_metric_of_that_name_or_else_what_the_primary_one_gained() -> None:
    driving = CAR_RACING.spec
    metrics = dict.fromkeys((metric.name for metric in driving.metrics), 0.0) | {"reward": -3.5, "progress": 0.25}
    assert reward_of(driving, Outcome(metrics, over=False), 0.1) == (-3.5, 0.25)
    lower_is_better = Drift().spec
    outcome = Outcome({"distance": 6.0, "jumps": 0.0, "near": 0.0}, over=False)
    assert reward_of(lower_is_better, outcome, 4.0) == (-2.0, 6.0)


def test_installed_tasks_are_registered_and_those_that_wait_for_answers_are_refused() -> None:
    with installed():
        register_tasks()
        try:
            env = gymnasium.make("racer/Drift-v0", drift=2.0, render_mode="rgb_array")
            check(env.unwrapped, skip_render_check=True)
            env.reset(seed=0)
            assert env.render().shape == (40, 40, 3)
            env.close()
            with pytest.raises(ConfigError, match="waits for answers"):
                TaskEnv("shades")
            assert env_id("shades") not in gymnasium.registry
        finally:
            gymnasium.registry.pop(env_id("drift"), None)


def test_tasks_that_wait_for_answers_are_not_registered() -> None:
    assert {name for name in BUILT_IN if env_id(name) in gymnasium.registry} == set(PACED)


def test_naming_the_module_is_all_it_takes_to_register() -> None:
    code = "import gymnasium; print(gymnasium.make('racer.tasks.gymnasium:racer/CarRacing-v0').spec.id)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "racer/CarRacing-v0\n", result.stderr


# Through the channel ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("condition", "config"), [("random", STEPWISE), ("full", None), ("raw", None), ("jpeg", None)])
def test_gymnasiums_own_checker_finds_nothing_through_the_channel(
    make: Make, condition: str, config: ChannelConfig | None
) -> None:
    check(make(condition, config), skip_render_check=True)


@pytest.mark.parametrize("name", [name for name in PACED if name != "car-racing"])
def test_gymnasiums_own_checker_finds_nothing_through_the_channel_of_any_paced_task(name: str) -> None:
    env = ChannelObservation(gymnasium.make(env_id(name), disable_env_checker=True), "random", STEPWISE)
    check(env, skip_render_check=True)
    env.close()


def test_the_wrapper_can_be_made_again_from_its_specification(make: Make) -> None:
    env = make("random", STEPWISE)
    assert env.spec is not None
    again = gymnasium.make(env.spec)
    assert drive(again, 3, [RIGHT, LEFT]) == drive(env, 3, [RIGHT, LEFT])
    again.close()


@pytest.mark.parametrize("config", [None, STEPWISE], ids=["episode-hold", "step-prior"])
def test_a_seed_repeats_the_episode_byte_for_byte(make: Make, config: ChannelConfig | None) -> None:
    env = make("random", config)
    first = drive(env, 5, ACTIONS)
    assert drive(env, 5, ACTIONS) == first
    assert drive(make("random", config), 5, ACTIONS) == first
    assert drive(env, 6, ACTIONS) != first


def test_without_a_seed_the_next_episode_has_another_mask(make: Make) -> None:
    env = make("random")
    env.reset(seed=0)
    masks = {env.reset()[1]["mask"].tobytes() for _ in range(4)}
    assert len(masks) > 1


def test_raw_shows_the_task_as_it_is(make: Make) -> None:
    env, task = make("raw"), TaskEnv("car-racing")
    shown, info = env.reset(seed=8)
    assert np.array_equal(shown, task.reset(seed=8)[0])
    assert (info["bits"], info["packet"], info["arrived"]) == (0, b"", True)
    shown, reward, *_, info = env.step(RIGHT)
    original, expected, *_, metrics = task.step(RIGHT)
    assert np.array_equal(shown, original)
    assert reward == expected
    assert info.items() >= metrics.items()
    assert env.observation_space.contains(shown)
    task.close()


def test_every_packet_fits_its_slot_and_info_says_what_it_cost(make: Make) -> None:
    env = make("random", STEPWISE)
    infos = [env.reset(seed=1)[1]] + [env.step(action)[4] for action in ACTIONS]
    for info in infos:
        assert int.from_bytes(info["packet"], "big") < 2**85
        assert (info["bits"], info["mask"].sum(), info["arrived"]) == (85, 4, True)


def test_a_lost_packet_is_zeros_that_did_not_arrive(make: Make) -> None:
    env = make("random", ChannelConfig(noise="erasures", noise_rate=0.5))
    infos = [env.reset(seed=1)[1]] + [env.step(action)[4] for action in ACTIONS]
    assert {info["arrived"] for info in infos} == {True, False}
    for info in infos:
        assert any(info["packet"]) == info["mask"].any() == info["arrived"]
        assert (info["bits"], len(info["packet"])) == (85, 11)


def test_the_receiver_knows_only_packets_and_what_was_done(make: Make, model: LatentModel) -> None:
    shown = drive(make("random", ChannelConfig(fill="predict")), 2, ACTIONS)
    receiver = BlockReceiver(model, layout_for(85, model.sizes), "predict")
    for (picture, packet), action in zip(shown, [STRAIGHT, *ACTIONS], strict=True):
        assert receiver.decode(packet, action).tobytes() == picture


@pytest.mark.parametrize("condition", ["full", "pico", "jpeg", "raw"])
def test_an_agent_sees_what_a_person_is_shown_for_the_same_seed_actions_and_masks(
    condition: str, make: Make, model: LatentModel, tmp_path: Path
) -> None:
    mask = load_fitted(write_mask(tmp_path / "mask", model, first=(1, 3, 4, 6)), model) if condition == "pico" else None
    config = ChannelConfig(fill="predict")
    env = make(condition, config, fitted=mask)
    seen = [picture for picture, _ in drive(env, 12, ACTIONS)][: len(ACTIONS)]

    display = ScriptedDisplay()
    setup = Setup(CAR_RACING, config, model, {condition: mask} if mask else {}, 3, CAR_RACING.spec.text("en"))
    plan = EpisodePlan(0, "evaluation", condition, 12, len(ACTIONS))
    sitting = SittingSetup((Drive(plan, ""),), setup, english().texts)
    SittingRun(sitting, Replayer(ACTIONS), display, sessions.Recorder(tmp_path / "data", SESSION)).run()
    assert [frame.tobytes() for frame in display.frames] == seen


def test_a_mask_of_ones_own_is_used(make: Make, tmp_path: Path, model: LatentModel) -> None:
    path = write_mask(tmp_path / "mask.safetensors", model, "perceptual", first=(2, 4, 5, 7))
    env = make("perceptual", fitted=load_fitted(path, model))
    assert np.flatnonzero(env.reset(seed=0)[1]["mask"]).tolist() == [2, 4, 5, 7]


def test_a_model_of_ones_own_is_used_at_a_task_of_other_sizes(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "model", GREY)
    with installed():
        env = ChannelObservation(TaskEnv("drift"), "pico", ChannelConfig(bits=30), model=folder)
        shown, info = env.reset(seed=4)
        assert (shown.shape, info["mask"].shape) == ((40, 40, 1), (4,))
        check(env, skip_render_check=True)


@pytest.mark.parametrize("condition", ["perceptual", "blurred"])
def test_a_condition_without_a_mask_is_refused(make: Make, condition: str) -> None:
    with pytest.raises(ConfigError):
        make(condition)


def test_another_environment_is_refused_in_one_line_that_names_one_that_works() -> None:
    env = gymnasium.make("CartPole-v1")
    with pytest.raises(ConfigError, match=r"wraps a task, such as gymnasium\.make\('racer/CarRacing-v0'\)") as refusal:
        ChannelObservation(env)
    assert len(str(refusal.value).splitlines()) == 1
    env.close()
