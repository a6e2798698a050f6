from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from footage_builders import WALK_DRIVER, golden, grey_walk, walk_model
from racing_builders import TASK, Drive, pilot_drives, scored, write_session

import sessions
from compression.channel import Channel
from compression.coders.levels import allocate
from compression.errors import TrainingError
from compression.fitting.config import PicoConfig
from compression.fitting.fitted import dump_fitted, load_fitted
from compression.fitting.pico import TrainingSummary
from compression.fitting.pico_rate import RateSummary
from compression.model.latent_model import LatentModel, load_model
from racer.loop.conditions import ChannelConfig, build_channel, load_fitted_models
from racer.rates.people import FIRST_SEALED
from racer.sitting.protocol import ProtocolConfig
from racer.sitting.start import StartConfig, start_session
from racer.tasks.registry import make_task
from racer.training.summary import explained
from racer.training.train import TrainingDataError, read_training_set, train, write_new

QUICK = PicoConfig(iterations=60, batch=16)


def pilot(
    folder: Path, model: LatentModel, name: str = "p01", drives: list[Drive] | None = None, **changes: Any
) -> Path:
    """Write a pilot session whose latents follow from the participant's name."""
    drives = drives or pilot_drives(np.random.default_rng(list(name.encode())))
    drives = [
        replace(drive, steps=[replace(step, stimulus=drive.info.seed) for step in drive.steps]) for drive in drives
    ]
    settings = {"model_sha256": model.sha256, "session_id": name.encode().hex()[-6:]} | changes
    return write_session(folder, drives, participant=name, **settings)


@pytest.mark.parametrize("objective", ["pico", "perceptual"])
def test_the_same_sessions_and_seed_give_the_same_bytes(objective: Any, tmp_path: Path, model: LatentModel) -> None:
    paths = [pilot(tmp_path, model, name) for name in ("p01", "p02")]
    config = replace(QUICK, seed=3)
    masks = [tmp_path / f"{number}.safetensors" for number in range(3)]
    first = train(objective, paths, masks[0], config)
    again = train(objective, paths[::-1], masks[1], config)
    train(objective, paths, masks[2], replace(config, seed=4))
    assert masks[0].read_bytes() == masks[1].read_bytes() != masks[2].read_bytes()
    assert first == again
    mask = load_fitted(masks[0], model, objective)
    assert mask.record.config["objective"] == objective
    assert {dump_fitted(mask.tensors, mask.record) for _ in range(10)} == {masks[0].read_bytes()}


def test_curves_stand_beside_what_was_trained(tmp_path: Path, model: LatentModel) -> None:
    config = replace(QUICK, iterations=30, members=2)
    summary = train("pico", [pilot(tmp_path, model)], tmp_path / "masks" / "mine.safetensors", config)
    table = pandas.read_csv(tmp_path / "masks" / "mine_curves.csv")
    assert table.groupby("stage", sort=False).member.nunique().to_dict() == {
        "action discriminator": 2,
        "model of the driver": 2,
        "image discriminator": 1,
        "mask policy": 1,
    }
    assert sorted(set(table.iteration)) == [25, 30] and len(table) == len(summary.curve) == 12
    assert table.held_out_quality.between(0, 1).all()
    kept = table.iloc[table[table.stage == "mask policy"].held_out_loss.idxmin()]
    assert isinstance(summary, TrainingSummary) and kept.held_out_quality == pytest.approx(summary.mean_d_policy)
    assert (tmp_path / "masks" / "mine_curves.png").read_bytes().startswith(b"\x89PNG")


def test_where_the_recordings_lie_does_not_change_the_mask(tmp_path: Path, model: LatentModel) -> None:
    contents = {name: pilot(tmp_path, model, name).read_bytes() for name in ("p01", "p02")}
    masks = []
    for number, folders in enumerate([("a", "b"), ("b", "a")]):
        paths = []
        for folder, (name, content) in zip(folders, contents.items(), strict=True):
            paths.append(tmp_path / str(number) / folder / f"{name}.h5")
            paths[-1].parent.mkdir(parents=True)
            paths[-1].write_bytes(content)
        train("pico", paths, tmp_path / f"{number}.safetensors", QUICK)
        masks.append((tmp_path / f"{number}.safetensors").read_bytes())
    assert masks[0] == masks[1]


def test_the_recordings_and_not_the_seed_alone_decide_the_mask(tmp_path: Path, model: LatentModel) -> None:
    masks = []
    for name in ("p01", "p02"):
        train("pico", [pilot(tmp_path, model, name)], tmp_path / f"{name}.mask", replace(QUICK, iterations=25))
        masks.append(load_fitted(tmp_path / f"{name}.mask", model).tensors)
    assert any(not bool((masks[0][name] == masks[1][name]).all()) for name in masks[0])


