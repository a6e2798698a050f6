from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from racing_builders import SESSION, Drive, pilot_drives, scored, write_session

import sessions
from compression.coders.radix import allocate
from compression.errors import TrainingError
from compression.fitting.config import PicoConfig
from compression.fitting.fitted import FittedCoder
from compression.fitting.mask_file import dump_mask, load_mask
from compression.fitting.pico_rate import RateSummary
from compression.model.latent_model import Codec
from racer.loop.conditions import ChannelConfig, build_channel, load_masks
from racer.training.summary import explained
from racer.training.train import TrainingDataError, read_training_set, train, train_mask, write_new

QUICK = PicoConfig(iterations=60, batch=16)


def pilot(folder: Path, codec: Codec, name: str = "p01", drives: list[Drive] | None = None, **changes: Any) -> Path:
    """Write a pilot session whose latents follow from the participant's name."""
    drives = drives or pilot_drives(np.random.default_rng(list(name.encode())))
    settings = {"codec_sha256": codec.sha256, "session_id": name.encode().hex()[-6:]} | changes
    return write_session(folder, drives, participant=name, **settings)


@pytest.mark.parametrize("objective", ["pico", "perceptual"])
def test_the_same_sessions_and_seed_give_the_same_bytes(objective: Any, tmp_path: Path, codec: Codec) -> None:
    paths = [pilot(tmp_path, codec, name) for name in ("p01", "p02")]
    config = replace(QUICK, objective=objective, seed=3)
    masks = [tmp_path / f"{number}.safetensors" for number in range(3)]
    first = train_mask(paths, masks[0], config)
    again = train_mask(paths[::-1], masks[1], config)
    train_mask(paths, masks[2], replace(config, seed=4))
    assert masks[0].read_bytes() == masks[1].read_bytes() != masks[2].read_bytes()
    assert first == again
    mask = load_mask(masks[0], codec.sha256)
    assert mask.record.objective == objective
    assert {dump_mask(mask.network, mask.record) for _ in range(10)} == {masks[0].read_bytes()}


def test_where_the_recordings_lie_does_not_change_the_mask(tmp_path: Path, codec: Codec) -> None:
    contents = {name: pilot(tmp_path, codec, name).read_bytes() for name in ("p01", "p02")}
    masks = []
    for number, folders in enumerate([("a", "b"), ("b", "a")]):
        paths = []
        for folder, (name, content) in zip(folders, contents.items(), strict=True):
            paths.append(tmp_path / str(number) / folder / f"{name}.h5")
            paths[-1].parent.mkdir(parents=True)
            paths[-1].write_bytes(content)
        train_mask(paths, tmp_path / f"{number}.safetensors", QUICK)
        masks.append((tmp_path / f"{number}.safetensors").read_bytes())
    assert masks[0] == masks[1]


def test_the_recordings_and_not_the_seed_alone_decide_the_mask(tmp_path: Path, codec: Codec) -> None:
    masks = []
    for name in ("p01", "p02"):
        train_mask([pilot(tmp_path, codec, name)], tmp_path / f"{name}.mask", replace(QUICK, iterations=25))
        masks.append(load_mask(tmp_path / f"{name}.mask", codec.sha256).network.state_dict())
    assert any(not bool((masks[0][name] == masks[1][name]).all()) for name in masks[0])


def test_the_mask_says_who_where_and_how(tmp_path: Path, codec: Codec) -> None:
    paths = [pilot(tmp_path, codec, name) for name in ("p02", "p01")]
    summary = train_mask(paths, tmp_path / "masks" / "mask.safetensors", QUICK)
    record = load_mask(tmp_path / "masks" / "mask.safetensors", codec.sha256).record
    assert record.participants == ("p01", "p02")
    assert record.sessions == ("703031"[-6:], "703032"[-6:])
    driven: set[int] = set()
    for path in paths:
        with sessions.open(path) as session:
            driven |= {episode.info.track_seed for episode in session.episodes}
    assert record.track_seeds == tuple(sorted(driven))
    assert record.config["iterations"] == 60
    # Two sessions of two calibration and two exploration episodes of six steps, one in four of each held out.
    assert (summary.positive_steps, summary.negative_steps, summary.held_out_episodes) == (18, 18, 2)
    assert sum(summary.block_frequency) == pytest.approx(4)


