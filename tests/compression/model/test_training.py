"""Training a latent model: what comes of it, and that a killed training ends as if it had never stopped."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import compression
from compression.coders.coder import CoderSettings, find_coder
from compression.errors import TrainingError
from compression.model.header import FILE_NAME
from compression.model.latent_model import load_model
from compression.model.training import Split, TrainingConfig, TrainingData, train_model
from compression.model.training.resumable import Work

ROOT = Path(compression.__file__).parents[1]
BRIEF = TrainingConfig(
    latents=8,
    blocks=4,
    hidden=12,
    dense=16,
    vae_steps=13,
    batch=8,
    world_model_steps=7,
    sequence=6,
    sequences=4,
    quantiser_samples=200,
    driver_iterations=5,
    drive=12,
    predictive_rounds=3,
    checkpoint_steps=3,
)
SEQUENTIAL_FILES = {FILE_NAME, "card.json", "coarse.safetensors", "predictive.safetensors"}
CHILD = """
import os, sys
from pathlib import Path
import torch
from test_training import BRIEF, data_of
from compression.model.training import train_model
torch.set_num_threads(1)
out, work, until = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
def progress(stage, done):
    if done >= until:
        os._exit(9)  # as a kill would: nothing is tidied up
train_model(data_of(), out, work, BRIEF, progress)
"""


def walk(trials: int, steps: int, seed: int, channels: int = 1) -> Split:
    """Return frames, uint8[N, 16, 18, channels], of a bright square that goes left or right as somebody wants it to."""
    rng = np.random.default_rng(seed)
    frames, actions = [], []
    for _ in range(trials):
        column, row = int(rng.integers(14)), int(rng.integers(12))
        for _ in range(steps):
            frame = np.full((16, 18, channels), 30, np.uint8)
            frame[row : row + 4, column : column + 4] = 220
            action = int(rng.integers(3)) if rng.random() < 0.2 else (0 if column > 7 else 2)
            frames.append(frame)
            actions.append(action)
            column = min(max(column + 3 * (action - 1), 0), 14)
    return Split(np.stack(frames), np.array(actions), np.arange(0, trials * steps + 1, steps))


def data_of(trials: int = 8, steps: int = 24, **fields: Any) -> TrainingData:
    train, held_out = walk(trials, steps, seed=0), walk(3, steps, seed=1)
    given: dict[str, Any] = {"actions": 3, "participants": ("robot",), "seeds": (5, 6), "source": "a walk"}
    return TrainingData(train, held_out, "walking", **given | fields)


def pictures() -> TrainingData:
    return TrainingData(Split(walk(40, 1, 0).frames), Split(walk(10, 1, 1).frames), "", actions=10, sequential=False)


def files_of(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Return the folder of a model and its card."""
    folder = tmp_path_factory.mktemp("trained")
    return folder / "out", train_model(data_of(), folder / "out", folder / "work", BRIEF)


def test_a_training_leaves_a_model_its_card_and_what_coders_need(trained: tuple[Path, dict[str, Any]]) -> None:
    folder, card = trained
    assert set(files_of(folder)) == SEQUENTIAL_FILES
    model = load_model(folder)
    sizes = model.sizes
    assert (sizes.frame, sizes.latents, sizes.blocks, sizes.actions) == ((16, 18, 1), 8, 4, 3)
    assert (card["sha256"], card["bytes"]) == (model.sha256, (folder / FILE_NAME).stat().st_size)
    assert json.loads((folder / "card.json").read_text()) == json.loads(json.dumps(card))
    assert (card["task"], card["data"]["source"]) == ("walking", "a walk")
    assert (card["data"]["train_frames"], card["data"]["train_trials"], card["data"]["held_out_trials"]) == (192, 8, 3)
    assert card["config"]["dense"] == 16
    held_out = card["held_out"]
    assert len(held_out["nats_per_feature"]) == len(held_out["psnr_lost_without_feature_db"]) == 8
    assert {"psnr_unquantised_db", "psnr_quantised_db", "informative_features"} <= held_out.keys()
    assert abs(held_out["half_precision_cost_db"]) <= 0.05
    assert held_out["next_latent_squared_error"] > 0 and held_out["next_latent_squared_error_of_no_change"] > 0


