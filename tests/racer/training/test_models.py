"""From frames to the folder of a latent model: its card and pictures, and that an interruption changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picture_folders import draw_folder
from PIL import Image
from task_builders import COUNTING, installing
from training_builders import collect_short_runs, draw_noise

from compression.errors import CompressionError
from compression.model.header import FILE_NAME
from compression.model.latent_model import load_model
from compression.model.training import TrainingConfig
from racer.errors import ConfigError, RacerError
from racer.tasks.latent_model import load_task_model
from racer.tasks.registry import GROUP, make_task
from racer.training.collect import CollectConfig, collect, collect_run, plan_runs
from racer.training.models import CARD, RECONSTRUCTIONS, TRAVERSALS, ModelConfig, make_model, read_card
from racer.training.probe import distinct, readable
from racer.training.sheets import DEVIATIONS, GAP

BRIEF = TrainingConfig(
    latents=4,
    blocks=2,
    hidden=8,
    dense=8,
    vae_steps=2,
    batch=8,
    world_model_steps=2,
    sequence=6,
    sequences=2,
    quantiser_samples=100,
    driver_iterations=2,
    drive=12,
    predictive_rounds=2,
)
RUNS = CollectConfig(runs=2, held_out_runs=4)
FILES = {CARD, FILE_NAME, RECONSTRUCTIONS, TRAVERSALS, "coarse.safetensors"}


class Broken(Exception):
    """Ends a training before its end."""


def driving(folder: Path, steps: int = 120, runs: CollectConfig = RUNS) -> ModelConfig:
    """Return what trains on short runs of car-racing, which are collected already."""
    collect_short_runs("car-racing", {}, runs, folder / "work" / "frames", steps)
    return ModelConfig(folder / "out", task="car-racing", collect=runs, training=BRIEF, work=folder / "work", jobs=1)


def viewing(folder: Path, **settings: Any) -> ModelConfig:
    """Return what trains on 24 pictures of noise."""
    draw_noise(folder / "images", count=24)
    return ModelConfig(folder / "out", images=folder / "images", training=BRIEF, **settings)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def grid(path: Path, side: int) -> tuple[int, int]:
    """Return how many rows and columns of frames a picture has."""
    with Image.open(path) as picture:
        picture.load()
        rows, columns = (picture.height + GAP) / (side + GAP), (picture.width + GAP) / (side + GAP)
    assert (rows, columns) == (int(rows), int(columns))
    return int(rows), int(columns)


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelConfig, dict[str, Any]]:
    """Return how a model of a task was trained, and its card."""
    config = driving(tmp_path_factory.mktemp("driven"))
    return config, make_model(config)


def test_a_model_of_a_task_says_what_it_was_trained_on_and_how_good_it_is(
    driven: tuple[ModelConfig, dict[str, Any]],
) -> None:
    config, card = driven
    assert set(files_of(config.out)) == FILES | {"predictive.safetensors"}
    assert read_card(config.out) == json.loads(json.dumps(card))
    model = load_model(config.out)
    assert (card["sha256"], model.sizes.frame, model.sizes.actions) == (model.sha256, (64, 64, 3), 3)
    assert card["task"] == "car-racing"
    assert card["data"] == {
        "source": "driver simulated, with bursts of wrong actions",
        "train_frames": 240,
        "train_trials": 2,
        "held_out_frames": 480,
        "held_out_trials": 4,
    }
    assert card["held_out"]["frames"] == 480
    assert "next_latent_squared_error" in card["held_out"]


def test_the_card_says_how_much_of_each_feature_is_about_the_truth(driven: tuple[ModelConfig, dict[str, Any]]) -> None:
    told = driven[1]["held_out"]["explained"]
    assert told["by"] == make_task("car-racing").spec.truth
    assert len(told["share_of_variance"]) == BRIEF.latents
    assert all(0 <= share <= 1 for share in told["share_of_variance"]) and any(told["share_of_variance"])


def test_the_card_says_so_for_the_trials_of_each_training_point(tmp_path: Path) -> None:
    points = make_task("car-racing").spec.training_points
    held_out = 2 * len(points)
    told = make_model(driving(tmp_path, 120, replace(RUNS, held_out_runs=held_out)))["held_out"]["explained"]
    assert [at["settings"] for at in told["at"]] == [dict(point) for point in points]
    assert len({tuple(each["share_of_variance"]) for each in (told, *told["at"])}) == 1 + len(points)


def test_too_few_held_out_frames_say_nothing_about_the_truth(tmp_path: Path) -> None:
    card = make_model(driving(tmp_path, 60, replace(RUNS, held_out_runs=2)))
    assert card["data"]["held_out_frames"] == 120
    assert "explained" not in card["held_out"]


TELLING = (
    COUNTING.replace("    steps=4,", "    steps=4,\n    truth='where it is',")
    + """
    def truth(self):
        return np.array([self.steps, 1.0])