def test_only_calibration_under_full_and_exploration_under_masks_is_learnt_from(tmp_path: Path, codec: Codec) -> None:
    rng = np.random.default_rng(0)
    good = pilot_drives(rng)
    noise = [
        replace(good[0], info=replace(good[0].info, phase="practice")),
        replace(good[0], info=replace(good[0].info, condition="raw", packet_bytes=0), steps=()),
        replace(good[2], info=replace(good[2].info, condition="full")),
        scored("random", 0.5),
        replace(good[2], steps=()),
    ]
    loaded = read_training_set([pilot(tmp_path, codec, drives=noise[:2] + good + noise[2:])], codec)
    assert [episode.original for episode in loaded.episodes] == [True, True, False, False]
    for episode, drive in zip(loaded.episodes, good, strict=True):
        assert episode.actions.tolist() == [step.action for step in drive.steps]
        assert np.array_equal(episode.latents, [step.latent for step in drive.steps])
        assert np.array_equal(episode.received, [step.received for step in drive.steps])
        assert np.array_equal(episode.masks, [step.mask for step in drive.steps])


@pytest.mark.parametrize("interval", ["episode", "step"])
def test_the_mask_interval_is_that_of_the_exploration(interval: str, tmp_path: Path, codec: Codec) -> None:
    drives = pilot_drives(np.random.default_rng(0), mask_interval=interval)
    assert read_training_set([pilot(tmp_path, codec, drives=drives)], codec).interval == interval


def test_round_two_explores_under_the_mask_of_round_one(tmp_path: Path, codec: Codec) -> None:
    drives = pilot_drives(np.random.default_rng(0), condition="pico")
    loaded = read_training_set([pilot(tmp_path, codec, drives=drives)], codec)
    assert [episode.original for episode in loaded.episodes] == [True, True, False, False]


def refused(paths: list[Path], out: Path, error: type[Exception], told: str) -> None:
    """Check that training is refused in one line that says so, and that nothing is written."""
    before = sorted(out.parent.rglob("*"))
    with pytest.raises(error) as refusal:
        train_mask(paths, out, QUICK)
    assert told in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
    assert sorted(out.parent.rglob("*")) == before


def test_a_trial_run_is_never_trained_on(tmp_path: Path, codec: Codec) -> None:
    paths = [pilot(tmp_path, codec), pilot(tmp_path, codec, "p02", pilot=True)]
    refused(paths, tmp_path / "mask", TrainingDataError, f"{paths[1]} is a trial run (--pilot)")


def test_what_was_driven_on_a_noisy_channel_is_never_trained_on(tmp_path: Path, codec: Codec) -> None:
    config = SESSION.config | {"channel": {"noise": "erasures", "noise_rate": 0.1}}
    paths = [pilot(tmp_path, codec), pilot(tmp_path, codec, "p02", config=config)]
    refused(paths, tmp_path / "mask", TrainingDataError, f"{paths[1]} was recorded with noise on the channel")


def test_the_levels_of_pico_rate_repeat_and_serve_their_coder(tmp_path: Path, codec: Codec) -> None:
    paths = [pilot(tmp_path, codec, name) for name in ("p01", "p02")]
    files = [tmp_path / f"{number}.safetensors" for number in range(2)]
    told: list[float] = []
    first = train("pico-rate", paths, files[0], QUICK, lambda stage, done: told.append(done))
    again = train("pico-rate", paths[::-1], files[1], QUICK)
    assert first == again and files[0].read_bytes() == files[1].read_bytes()
    assert told == sorted(told) and (told[0], told[-1]) == (0.0, 1.0)
    assert isinstance(first, RateSummary)
    fitted = load_masks(["pico-rate"], [files[0]], codec)["pico-rate"]
    assert isinstance(fitted, FittedCoder)
    assert (fitted.record.objective, fitted.record.participants) == ("pico-rate", ("p01", "p02"))
    for bits, levels in first.levels.items():
        assert levels == allocate(fitted.tensors["losses"].astype(np.float64), bits)
        assert str(max(levels)) in "\n".join(explained(first))
    channel = build_channel("pico-rate", ChannelConfig(bits=12), codec, np.random.default_rng(0), fitted)
    assert channel.transmit(np.zeros((64, 64, 3), np.uint8), 0).bits == 12


def test_sessions_of_other_weights_are_refused(tmp_path: Path, codec: Codec) -> None:
    path = pilot(tmp_path, codec, codec_sha256="cd" * 32)
    refused([path], tmp_path / "mask", TrainingDataError, f"{path} was recorded with other weights")