def test_latents_are_standardised_over_the_training_frames(trained: tuple[Path, dict[str, Any]]) -> None:
    model = load_model(trained[0])
    latents = model.encode_frames(data_of().train.frames)
    np.testing.assert_allclose(latents.mean(axis=0), model.mean, atol=1e-3)
    np.testing.assert_allclose(latents.mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose(latents.std(axis=0), 1, atol=0.1)
    np.testing.assert_allclose(np.cov(latents.T), model.covariance, atol=1e-2)


@pytest.mark.parametrize("name", ["coarse", "predictive"])
def test_coders_run_on_the_files_that_a_training_leaves(name: str, trained: tuple[Path, dict[str, Any]]) -> None:
    model, coder = load_model(trained[0]), find_coder(name)
    fitted = coder.read_shipped(model)
    assert fitted is not None
    record = fitted.record
    assert (record.participants, record.seeds, record.task) == (("robot",), (5, 6), "walking")
    settings = CoderSettings(12, "step", "hold", np.random.default_rng(0), fitted)
    sender, receiver = coder.sender(model, settings), coder.receiver(model, settings)
    for frame in data_of().held_out.frames[:5]:
        assert receiver.decode(sender.encode(frame, 1), 1).shape == (16, 18, 1)


def test_the_same_data_and_settings_give_the_same_files(trained: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    torch.rand(3)  # the global generator has no say
    state = torch.get_rng_state()
    train_model(data_of(), tmp_path / "out", tmp_path / "work", replace(BRIEF, checkpoint_steps=100))
    assert torch.equal(torch.get_rng_state(), state)
    assert files_of(tmp_path / "out") == files_of(trained[0])


@pytest.mark.parametrize("until", [0.0, 0.2, 0.33, 0.5, 0.63, 0.75, 0.87, 0.9, 0.94])
def test_a_training_that_was_broken_off_goes_on_to_the_same_files(
    until: float, trained: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    class Broken(Exception):
        pass

    def progress(stage: str, done: float) -> None:
        if done >= until:
            raise Broken

    with pytest.raises(Broken):
        train_model(data_of(), tmp_path / "out", tmp_path / "work", BRIEF, progress)
    assert not (tmp_path / "out" / "card.json").exists()
    train_model(data_of(), tmp_path / "out", tmp_path / "work", BRIEF)
    assert files_of(tmp_path / "out") == files_of(trained[0])


def test_a_training_that_was_killed_again_and_again_ends_with_the_same_files(
    trained: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    for until, code in (("0.3", 9), ("0.45", 9), ("0.8", 9), ("2", 0)):
        arguments = [str(tmp_path / "out"), str(tmp_path / "work"), until]
        child = subprocess.run(
            [sys.executable, "-c", CHILD, *arguments],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert child.returncode == code, child.stderr
    assert files_of(tmp_path / "out") == files_of(trained[0])


def test_a_stage_lies_the_same_in_memory_whether_it_was_made_or_read(tmp_path: Path) -> None:
    """Kernels sum up weights in the order in which they lie: other last bits, and a card that a kill changes."""
    weights = torch.rand(4, 3, 5, 5).contiguous(memory_format=torch.channels_last)
    made, kept = (Work(tmp_path, {}).stage("one", lambda: {"weights": weights})["weights"] for _ in range(2))
    assert torch.equal(made, weights)
    assert torch.equal(kept, weights)
    assert made.stride() == kept.stride()
    assert made.data_ptr() % 64 == kept.data_ptr() % 64 == 0


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    stages: list[str] = []
    for _ in range(2):
        stages.clear()
        train_model(pictures(), tmp_path / "out", tmp_path / "work", BRIEF, lambda stage, done: stages.append(stage))
    assert "autoencoder" not in stages
    assert not list((tmp_path / "work").glob("*checkpoint*"))


@pytest.mark.parametrize("data", [data_of(), pictures()], ids=["sequential", "pictures"])
def test_progress_only_grows_and_ends_at_one(data: TrainingData, tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []
    train_model(data, tmp_path / "out", tmp_path / "work", BRIEF, lambda *stage: told.append(stage))
    fractions = [done for _, done in told]
    assert fractions == sorted(fractions)
    assert (fractions[0], told[-1]) == (0.0, ("done", 1.0))
    assert ("world model" in dict(told)) == data.sequential


def test_pictures_give_a_model_without_a_world_model(tmp_path: Path) -> None:
    card = train_model(pictures(), tmp_path / "out", tmp_path / "work", BRIEF)
    assert set(files_of(tmp_path / "out")) == SEQUENTIAL_FILES - {"predictive.safetensors"}
    model = load_model(tmp_path / "out")
    assert (model.sizes.hidden, model.sizes.actions, model.world_model) == (0, 10, None)
    assert "next_latent_squared_error" not in card["held_out"]


def test_trials_too_short_for_the_predictive_coder_still_give_a_model(tmp_path: Path) -> None:
    train_model(data_of(trials=20, steps=3), tmp_path / "out", tmp_path / "work", BRIEF)
    assert set(files_of(tmp_path / "out")) == SEQUENTIAL_FILES - {"predictive.safetensors"}


def test_a_longer_training_learns_the_frames_and_what_follows(tmp_path: Path) -> None:
    longer = {"vae_steps": 350, "batch": 32, "dense": 32, "world_model_steps": 300, "sequences": 16}
    config = replace(BRIEF, **longer, learning_rate=3e-3, kl_weight=0.05, checkpoint_steps=100)
    held_out = train_model(data_of(trials=30), tmp_path / "out", tmp_path / "work", config)["held_out"]
    frames = data_of().held_out.frames.astype(float)
    of_the_mean = -10 * np.log10(((frames - frames.mean(axis=0)) ** 2).mean() / 255**2)
    assert held_out["psnr_unquantised_db"] > of_the_mean + 1
    assert held_out["psnr_unquantised_db"] - 1 < held_out["psnr_quantised_db"]
    assert held_out["next_latent_squared_error"] < held_out["next_latent_squared_error_of_no_change"]


def test_mirroring_is_an_option_that_counts(trained: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    card = train_model(data_of(), tmp_path / "out", tmp_path / "work", replace(BRIEF, mirror=True))
    assert card["sha256"] != trained[1]["sha256"]


def test_frames_may_be_mapped_from_files(trained: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    data = data_of()
    np.save(tmp_path / "frames.npy", data.train.frames)
    mapped = np.load(tmp_path / "frames.npy", mmap_mode="r")
    train = Split(mapped, data.train.actions.astype(np.int8), data.train.starts)
    train_model(replace(data, train=train), tmp_path / "out", tmp_path / "work", BRIEF)
    assert files_of(tmp_path / "out") == files_of(trained[0])


def test_another_training_s_work_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    train_model(pictures(), tmp_path / "out", tmp_path / "work", BRIEF)
    before = files_of(tmp_path / "work")
    for data, config in ((pictures(), replace(BRIEF, seed=1)), (data_of(), BRIEF)):
        with pytest.raises(TrainingError, match="other settings or data, which was left as it is") as refusal:
            train_model(data, tmp_path / "out", tmp_path / "work", config)
        assert "\n" not in str(refusal.value)
    assert files_of(tmp_path / "work") == before


@pytest.mark.parametrize("name", ["vae", "vae-checkpoint", "settings"])
def test_damaged_work_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    class Broken(Exception):
        pass

    def progress(stage: str, done: float) -> None:
        if done > 0.4:
            raise Broken

    with pytest.raises(Broken):
        train_model(pictures(), tmp_path / "out", tmp_path / "work", BRIEF, progress)
    suffix = ".json" if name == "settings" else ".safetensors"
    (tmp_path / "work" / f"{name}{suffix}").write_bytes(b"\xff")
    with pytest.raises(TrainingError, match="remove") as refusal:
        train_model(pictures(), tmp_path / "out", tmp_path / "work", BRIEF)
    assert "\n" not in str(refusal.value)


def test_folders_that_are_none_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out, work in (("file", "work"), ("out", "file")):
        with pytest.raises(TrainingError) as refusal:
            train_model(pictures(), tmp_path / out, tmp_path / work, BRIEF)
        assert "\n" not in str(refusal.value)


def frames_of(*shape: int) -> NDArray[np.uint8]:
    return np.zeros(shape, np.uint8)


SOUND = walk(2, 5, 0)


@pytest.mark.parametrize(
    ("train", "fields", "says"),
    [
        (Split(frames_of(1, 16, 18, 1)), {"sequential": False}, "2 training frames or more; got 1"),
        (Split(frames_of(9, 16, 18)), {"sequential": False}, "must be uint8"),
        (Split(np.zeros((9, 16, 18, 1), np.float32)), {"sequential": False}, "must be uint8"),  # type: ignore[arg-type]
        (Split(frames_of(9, 16, 17, 1)), {"sequential": False}, "all of one size"),
        (Split(SOUND.frames), {}, "must have an action"),
        (replace(SOUND, actions=SOUND.actions + 3), {}, "an action, 0 to 2"),
        (replace(SOUND, actions=SOUND.actions - 3), {}, "an action, 0 to 2"),
        (replace(SOUND, starts=np.array([0, 5])), {}, "ascend from 0"),
        (replace(SOUND, starts=np.array([1, 10])), {}, "ascend from 0"),
        (replace(SOUND, starts=np.array([0, 6, 4, 10])), {}, "ascend from 0"),
        (replace(SOUND, starts=np.arange(11)), {}, "2 frames or more"),
        (SOUND, {"actions": 1}, "2 to 64 actions"),
    ],
)
def test_malformed_data_are_refused_in_one_line(train: Split, fields: dict[str, Any], says: str) -> None:
    with pytest.raises(TrainingError, match=says) as refusal:
        TrainingData(train, walk(2, 5, 1), "walking", **{"actions": 3} | fields)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "change", [{"vae_steps": 0}, {"batch": 1}, {"kl_weight": -1.0}, {"learning_rate": 0.0}, {"seed": -1}]
)
def test_impossible_settings_are_refused_in_one_line(change: dict[str, Any]) -> None:
    with pytest.raises(TrainingError) as refusal:
        replace(BRIEF, **change)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("change", [{"latents": 9}, {"dense": 2000}, {"blocks": 1}])
def test_sizes_that_no_model_has_are_refused_before_anything_is_written(change: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(TrainingError):
        train_model(pictures(), tmp_path / "out", tmp_path / "work", replace(BRIEF, **change))
    assert not list(tmp_path.iterdir())


def test_the_default_model_of_64x64_pixels_stays_below_five_megabytes(tmp_path: Path) -> None:
    from tiny_models import write_tiny_model

    sizes = TrainingConfig().sizes((64, 64, 3), 4, True)
    assert (write_tiny_model(tmp_path, sizes) / FILE_NAME).stat().st_size < 5_000_000


def test_a_loss_that_is_no_number_any_more_ends_the_training_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="diverged at step 1; lower the learning rate"):
        train_model(pictures(), tmp_path / "out", tmp_path / "work", replace(BRIEF, kl_weight=1e45))