def test_the_mask_says_who_where_and_how(tmp_path: Path, model: LatentModel) -> None:
    paths = [pilot(tmp_path, model, name) for name in ("p02", "p01")]
    summary = train("pico", paths, tmp_path / "masks" / "mask.safetensors", QUICK)
    record = load_fitted(tmp_path / "masks" / "mask.safetensors", model).record
    assert record.participants == ("p01", "p02")
    assert record.sessions == ("703031"[-6:], "703032"[-6:])
    driven: set[int] = set()
    for path in paths:
        with sessions.open(path) as session:
            driven |= {episode.info.seed for episode in session.episodes}
    assert record.seeds == tuple(sorted(driven))
    assert (record.config["iterations"], record.task, record.model_sha256) == (60, "car-racing", model.sha256)
    assert (record.interval, record.fill) == ("episode", "hold")
    assert isinstance(summary, TrainingSummary)
    # Two sessions of two calibration and two exploration episodes of six steps, one in four of each held out.
    assert (summary.positive_steps, summary.negative_steps, summary.held_out_episodes) == (18, 18, 2)
    assert sum(summary.block_frequency) == pytest.approx(4)


def test_only_calibration_under_full_and_exploration_under_masks_is_learnt_from(
    tmp_path: Path, model: LatentModel
) -> None:
    rng = np.random.default_rng(0)
    good = pilot_drives(rng)
    noise = [
        replace(good[0], info=replace(good[0].info, phase="practice")),
        replace(good[0], info=replace(good[0].info, condition="raw", packet_bytes=0), steps=()),
        replace(good[2], info=replace(good[2].info, condition="full")),
        scored("random", 0.5),
        replace(good[2], steps=()),
    ]
    loaded = read_training_set([pilot(tmp_path, model, drives=noise[:2] + good + noise[2:])])
    assert [episode.original for episode in loaded.episodes] == [True, True, False, False]
    for episode, drive in zip(loaded.episodes, good, strict=True):
        assert episode.actions.tolist() == [step.action for step in drive.steps]
        assert np.array_equal(episode.latents, [step.latent for step in drive.steps])
        assert np.array_equal(episode.received, [step.received for step in drive.steps])
        assert np.array_equal(episode.masks, [step.mask for step in drive.steps])


@pytest.mark.parametrize("interval", ["episode", "step"])
def test_the_mask_interval_is_that_of_the_exploration(interval: str, tmp_path: Path, model: LatentModel) -> None:
    drives = pilot_drives(np.random.default_rng(0), mask_interval=interval)
    assert read_training_set([pilot(tmp_path, model, drives=drives)]).interval == interval


def test_round_two_explores_under_the_mask_of_round_one(tmp_path: Path, model: LatentModel) -> None:
    drives = pilot_drives(np.random.default_rng(0), condition="pico")
    loaded = read_training_set([pilot(tmp_path, model, drives=drives)])
    assert [episode.original for episode in loaded.episodes] == [True, True, False, False]


def refused(paths: list[Path], out: Path, error: type[Exception], told: str) -> None:
    """Check that training is refused in one line that says so, and that nothing is written."""
    before = sorted(out.parent.rglob("*"))
    with pytest.raises(error) as refusal:
        train("pico", paths, out, QUICK)
    assert told in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
    assert sorted(out.parent.rglob("*")) == before


def test_a_trial_run_is_never_trained_on(tmp_path: Path, model: LatentModel) -> None:
    paths = [pilot(tmp_path, model), pilot(tmp_path, model, "p02", trial_run=True)]
    refused(paths, tmp_path / "mask", TrainingDataError, f"{paths[1]} is a trial run (--trial)")


def test_what_crossed_a_noisy_channel_is_never_trained_on(tmp_path: Path, model: LatentModel) -> None:
    noisy = [replace(drive, info=replace(drive.info, noisy=True)) for drive in pilot_drives(np.random.default_rng(1))]
    paths = [pilot(tmp_path, model), pilot(tmp_path, model, "p02", noisy)]
    refused(paths, tmp_path / "mask", TrainingDataError, f"{paths[1]} was recorded with noise on the channel")