def test_a_session_given_twice_under_two_names_is_refused(tmp_path: Path, codec: Codec) -> None:
    path = pilot(tmp_path, codec)
    copy = tmp_path / "copy.h5"
    copy.write_bytes(path.read_bytes())
    refused([path, copy], tmp_path / "mask", TrainingDataError, "a second time")


def test_masks_per_episode_and_per_step_are_not_mixed(tmp_path: Path, codec: Codec) -> None:
    stepwise = pilot_drives(np.random.default_rng(0), mask_interval="step")
    paths = [pilot(tmp_path, codec), pilot(tmp_path, codec, "p02", stepwise)]
    refused(paths, tmp_path / "mask", TrainingDataError, "explored in different ways")


def test_explorations_with_another_fill_are_not_mixed(tmp_path: Path, codec: Codec) -> None:
    predicted = pilot_drives(np.random.default_rng(0), fill="predict")
    paths = [pilot(tmp_path, codec), pilot(tmp_path, codec, "p02", predicted)]
    refused(paths, tmp_path / "mask", TrainingDataError, "explored in different ways")


def test_the_same_drives_recorded_twice_are_refused(tmp_path: Path, codec: Codec) -> None:
    paths = [pilot(tmp_path, codec), pilot(tmp_path, codec, session_id="ffffff")]
    refused(paths, tmp_path / "mask", TrainingDataError, "repeats drives of p01 on the same tracks")


def test_too_few_episodes_are_refused_with_what_to_do(tmp_path: Path, codec: Codec) -> None:
    path = pilot(tmp_path, codec, drives=pilot_drives(np.random.default_rng(0), calibration=1))
    refused([path], tmp_path / "mask", TrainingError, "at least 2 calibration (full) episodes, and there are 1")


def test_an_unreadable_recording_is_refused(tmp_path: Path, codec: Codec) -> None:
    torn = tmp_path / "torn.h5"
    torn.write_bytes(pilot(tmp_path, codec).read_bytes()[:700])
    refused([torn], tmp_path / "mask", sessions.RecordingError, str(torn))


def test_a_mask_file_is_never_overwritten(tmp_path: Path, codec: Codec) -> None:
    out = tmp_path / "mask"
    out.write_bytes(b"precious")
    refused([pilot(tmp_path, codec)], out, TrainingDataError, f"{out} exists and was left as it is")
    assert out.read_bytes() == b"precious"


def test_a_file_that_appears_during_the_training_survives_it(tmp_path: Path, codec: Codec) -> None:
    out = tmp_path / "mask"
    path = pilot(tmp_path, codec)

    def interfere(stage: str, done: float) -> None:
        out.write_bytes(b"precious")

    with pytest.raises(TrainingDataError, match="was left as it is"):
        train_mask([path], out, QUICK, progress=interfere)
    assert out.read_bytes() == b"precious"
    assert sorted(tmp_path.iterdir()) == sorted([out, path])


def test_an_out_path_through_a_file_is_refused_before_training(tmp_path: Path, codec: Codec) -> None:
    (tmp_path / "file").write_text("not a folder")
    stages: list[str] = []
    with pytest.raises(TrainingDataError, match="cannot write"):
        train_mask([pilot(tmp_path, codec)], tmp_path / "file" / "mask", QUICK, progress=lambda s, d: stages.append(s))
    assert not stages, "hours of training were to be spared"


def test_a_new_file_is_whole_and_alone_in_a_folder_made_for_it(tmp_path: Path) -> None:
    write_new(tmp_path / "deep" / "er" / "file", b"content")
    assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == ["file"]
    assert (tmp_path / "deep" / "er" / "file").read_bytes() == b"content"


def test_progress_runs_from_nothing_to_everything_through_all_stages(tmp_path: Path, codec: Codec) -> None:
    told: list[tuple[str, float]] = []
    train_mask(
        [pilot(tmp_path, codec)],
        tmp_path / "mask",
        QUICK,
        progress=lambda stage, done: told.append((stage, done)),
    )
    fractions = [done for _, done in told]
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert fractions == sorted(fractions)
    assert list(dict.fromkeys(stage for stage, _ in told))[:4] == [
        "action discriminator",
        "model of the driver",
        "image discriminator",
        "mask policy",
    ]
