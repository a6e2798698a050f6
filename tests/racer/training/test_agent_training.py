"""From a task to the file of an agent: whose trials it meets, what it can be used for, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import crossing
import numpy as np
import pytest
from racing_builders import write_mask
from tiny_agents import write_tiny_agent
from tiny_models import GREY, tiny_model, write_tiny_model

from compression.errors import CoderError, MaskError
from compression.fitting.agent import AgentConfig
from compression.model.latent_model import LatentModel, load_model
from racer.errors import ConfigError
from racer.loop.batched import Job, simulate
from racer.loop.conditions import ChannelConfig, load_fitted_models
from racer.tasks.registry import make_task
from racer.training.agent import FIRST_HELD_OUT, FIRST_TRAINED, AgentTraining, do_trials, plan, read_card, train

CONFIG = AgentConfig(latents=4, steps=4, rounds=2, batch=4, decoder_steps=2)


@pytest.fixture(scope="module", autouse=True)
def found() -> Iterator[None]:
    with crossing.installed():
        yield


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> LatentModel:
    return tiny_model(tmp_path_factory.mktemp("models") / "grey", GREY)


def training(folder: Path, model: LatentModel, config: AgentConfig = CONFIG, **others: Any) -> AgentTraining:
    others = {"driver": "crossing:make", "trials": 3, "held_out_trials": 2, "model": model.folder} | others
    return AgentTraining("crossing", folder / "agent.safetensors", config=config, **others)


@pytest.fixture(scope="module")
def path(grey: LatentModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a trained agent."""
    wanted = training(tmp_path_factory.mktemp("agents"), grey)
    card = train(wanted)
    assert read_card(wanted.out, grey)[1] == card
    return wanted.out


def test_a_file_says_whom_it_imitates_where_and_on_which_trials(path: Path, grey: LatentModel) -> None:
    record, card = read_card(path, grey)
    assert (record.task, record.drivers, record.model_sha256) == ("crossing", ("crossing:make",), grey.sha256)
    assert record.config["alpha"] == CONFIG.alpha and len(record.seeds) == 6
    assert all(FIRST_TRAINED <= seed < FIRST_HELD_OUT for seed in record.seeds)
    assert card["trials"] == 2 and set(card["agent"]) == set(card["driver"]) == {"distance", "home", "effort", "gust"}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_trials(
    path: Path, grey: LatentModel, tmp_path: Path
) -> None:
    train(training(tmp_path, grey))
    assert (tmp_path / "agent.safetensors").read_bytes() == path.read_bytes()
    other = training(tmp_path / "other", grey, replace(CONFIG, seed=1))
    train(other)
    assert not set(read_card(other.out, grey)[0].seeds) & set(read_card(path, grey)[0].seeds)


@pytest.mark.parametrize("bits", [1, 12, 85])
def test_people_drive_by_what_the_agent_sees_within_the_slot(path: Path, grey: LatentModel, bits: int) -> None:
    fitted = load_fitted_models(["agent"], [path], grey)
    job = Job("agent", ChannelConfig(bits), make_task("crossing"), 5, "crossing:make", 0, 8, 0)
    (score,) = simulate([job], grey, fitted)
    assert score.bits_most == bits and score.lost == 0 and score.steps > 0


def test_trials_of_many_are_those_of_each_alone(grey: LatentModel) -> None:
    tasks = [make_task("crossing", {"wind": wind}) for wind in (0.0, 0.5)]
    together = do_trials(tasks, range(4), 8, grey, "crossing:make", None)
    for number, (begin, end) in enumerate(zip(together.seen.starts, together.seen.starts[1:], strict=False)):
        alone = do_trials([tasks[number % 2]], [number], 8, grey, "crossing:make", None)
        np.testing.assert_array_equal(together.seen.frames[begin:end], alone.seen.frames)
        np.testing.assert_array_equal(together.seen.actions[begin:end], alone.seen.actions)


def test_a_plan_says_what_there_is_to_do_and_writes_nothing(grey: LatentModel, tmp_path: Path) -> None:
    planned = plan(training(tmp_path, grey))
    assert planned["frames_at_most"] == 2 * 3 * 2 * 8 and planned["agent_steps"] == 4
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_trained_is_refused_before_anything_is_written(grey: LatentModel, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="waits for answers"):
        plan(AgentTraining("guess", tmp_path / "agent.safetensors"))
    with pytest.raises(ConfigError, match="no latent model comes with task crossing"):
        plan(replace(training(tmp_path, grey), model=None))
    with pytest.raises(ConfigError, match="trials must lie between"):
        training(tmp_path, grey, trials=0)
    assert not list(tmp_path.iterdir())
    (tmp_path / "agent.safetensors").write_text("mine")
    with pytest.raises(ConfigError, match="exists and was left as it is"):
        training(tmp_path, grey)


def test_files_that_are_of_no_use_are_named_in_one_line(path: Path, grey: LatentModel, tmp_path: Path) -> None:
    other = load_model(write_tiny_model(tmp_path / "other", GREY, seed=1))
    with pytest.raises(MaskError, match=r"fitted for other weights .* `racer agent train`$"):
        read_card(path, other)
    with pytest.raises(MaskError, match="was fitted for pico, not for agent"):
        read_card(write_mask(tmp_path / "mask.safetensors", grey), grey)
    with pytest.raises(MaskError, match="without its data card"):
        read_card(write_tiny_agent(grey, tmp_path / "bare.safetensors"), grey)
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:-9])
    with pytest.raises(MaskError, match="is not a fitted file"):
        read_card(tmp_path / "cut.safetensors", grey)
    with pytest.raises(ConfigError, match=r"condition agent needs a fitted file: .* `racer agent train`$"):
        load_fitted_models(["agent"], [], grey)


def test_without_constriction_one_line_says_what_to_install(
    path: Path, grey: LatentModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "constriction.constriction", None)
    job = Job("agent", ChannelConfig(12), make_task("crossing"), 5, "crossing:make", 0, 8, 0)
    told = r"needs the package constriction, which is not installed; nothing was changed: pip install 'racer\[coding\]'"
    with pytest.raises(CoderError, match=told):
        plan(training(tmp_path, grey))
    with pytest.raises(CoderError, match=told):
        list(simulate([job], grey, load_fitted_models(["agent"], [path], grey)))
