"""Whole sittings at tasks of other sizes, actions and metrics than driving."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import GREY, write_tiny_model
from tiny_tasks import LEVELS, Drift, installed

import sessions
from compression.model.latent_model import load_model
from racer.errors import ConfigError
from racer.loop.conditions import ChannelConfig
from racer.loop.episode import block_seeds
from racer.recordings.verification import verify_recordings
from racer.sitting.play import PlayConfig, play_episodes
from racer.sitting.protocol import PILOT_SEEDS, ProtocolConfig
from racer.sitting.start import SimulatedIdentity, StartConfig, start_session
from racer.tasks.registry import make_task

PILOT = ProtocolConfig("pilot", practice=1, calibration=1, exploration=2, steps=6)
EVALUATION = ProtocolConfig("evaluation", practice=1, evaluation=1, steps=5, conditions=("raw", "random", "pico"))


@pytest.fixture(scope="module", autouse=True)
def tasks() -> Iterator[None]:
    with installed():
        yield


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_model(folder / "drift", GREY)
    write_tiny_model(folder / "shades", LEVELS)
    return folder


def config(task: str, models: Path, data: Path, protocol: ProtocolConfig, **others: Any) -> StartConfig:
    return StartConfig(
        participant="p01",
        protocol=protocol,
        task=make_task(task),
        model=models / task,
        driver=f"tiny_tasks:onlooker_of_{task}",
        headless=True,
        data=data,
        **{"channel": ChannelConfig(bits=30), **others},
    )


def check_verified(path: Path, model: Path) -> None:
    """Fail unless the recording is what its task and its model make of it again."""
    (verified,) = verify_recordings([path], jobs=1, model=model).recordings
    assert {found.check: found.detail for found in verified.findings if found.outcome == "fail"} == {}
    done = {found.check: (found.outcome, found.detail) for found in verified.findings}
    assert {check: done[check] for check in ("packets", "received", "replay")} == dict.fromkeys(
        ("packets", "received", "replay"), ("ok", "")
    )


def test_a_pilot_of_a_paced_task_is_recorded_in_its_own_terms(models: Path, tmp_path: Path) -> None:
    result = start_session(config("drift", models, tmp_path, PILOT))
    assert result.complete and result.path is not None
    model, spec = load_model(models / "drift"), Drift().spec
    with sessions.open(result.path) as session:
        info = session.info
        assert (info.task.name, info.task.settings, info.task.neutral) == ("drift", {"drift": 1.0}, 0)
        assert (info.task.frame, info.task.latents, info.task.blocks) == ((40, 40, 1), 12, 4)
        assert info.task.actions == ("wait", "up", "down", "jump-home")
        assert (info.task.step_seconds, info.model_sha256) == (0.1, model.sha256)
        assert [(each.name, each.better, each.trial, each.boolean) for each in info.task.metrics] == [
            (each.name, each.better, each.trial, each.boolean) for each in spec.metrics
        ]
        assert len(session.episodes) == 4
        for episode, told in zip(session.episodes, result.episodes, strict=True):
            core = ("time_ns", "response_ns", "action", "stimulus"), ("latent", "received", "mask", "packet", "bits")
            metrics = tuple(metric.name for metric in spec.metrics)
            assert tuple(episode.columns) == (*core[0], *metrics, *core[1], "uplink_bits", "arrived", "stage_us")
            rows = episode.n_steps
            assert (episode.latent.shape, episode.mask.shape) == ((rows, 12), (rows, 4))
            assert set(episode.uplink_bits.tolist()) == {2}
            assert set(episode.stimulus.tolist()) == {episode.info.seed}
            trial = Drift().start(episode.info.seed)
            for row, action in enumerate(episode.action.tolist()):
                assert np.array_equal(model.encode_frame(trial.frame()), episode.latent[row])
                for name, value in trial.step(action).metrics.items():
                    assert episode[name].dtype.type(value) == episode[name][row]
            assert told.metrics == pytest.approx(dict(episode.metrics))
        assert len({action for episode in session.episodes for action in episode.action.tolist()}) == 4
    check_verified(result.path, models / "drift")


def test_blocks_of_a_self_paced_task_are_recorded_trial_by_trial(models: Path, tmp_path: Path) -> None:
    result = start_session(config("shades", models, tmp_path, EVALUATION))
    assert result.complete and result.path is not None and result.pace is None
    with sessions.open(result.path) as session:
        assert session.episodes[0].info.condition == "full"
        assert {episode.info.condition for episode in session.episodes} == {"full", "raw", "random", "pico"}
        for episode in session.episodes:
            first = episode.info.seed
            assert episode.stimulus.tolist() == block_seeds(first, 5)
            assert episode["correct"].dtype == bool
        evaluated = [episode.stimulus.tolist() for episode in session.episodes[1:]]
        assert evaluated == [evaluated[0]] * 3
    check_verified(result.path, models / "shades")


def test_nothing_of_a_picture_reaches_the_next_one(models: Path, tmp_path: Path) -> None:
    model, longer = load_model(models / "shades"), replace(EVALUATION, steps=12, conditions=("random",))
    result = start_session(config("shades", models, tmp_path, longer, channel=ChannelConfig(bits=5)))
    assert result.path is not None
    with sessions.open(result.path) as session:
        (episode,) = (each for each in session.episodes if each.info.condition == "random")
        missing = ~np.repeat(episode.mask, model.sizes.block_size, axis=1)
        assert missing.any()
        assert np.array_equal(episode.received[missing], np.broadcast_to(model.mean, episode.received.shape)[missing])
        # A mask per episode is one per picture where pictures stand alone.
        assert len(np.unique(episode.mask, axis=0)) > 1
    check_verified(result.path, models / "shades")


def test_pilots_and_evaluated_people_never_meet_the_same_picture(models: Path, tmp_path: Path) -> None:
    met = {}
    for protocol in (replace(PILOT, calibration=3, exploration=3), EVALUATION):
        result = start_session(config("shades", models, tmp_path / protocol.protocol, protocol))
        assert result.path is not None
        with sessions.open(result.path) as session:
            met[protocol.protocol] = np.concatenate([episode.stimulus for episode in session.episodes])
    assert met["pilot"].max() < PILOT_SEEDS <= met["evaluation"].min()


@pytest.mark.parametrize(("task", "protocol"), [("drift", PILOT), ("shades", EVALUATION)])
def test_in_simulated_time_a_sitting_repeats_to_the_byte_and_time_passes(
    task: str, protocol: ProtocolConfig, models: Path, tmp_path: Path
) -> None:
    identity = SimulatedIdentity("0a1b2c", datetime(2000, 1, 1, tzinfo=UTC))
    paths = []
    for name in ("a", "b"):
        settings = config(task, models, tmp_path / name, protocol, simulated=identity, order=0)
        paths.append(start_session(settings).path)
    first, second = paths
    assert first is not None and second is not None
    assert first.read_bytes() == second.read_bytes()
    check_verified(first, models / task)


@pytest.mark.parametrize("task", ["drift", "shades"])
def test_a_task_can_be_tried_out(task: str, models: Path) -> None:
    settings = PlayConfig(
        condition="pico",
        task=make_task(task),
        model=models / task,
        channel=ChannelConfig(bits=30),
        driver=f"tiny_tasks:onlooker_of_{task}",
        headless=True,
        episodes=1,
    )
    result = play_episodes(settings)
    assert result.complete
    assert result.episodes[0].steps == 3 * make_task(task).spec.steps


# What cannot work ---------------------------------------------------------------------------------------------------


def refused(settings: StartConfig, told: str) -> None:
    """Check that a sitting is refused in one line, and that nothing is written."""
    with pytest.raises(ConfigError) as refusal:
        start_session(settings)
    assert told in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
    assert not settings.data.exists()


def test_a_model_of_other_frames_is_refused_with_both_sizes(models: Path, tmp_path: Path) -> None:
    settings = config("drift", models, tmp_path / "data", PILOT)
    refused(replace(settings, model=models / "shades"), "is for frames of 8x8x1, and task drift has frames of 40x40x1")


def test_a_model_of_another_number_of_actions_is_refused_with_both(models: Path, tmp_path: Path) -> None:
    five = write_tiny_model(tmp_path / "five", replace(GREY, actions=5))
    settings = config("drift", models, tmp_path / "data", PILOT)
    refused(replace(settings, model=five), "is for 5 actions, and task drift has 4 actions")


def test_a_task_without_a_model_says_how_to_make_one(models: Path, tmp_path: Path) -> None:
    settings = config("drift", models, tmp_path / "data", PILOT)
    refused(replace(settings, model=None), "train one with `racer model train --task drift --out FOLDER`")


def test_a_slot_too_small_for_the_models_sizes_is_refused(models: Path, tmp_path: Path) -> None:
    settings = config("drift", models, tmp_path / "data", PILOT)
    refused(replace(settings, channel=ChannelConfig(bits=1)), "condition random needs 3 bits per step or more; got 1")


def test_a_prediction_without_a_world_model_is_refused(models: Path, tmp_path: Path) -> None:
    settings = config("shades", models, tmp_path / "data", EVALUATION)
    refused(replace(settings, channel=ChannelConfig(bits=30, fill="predict")), "use fill hold or prior")