@pytest.mark.parametrize("name", ["pico-rate", "pico-transform"])
def test_levels_repeat_and_serve_their_coder(name: str, tmp_path: Path, model: LatentModel) -> None:
    paths = [pilot(tmp_path, model, person) for person in ("p01", "p02")]
    files = [tmp_path / f"{number}.safetensors" for number in range(2)]
    told: list[float] = []
    first = train(name, paths, files[0], QUICK, lambda stage, done: told.append(done))
    again = train(name, paths[::-1], files[1], QUICK)
    assert first == again and files[0].read_bytes() == files[1].read_bytes()
    assert told == sorted(told) and (told[0], told[-1]) == (0.0, 1.0)
    assert isinstance(first, RateSummary)
    fitted = load_fitted_models([name], [files[0]], model)[name]
    assert (fitted.record.objective, fitted.record.participants) == (name, ("p01", "p02"))
    for bits, levels in first.levels.items():
        assert levels == allocate(fitted.tensors["losses"].astype(np.float64), bits)
        assert str(max(levels)) in "\n".join(explained(first))
    channel = build_channel(name, ChannelConfig(bits=12), model, np.random.default_rng(0), fitted)
    assert isinstance(channel, Channel)
    assert channel.transmit(np.zeros((64, 64, 3), np.uint8), 0)[0].bits == 12


def test_what_was_trained_is_there_only_once_its_curves_are(tmp_path: Path, model: LatentModel) -> None:
    (tmp_path / "levels_curves.csv").mkdir()
    with pytest.raises(TrainingDataError, match="cannot write"):
        train("pico-rate", [pilot(tmp_path, model)], tmp_path / "levels.safetensors", QUICK)
    assert not (tmp_path / "levels.safetensors").exists()


def test_sessions_of_other_weights_are_refused(tmp_path: Path, model: LatentModel) -> None:
    path = pilot(tmp_path, model, "p02", model_sha256="cd" * 32)
    refused([path], tmp_path / "mask", TrainingDataError, f"{path} cannot be trained on: recorded with other weights")
    both = [pilot(tmp_path, model), path]
    refused(both, tmp_path / "mask", TrainingDataError, f"{path} was recorded with other weights")


def test_different_tasks_are_not_mixed(tmp_path: Path, model: LatentModel) -> None:
    other = pilot(tmp_path, model, "p02", task=replace(TASK, name="car-racing-clutter"))
    told = f"{other} is of task car-racing-clutter"
    refused([pilot(tmp_path, model), other], tmp_path / "mask", TrainingDataError, told)


def test_a_task_that_is_not_installed_is_named(tmp_path: Path, model: LatentModel) -> None:
    path = pilot(tmp_path, model, task=replace(TASK, name="lost"))
    told = f"{path} cannot be trained on: task lost is not installed"
    refused([path], tmp_path / "mask", TrainingDataError, told)


