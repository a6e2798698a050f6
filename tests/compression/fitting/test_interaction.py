"""R, and decoders tuned by it: who is left out, what it rates, and that nothing but the decoder is touched."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load
from tiny_models import GREY as USUAL
from tiny_models import tiny_model, write_tiny_model

from compression.coders.coder import CoderSettings, LatentReceiver, LatentSender, find_coder
from compression.errors import MaskError, TrainingError
from compression.fitting.config import PicoConfig
from compression.fitting.fitted import FittedRecord, dump_fitted
from compression.fitting.interaction import (
    RECENT,
    InteractionModel,
    Interactions,
    decoded,
    fit_interaction,
    interaction_of,
    left_out,
    read_interaction,
)
from compression.fitting.tuning import (
    TuningConfig,
    drawn,
    interaction_reward,
    pixel_reward,
    tune,
    tune_decoder,
    tuned_file,
)
from compression.model.header import FILE_NAME
from compression.model.latent_model import LatentModel, images_of, load_model
from compression.model.training.resumable import Work

GREY = replace(USUAL, frame=(16, 16, 1))
FITTING = PicoConfig(iterations=50, batch=32, members=3)
TUNING = TuningConfig(weight=10.0, steps=30, batch=16, learning_rate=1e-3)


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> LatentModel:
    return tiny_model(tmp_path_factory.mktemp("models") / "grey", GREY)


@pytest.fixture(scope="module")
def vivid(grey: LatentModel) -> LatentModel:
    """Return a model whose pictures look different for different latents, as those of random weights hardly do."""
    vae = deepcopy(grey.vae)
    for name, parameter in vae.decoder.named_parameters():
        parameter.mul_(2.5 if name.endswith("weight") else 0)
    list(vae.decoder.parameters())[-1].fill_(0.5)
    return replace(grey, vae=vae)


def steps(people: int = 3, count: int = 240, seed: int = 0, kept: bool = True) -> Interactions:
    """Return steps in which the first feature says whether is done what is wanted, and the second if it goes well."""
    rng = np.random.default_rng(seed)
    latents = (3 * rng.standard_normal((count, GREY.latents))).astype(np.float32)
    wanted = rng.integers(GREY.actions, size=count)
    actions = (wanted + np.where(latents[:, 0] > 0, 0, rng.integers(1, GREY.actions, size=count))) % GREY.actions
    return Interactions(
        latents=latents,
        received=latents,
        recent=rng.integers(GREY.actions + 1, size=(count, RECENT)),
        actions=actions.astype(np.int64),
        wanted=np.eye(GREY.actions, dtype=np.float32)[wanted],
        kept=(latents[:, 1] > 0).astype(np.float32) if kept else np.full(count, np.nan, np.float32),
        people=np.arange(count) % people * 7,
    )


@pytest.fixture(scope="module")
def fitted(vivid: LatentModel) -> InteractionModel:
    model, summary = fit_interaction(steps(), vivid, replace(FITTING, iterations=100, learning_rate=3e-3))
    assert (summary.people, summary.members) == (3, 3)
    assert abs(summary.agreement - summary.agreement_foreseen) < 0.1 and summary.agreement_correlation > 0.3
    assert summary.kept_correlation is not None and summary.kept_correlation > 0.3
    return model


def test_everybody_is_left_out_by_one_member_and_nobody_is_split() -> None:
    for people, members in ((2, 2), (3, 3), (7, 3)):
        data = steps(people)
        folds = np.stack([left_out(data, member, members) for member in range(members)])
        assert (folds.sum(axis=0) == 1).all() and folds.any(axis=1).all()
        for person in np.unique(data.people):
            assert len(np.unique(folds[:, data.people == person], axis=1).T) == 1


@pytest.mark.parametrize("people", [0, 1])
def test_too_few_people_cannot_be_split(people: int, grey: LatentModel) -> None:
    data = steps(1, 40 * people)
    with pytest.raises(TrainingError, match=r"split by person.* 2 people or more$"):
        fit_interaction(data, grey, FITTING)


def test_the_same_steps_and_seed_give_the_same_file_which_gives_the_same_model(
    grey: LatentModel, tmp_path: Path
) -> None:
    record = FittedRecord("interaction", grey.sha256, ("a", "b"), ("0a1b2c",), (1,), {})
    brief = replace(FITTING, iterations=25, members=2)
    files = [
        dump_fitted(fit_interaction(steps(kept=False), grey, replace(brief, seed=seed))[0].tensors(), record)
        for seed in (0, 0, 1)
    ]
    assert files[0] == files[1] != files[2]
    (tmp_path / "R").write_bytes(files[0])
    read, origin = read_interaction(tmp_path / "R", grey)
    assert origin == record and dump_fitted(read.tensors(), origin) == files[0]


def test_the_rate_is_that_of_the_action_on_the_original_averaged_over_members(
    vivid: LatentModel, fitted: InteractionModel
) -> None:
    data = steps(count=12, seed=1)
    images, recent = images_of(decoded(vivid, data.received)), torch.from_numpy(data.recent)
    single = InteractionModel(fitted.members[:1])
    each = [single.rates(images, recent, torch.eye(4)[torch.full((12,), action)])[0].exp() for action in range(4)]
    doubtful = single.rates(images, recent, torch.full((12, 4), 0.25))[0].exp()
    torch.testing.assert_close(torch.stack(each).mean(0), doubtful)
    wanted = torch.from_numpy(data.wanted)
    alone = [InteractionModel((member,)).rates(images, recent, wanted) for member in fitted.members]
    for whole, parts in zip(fitted.rates(images, recent, wanted), zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(whole, torch.stack(parts).mean(0))


def test_files_that_are_of_no_use_are_named_in_one_line(
    grey: LatentModel, fitted: InteractionModel, tmp_path: Path
) -> None:
    record = FittedRecord("interaction", grey.sha256, (), (), (), {})
    path = tmp_path / "R.safetensors"
    tensors = fitted.tensors()
    for wrong in (
        {name: value for name, value in tensors.items() if not name.startswith("2.head.3.")},
        {name: value for name, value in tensors.items() if name.startswith("0.")},
        {**tensors, "9.head.3.bias": np.zeros(5, np.float32)},
    ):
        path.write_bytes(dump_fitted(wrong, record))
        with pytest.raises(MaskError, match=r"^\S+ is damaged: .*; leave it out, or make it again with `racer train "):
            read_interaction(path, grey)
    path.write_bytes(dump_fitted(tensors, replace(record, model_sha256="ab" * 32)))
    with pytest.raises(MaskError, match="fitted for other weights"):
        read_interaction(path, grey)
    with pytest.raises(ValueError, match="members"):
        interaction_of({}, grey.sizes)


def tuned_model(model: LatentModel, folder: Path) -> LatentModel:
    """Return a model tuned to nothing but pictures of noise, as its file holds it."""
    data = steps()
    noise = np.random.default_rng(0).integers(256, size=(240, *GREY.frame), dtype=np.uint8)
    decoder = tune_decoder(model, data.received, pixel_reward(noise), TUNING, Work(folder / "work", {}))
    record = FittedRecord("tuning", model.latents_sha256, ("a",), ("0a1b2c",), (1,), {}, drivers=("pursuit",))
    folder.joinpath(FILE_NAME).write_bytes(tuned_file(model, decoder, record))
    return load_model(folder)


def test_only_the_decoder_changes_and_every_packet_stays(grey: LatentModel, tmp_path: Path) -> None:
    tuned = tuned_model(grey, tmp_path)
    assert grey.folder is not None
    before, after = (load((folder / FILE_NAME).read_bytes()) for folder in (grey.folder, tmp_path))
    assert before.keys() == after.keys()
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert changed == {name for name in before if name.startswith("vae.decoder.")}
    assert {name: value.dtype for name, value in before.items()} == {name: v.dtype for name, v in after.items()}
    assert tuned.sha256 != grey.sha256 == tuned.latents_sha256 == tuned_model(tuned, tmp_path / "").latents_sha256
    assert tuned.tuning is not None and tuned.tuning.participants == ("a",) and grey.tuning is None
    frames = np.random.default_rng(1).integers(256, size=(6, *GREY.frame), dtype=np.uint8)
    for name in ("coarse", "pico", "pico-rate", "predictive", "random"):
        coder = find_coder(name)
        file = coder.needs and coder.read(grey.folder / f"{coder.needs}.safetensors", tuned)
        crossed = []
        for model in (grey, tuned):
            settings = CoderSettings(24, "step", "hold", np.random.default_rng(3), file or None)
            sender, receiver = coder.sender(model, settings), coder.receiver(model, settings)
            assert isinstance(sender, LatentSender) and isinstance(receiver, LatentReceiver)
            packets = [sender.encode(frame, 0) for frame in frames]
            latents = [receiver.take(packet, 0) for packet in packets]
            crossed.append((packets, np.stack(latents).tobytes()))
        assert crossed[0] == crossed[1], name
    assert (decoded(grey, grey.mean[None]) != decoded(tuned, grey.mean[None])).any()


def test_what_was_fitted_to_other_latents_does_not_serve_a_tuned_decoder(grey: LatentModel, tmp_path: Path) -> None:
    tuned = tuned_model(grey, tmp_path)
    other = write_tiny_model(tmp_path / "other", GREY, seed=1)
    with pytest.raises(MaskError, match="fitted for other weights"):
        find_coder("coarse").read(other / "coarse.safetensors", tuned)


def test_a_file_changed_while_its_decoder_was_tuned_is_not_mixed_with_it(grey: LatentModel, tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "model", GREY)
    model = load_model(folder)
    write_tiny_model(folder, GREY, seed=1)
    record = FittedRecord("tuning", model.sha256, (), (), (), {})
    with pytest.raises(TrainingError, match="changed while its decoder was tuned"):
        tuned_file(model, model.vae.decoder, record)


def test_tuning_raises_what_r_foresees_and_a_light_one_stays_nearer(
    vivid: LatentModel, fitted: InteractionModel, tmp_path: Path
) -> None:
    data = steps(seed=2)
    reward = interaction_reward(fitted, data, keeping=1.0)
    every = np.arange(len(data.actions))
    before = reward(images_of(decoded(vivid, data.received)), every)
    tuned = tune_decoder(vivid, data.received, reward, TUNING, Work(tmp_path / "tuned", {}))
    assert reward(images_of(drawn(tuned, data.received)), every) > before + 0.05
    light = tune_decoder(vivid, data.received, reward, replace(TUNING, weight=0.01), Work(tmp_path / "light", {}))
    far, near = (
        np.abs(drawn(each, data.received) - 1.0 * decoded(vivid, data.received)).mean() for each in (tuned, light)
    )
    assert near < 0.8 * far


class Killed(Exception):
    """Ends a tuning before its end."""


def test_a_killed_tuning_goes_on_and_gives_the_same_bytes(
    grey: LatentModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compression.fitting.tuning._CHECKPOINT", 7)
    data, fitting = steps(), replace(FITTING, iterations=25)

    def kill(stage: str, done: float) -> None:
        if stage == "decoder" and done > 0.9:
            raise Killed

    with pytest.raises(Killed):
        tune(grey, data, TUNING, fitting, Work(tmp_path / "killed", {}), progress=kill)
    parts = [tune(grey, data, TUNING, fitting, Work(tmp_path / name, {})) for name in ("killed", "whole")]
    states = [part.decoder.state_dict() for part in parts]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert parts[0].held_out == parts[1].held_out
    held_out = parts[0].held_out
    unseen = data.part(left_out(data, 0, 3))
    assert (held_out["people"], held_out["steps"]) == (1, 80)
    assert held_out["agreement_measured"] == unseen.agreement().mean()
    assert 0 < held_out["kept_before"] < 1 and len(parts[0].after) == 80


@pytest.mark.parametrize(
    "wrong", [{"weight": 0.0}, {"weight": float("nan")}, {"steps": 0}, {"learning_rate": 0.0}, {"seed": -1}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(TrainingError):
        TuningConfig(**wrong)  # type: ignore[arg-type]