"""
)
"""A module with a task whose trials tell what lies behind their frames."""


def test_the_truth_of_an_installed_task_is_collected(tmp_path: Path) -> None:
    (tmp_path / "packages").mkdir()
    with installing(tmp_path / "packages") as install:
        install("counting", TELLING, GROUP, "counting = counting:Counting")
        (run, *_) = plan_runs("counting", {}, replace(RUNS, driver="tiny_tasks:onlooker_of_shades"), "train", tmp_path)
        collect_run(run)
    with np.load(run.path) as part:
        assert part["truth"].tolist() == [[step, 1.0] for step in range(4)]


def test_the_pictures_show_held_out_frames_and_every_feature(driven: tuple[ModelConfig, dict[str, Any]]) -> None:
    out = driven[0].out
    assert grid(out / RECONSTRUCTIONS, 64) == (2, 10)
    assert grid(out / TRAVERSALS, 64) == (BRIEF.latents, len(DEVIATIONS))


@pytest.mark.parametrize(("grey", "channels"), [(False, 3), (True, 1)])
def test_pictures_give_a_model_of_their_size_and_colours(grey: bool, channels: int, tmp_path: Path) -> None:
    config = viewing(tmp_path, size=16, grey=grey)
    card = make_model(config)
    assert set(files_of(config.out)) == FILES
    assert load_model(config.out).sizes.frame == (16, 16, channels)
    assert (card["task"], card["data"]["source"]) == ("", "24 pictures")
    assert (card["data"]["train_frames"], card["data"]["held_out_frames"]) == (22, 2)
    assert grid(config.out / RECONSTRUCTIONS, 16) == (2, 2), "no more than were held out"
    assert grid(config.out / TRAVERSALS, 16) == (BRIEF.latents, len(DEVIATIONS))
    assert not {"explained", "next_latent_squared_error"} & card["held_out"].keys()


@pytest.mark.parametrize("until", [0.3, 0.9])
def test_an_interrupted_training_leaves_no_model_and_goes_on_to_the_same_bytes(
    until: float, driven: tuple[ModelConfig, dict[str, Any]], tmp_path: Path
) -> None:
    def interrupt(stage: str, done: float) -> None:
        if done >= until:
            raise Broken

    again = replace(driven[0], out=tmp_path / "out", work=tmp_path / "work")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "frames").symlink_to(driven[0].work / "frames")  # type: ignore[operator]
    with pytest.raises(Broken):
        make_model(again, interrupt)
    assert files_of(again.out) == {}
    make_model(again)
    assert files_of(again.out) == files_of(driven[0].out)


def test_progress_only_grows_and_ends_at_one(tmp_path: Path) -> None:
    told: list[float] = []
    make_model(viewing(tmp_path, size=16), lambda stage, done: told.append(done))
    assert told == sorted(told) and told[-1] == 1.0


def test_what_is_trained_on_is_named_once() -> None:
    for named in ({}, {"task": "car-racing", "images": Path("images")}):
        with pytest.raises(ConfigError, match="--task NAME, or --images DIR"):
            ModelConfig(Path("out"), **named)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [7, 257])
def test_a_side_that_no_model_has_is_refused(size: int) -> None:
    with pytest.raises(ConfigError, match=f"between 8 and 256 pixels; got {size}"):
        ModelConfig(Path("out"), images=Path("images"), size=size)


def test_a_folder_that_holds_a_model_is_refused_and_left_as_it_was(driven: tuple[ModelConfig, dict[str, Any]]) -> None:
    out = driven[0].out
    before = files_of(out)
    with pytest.raises(ConfigError, match="left as it is; give another --out"):
        replace(driven[0], jobs=2)
    assert files_of(out) == before


def in_a_file(config: ModelConfig) -> ModelConfig:
    config.out.write_text("")
    return config


def of_sizes_that_no_model_has(config: ModelConfig) -> ModelConfig:
    return replace(config, training=replace(BRIEF, latents=5))


def on_a_gpu_that_is_not_there(config: ModelConfig) -> ModelConfig:
    return replace(config, device="cuda:99")


@pytest.mark.parametrize(
    "impossible",
    [
        in_a_file,
        of_sizes_that_no_model_has,
        pytest.param(on_a_gpu_that_is_not_there),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(
    impossible: Callable[[ModelConfig], ModelConfig], tmp_path: Path
) -> None:
    config = impossible(viewing(tmp_path, size=16))
    with pytest.raises((RacerError, CompressionError)) as refusal:
        make_model(config)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "out").is_dir() or not files_of(tmp_path / "out")


def test_a_model_may_be_made_in_the_folder_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(viewing(tmp_path, size=16), out=Path())
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    make_model(config)
    assert set(files_of(tmp_path / "here")) == FILES


def test_pictures_of_a_task_have_no_world_model_and_the_card_says_what_can_be_read(tmp_path: Path) -> None:
    config = ModelConfig(tmp_path / "out", task="digits", collect=CollectConfig(2, 2), training=BRIEF, jobs=1)
    card = make_model(config)
    model = load_model(tmp_path / "out")
    assert model.world_model is None and model.sizes.actions == 10
    read = card["held_out"]["readable"]
    assert set(read) >= {"is_0", "thick"} and all(0 <= each["accuracy"] <= 1 for each in read.values())
    held_out = collect("digits", {}, tmp_path / "out.work" / "frames", config.collect)["held_out"]
    once = distinct(held_out.frames)
    assert len(once) < len(held_out.frames), "some pictures came twice"
    names = make_task("digits").spec.traits
    assert read == readable(model.encode_frames(held_out.frames[once]), held_out.truth[once], names)
    assert "explained" not in card["held_out"] and "bursts" not in card["data"]["source"]
    # The pictures of a world serve every question about them.
    thin = make_task("digits", {"question": "thickness"}).spec
    assert load_task_model(thin, tmp_path / "out").sizes.actions == 2


def test_sizes_that_no_model_has_are_refused_before_frames_are_collected(tmp_path: Path) -> None:
    impossible = replace(BRIEF, latents=5)
    config = ModelConfig(tmp_path / "out", task="lunar-lander", collect=CollectConfig(2, 2), training=impossible)
    with pytest.raises(CompressionError):
        make_model(config)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"[]", b"{}", b'{"held_out": 3}', b"[" * 100_000, b'{"held_out": {}}' + b" " * 1_000_000],
    ids=["empty", "noise", "list", "nothing", "number", "deep", "large"],
)
def test_what_is_no_card_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / CARD).write_bytes(content)
    with pytest.raises(CompressionError) as refusal:
        read_card(tmp_path)
    assert "\n" not in str(refusal.value) and str(tmp_path) in str(refusal.value)


def test_a_folder_without_a_card_is_refused_with_the_way_to_one(tmp_path: Path) -> None:
    with pytest.raises(CompressionError, match="make one with `racer model train`"):
        read_card(tmp_path)


def test_pictures_that_are_labelled_are_trained_on_as_their_task_holds_some_out(tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "pictures")
    config = ModelConfig(
        tmp_path / "model", images=folder, size=16, collect=CollectConfig(2, 2), training=BRIEF, jobs=1
    )
    card = make_model(config)
    assert "readable" in card["held_out"]
    world = make_task("folder", {"images": str(folder), "size": 16}).world  # type: ignore[attr-defined]
    learnt = {world.frames[index].tobytes() for index in world.members["learnt"]}
    frames = np.load(tmp_path / "model.work" / "frames" / "train_frames.npy")
    assert {frame.tobytes() for frame in frames} <= learnt
    held_out = np.load(tmp_path / "model.work" / "frames" / "held_out_frames.npy")
    assert {frame.tobytes() for frame in held_out}.isdisjoint(learnt)