@pytest.mark.parametrize("condition", ["pico", "perceptual", "pico-rate", "pico-transform"])
def test_another_task_is_trained_on_with_its_own_model(
    condition: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with grey_walk(monkeypatch) as uninstall:
        folder = walk_model(tmp_path / "model")
        protocol = ProtocolConfig("pilot", practice=0, calibration=2, exploration=2, steps=6)
        channel = ChannelConfig(bits=20)
        config = StartConfig("p01", protocol, make_task("grey-walk"), folder, channel, WALK_DRIVER, headless=True)
        path = start_session(replace(config, data=tmp_path / "recordings")).path
        assert path is not None
        refused([path], tmp_path / "mask", TrainingDataError, "name the folder of those with --model")
        train(condition, [path], tmp_path / "mask", QUICK, model_folder=folder)
        uninstall()
        train(condition, [path], tmp_path / "again", QUICK, model_folder=folder)
    assert (tmp_path / "mask").read_bytes() == (tmp_path / "again").read_bytes()
    model = load_model(folder)
    record = load_fitted(tmp_path / "mask", model, condition).record
    assert (record.task, record.model_sha256) == ("grey-walk", model.sha256)
    fitted = load_fitted_models([condition], [tmp_path / "mask"], model)[condition]
    ends = build_channel(condition, channel, model, np.random.default_rng(0), fitted)
    assert isinstance(ends, Channel)
    _, received = ends.transmit(np.zeros((24, 32, 1), np.uint8), 0)
    assert received.shown is not None
    assert received.shown.shape == (24, 32, 1)


@pytest.mark.parametrize("condition", ["pico", "perceptual", "pico-rate", "pico-transform"])
def test_pilots_of_version_0_1_0_train(condition: str, tmp_path: Path, model: LatentModel) -> None:
    path = golden("pilot01", tmp_path)
    train(condition, [path], tmp_path / "mask", QUICK)
    record = load_fitted(tmp_path / "mask", model, condition).record
    with sessions.open(path) as session:
        assert record.seeds == tuple(sorted(episode.info.seed for episode in session.episodes))
    assert (record.participants, record.task) == (("pilot01",), "car-racing")
    refused([golden("noisy01", tmp_path / "noisy")], tmp_path / "other", TrainingError, "got 0: record more")


def test_explorations_that_left_nothing_out_train_no_mask(tmp_path: Path, model: LatentModel) -> None:
    everything = np.ones(TASK.blocks, bool)
    drives = [
        replace(drive, steps=[replace(step, mask=everything) for step in drive.steps])
        for drive in pilot_drives(np.random.default_rng(0))
    ]
    path = pilot(tmp_path, model, drives=drives)
    refused([path], tmp_path / "mask", TrainingDataError, "fewer --bits")
    train("pico-rate", [path], tmp_path / "levels", QUICK)


def test_nothing_to_train_on_is_refused(tmp_path: Path) -> None:
    refused([], tmp_path / "mask", TrainingDataError, "name recordings")


def test_a_session_given_twice_under_two_names_is_refused(tmp_path: Path, model: LatentModel) -> None:
    path = pilot(tmp_path, model)
    copy = tmp_path / "copy.h5"
    copy.write_bytes(path.read_bytes())
    refused([path, copy], tmp_path / "mask", TrainingDataError, "a second time")


def test_masks_per_episode_and_per_step_are_not_mixed(tmp_path: Path, model: LatentModel) -> None:
    stepwise = pilot_drives(np.random.default_rng(0), mask_interval="step")
    paths = [pilot(tmp_path, model), pilot(tmp_path, model, "p02", stepwise)]
    refused(paths, tmp_path / "mask", TrainingDataError, "explored in different ways")


def test_explorations_with_another_fill_are_not_mixed(tmp_path: Path, model: LatentModel) -> None:
    predicted = pilot_drives(np.random.default_rng(0), fill="predict")
    paths = [pilot(tmp_path, model), pilot(tmp_path, model, "p02", predicted)]
    refused(paths, tmp_path / "mask", TrainingDataError, "explored in different ways")


def test_nothing_is_trained_on_what_is_kept_for_sealed_sets(tmp_path: Path, model: LatentModel) -> None:
    first, *others = pilot_drives(np.random.default_rng(0))
    sealed = replace(first, info=replace(first.info, seed=FIRST_SEALED))
    path = pilot(tmp_path, model, drives=[sealed, *others])
    refused([path], tmp_path / "mask", TrainingDataError, "are kept for sealed sets")


def test_the_same_trials_recorded_twice_are_refused(tmp_path: Path, model: LatentModel) -> None:
    paths = [pilot(tmp_path, model), pilot(tmp_path, model, session_id="ffffff")]
    refused(paths, tmp_path / "mask", TrainingDataError, "repeats trials of p01 from the same seeds")


def test_too_few_episodes_are_refused_with_what_to_do(tmp_path: Path, model: LatentModel) -> None:
    path = pilot(tmp_path, model, drives=pilot_drives(np.random.default_rng(0), calibration=1))
    refused([path], tmp_path / "mask", TrainingError, "at least 2 calibration (full) episodes; got 1")


def test_an_unreadable_recording_is_refused(tmp_path: Path, model: LatentModel) -> None:
    torn = tmp_path / "torn.h5"
    torn.write_bytes(pilot(tmp_path, model).read_bytes()[:700])
    refused([torn], tmp_path / "mask", sessions.RecordingError, str(torn))


def test_a_mask_file_is_never_overwritten(tmp_path: Path, model: LatentModel) -> None:
    out = tmp_path / "mask"
    out.write_bytes(b"precious")
    refused([pilot(tmp_path, model)], out, TrainingDataError, f"{out} exists and was left as it is")
    assert out.read_bytes() == b"precious"


def test_a_file_that_appears_during_the_training_survives_it(tmp_path: Path, model: LatentModel) -> None:
    out = tmp_path / "mask"
    path = pilot(tmp_path, model)

    def interfere(stage: str, done: float) -> None:
        out.write_bytes(b"precious")

    with pytest.raises(TrainingDataError, match="was left as it is"):
        train("pico", [path], out, QUICK, progress=interfere)
    assert out.read_bytes() == b"precious"
    assert sorted(tmp_path.iterdir()) == sorted([out, path])


def test_an_out_path_through_a_file_is_refused_before_training(tmp_path: Path, model: LatentModel) -> None:
    (tmp_path / "file").write_text("not a folder")
    stages: list[str] = []
    with pytest.raises(TrainingDataError, match="cannot write"):
        train(
            "pico", [pilot(tmp_path, model)], tmp_path / "file" / "mask", QUICK, progress=lambda s, d: stages.append(s)
        )
    assert not stages, "hours of training were to be spared"


def test_a_new_file_is_whole_and_alone_in_a_folder_made_for_it(tmp_path: Path) -> None:
    write_new(tmp_path / "deep" / "er" / "file", b"content")
    assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == ["file"]
    assert (tmp_path / "deep" / "er" / "file").read_bytes() == b"content"


def test_progress_runs_from_nothing_to_everything_through_all_stages(tmp_path: Path, model: LatentModel) -> None:
    told: list[tuple[str, float]] = []
    train(
        "pico",
        [pilot(tmp_path, model)],
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
