"""From recordings to R and to tuned models: whose answers to the originals count, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_tasks
from racing_builders import CAR_RACING, pilot_drives
from tiny_models import tiny_model
from training_builders import keyboard_pilot as pilot

from compression.errors import TrainingError
from compression.fitting.config import PicoConfig
from compression.fitting.interaction import RECENT
from compression.fitting.tuning import TuningConfig
from compression.model.latent_model import LatentModel, load_model
from racer.errors import ConfigError
from racer.loop.conditions import ChannelConfig
from racer.rates.grid import RatesConfig, sweep_settings
from racer.rates.people import FIRST_SEALED
from racer.rates.sweep import prepare_sweep
from racer.sitting.protocol import ProtocolConfig
from racer.sitting.start import StartConfig, start_session
from racer.tasks.registry import make_task
from racer.tasks.task import TaskSpec
from racer.training.interactions import episodes_of, kept_for, read_interactions, recent_actions
from racer.training.train import TrainingDataError
from racer.training.tuning import Tuning, make_tuned

QUICK = PicoConfig(iterations=25, batch=8, members=2)
BRIEF = TuningConfig(steps=2, batch=2)


def test_actions_before_a_trial_are_none_and_the_latest_comes_first() -> None:
    recent = recent_actions(np.array([3, 1, 2, 0, 1, 2]), np.array([0, 4]), none=9)
    assert recent.tolist() == [[9, 9, 9], [3, 9, 9], [1, 3, 9], [2, 1, 3], [9, 9, 9], [1, 9, 9]]
    assert recent.shape[1] == RECENT


def test_it_goes_well_where_nothing_fails_from_here_for_a_second() -> None:
    failed = np.array([0, 0, 0, 1, 0, 0], bool)
    assert kept_for(failed, 2, 6).tolist() == [1, 1, 0, 0, 1, 1]
    assert kept_for(failed, 1, 6).tolist() == [1, 1, 1, 0, 1, 1]
    assert np.isnan(kept_for(None, 2, 3)).all()


def test_a_task_names_a_boolean_metric_as_its_failure() -> None:
    assert CAR_RACING.spec.failure == "off_road" and make_task("lunar-lander").spec.failure == "crashed"
    for wrong in ("speed", "nothing"):
        with pytest.raises(ConfigError, match="failure must name a boolean metric"):
            replace(CAR_RACING.spec, failure=wrong)
    assert isinstance(replace(CAR_RACING.spec, failure=""), TaskSpec)


def test_a_shadow_does_on_raw_frames_what_the_same_person_did(tmp_path: Path) -> None:
    protocol = ProtocolConfig("evaluation", practice=1, evaluation=2, steps=12, conditions=("coarse", "raw"))
    config = StartConfig(
        "p01", protocol, CAR_RACING, None, ChannelConfig(1), "pursuit:5", data=tmp_path, headless=True, order=0
    )
    path = start_session(config).path
    assert path is not None
    seen = episodes_of(path, CAR_RACING)
    assert [piece.raw for piece in seen] == [False, False, True, True]
    for piece in seen:
        assert piece.shadow is not None and piece.failed is not None
        if piece.raw:
            np.testing.assert_array_equal(piece.shadow, piece.episode.actions)
    data = read_interactions([path]).data
    assert len(data.actions) == 24 and set(np.unique(data.wanted)) == {0.0, 1.0}
    np.testing.assert_array_equal(data.wanted.argmax(axis=1), np.concatenate([seen[0].shadow, seen[1].shadow]))


def test_what_people_do_on_originals_is_learnt_from_full_episodes(tmp_path: Path, model: LatentModel) -> None:
    recorded = read_interactions([pilot(tmp_path, model, name) for name in ("p02", "p01")], config=QUICK)
    data = recorded.data
    np.testing.assert_allclose(data.wanted.sum(axis=1), 1, atol=1e-5)
    # Explorations alone: calibrations, from which it is learnt, would agree with themselves.
    assert data.wanted.shape == (2 * 2 * 6, 3) and (data.wanted.max(axis=1) < 1).all()
    assert recorded.record.participants == ("p01", "p02") and recorded.record.drivers == ("keyboard",)
    assert len(recorded.record.seeds) == 8 and set(data.people.tolist()) == {0, 1}


@pytest.fixture
def shades() -> Iterator[None]:
    with tiny_tasks.installed():
        yield


@pytest.mark.usefixtures("shades")
def test_own_answers_to_the_original_count_where_trials_stand_alone(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "model", tiny_tasks.LEVELS)
    protocol = ProtocolConfig("evaluation", practice=0, evaluation=2, steps=5, conditions=("random", "raw"))
    driver = "tiny_tasks:onlooker_of_shades"
    paths = []
    for name in ("p01", "p02"):
        task = make_task("shades")
        config = StartConfig(
            name, protocol, task, model.folder, ChannelConfig(12), driver, data=tmp_path / name, headless=True, order=0
        )
        path = start_session(config).path
        assert path is not None
        paths.append(path)
    data = read_interactions(paths, model.folder, QUICK).data
    pieces = [piece for path in sorted(paths) for piece in episodes_of(path, task)]
    own = {
        (piece.person, int(seed)): int(action)
        for piece in pieces
        if piece.raw
        for seed, action in zip(piece.stimulus, piece.episode.actions, strict=True)
    }
    for number, person in enumerate(("p01", "p02")):
        wanted = data.wanted[data.people == number]
        theirs = [piece for piece in pieces if not piece.raw and piece.person == person]
        answers = [own[person, int(seed)] for piece in theirs for seed in piece.stimulus]
        assert wanted.max(axis=1).tolist() == [1.0] * 10 and wanted.argmax(axis=1).tolist() == answers
    assert np.isnan(data.kept).all() and (data.recent == 3).all()
    card = make_tuned(Tuning(paths, tmp_path / "tuned", model.folder, config=BRIEF, fitting=QUICK))
    assert "kept_before" not in card["held_out"]


def test_recordings_that_are_of_no_use_are_named_in_one_line(tmp_path: Path, model: LatentModel) -> None:
    rng = np.random.default_rng(0)
    explored = pilot(tmp_path, model, "p03", pilot_drives(rng, calibration=0))
    told = "2 or more episodes under full or raw; got 0, and nothing was written: name pilots'"
    with pytest.raises(TrainingDataError, match=told):
        read_interactions([explored])
    with pytest.raises(TrainingDataError, match="name recordings"):
        read_interactions([])
    twice = tmp_path / "again.h5"
    twice.write_bytes(explored.read_bytes())
    with pytest.raises(TrainingDataError, match="a second time"):
        read_interactions([explored, twice])
    drives = pilot_drives(rng)
    sealed = [replace(drives[0], info=replace(drives[0].info, seed=FIRST_SEALED))]
    with pytest.raises(TrainingDataError, match="kept for sealed sets"):
        read_interactions([pilot(tmp_path, model, "p04", sealed)])


@pytest.fixture(scope="module")
def tuned(model: LatentModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model tuned to two people."""
    folder = tmp_path_factory.mktemp("tuned")
    paths = [pilot(folder, model, name) for name in ("p01", "p02")]
    make_tuned(Tuning(paths, folder / "model", config=BRIEF, fitting=QUICK))
    return folder / "model"


def test_a_second_round_knows_the_latents_and_the_people_of_the_first(
    tuned: Path, model: LatentModel, tmp_path: Path
) -> None:
    paths = [pilot(tmp_path, load_model(tuned), name) for name in ("p03", "p04")]
    make_tuned(Tuning(paths, tmp_path / "again", tuned, config=BRIEF, fitting=QUICK))
    again = load_model(tmp_path / "again")
    assert again.tuning is not None and again.latents_sha256 == model.sha256
    assert again.tuning.participants == ("p01", "p02", "p03", "p04") and len(again.tuning.seeds) == 16
    assert {path.name for path in (tmp_path / "again").iterdir()} >= {"coarse.safetensors", "predictive.safetensors"}


def test_one_person_cannot_be_split(tmp_path: Path, model: LatentModel) -> None:
    tuning = Tuning([pilot(tmp_path, model, "p01")], tmp_path / "model", config=BRIEF, fitting=QUICK)
    with pytest.raises(TrainingError, match="recordings of one person"):
        make_tuned(tuning)
    assert not (tmp_path / "model").exists()


def test_nobody_evaluates_a_decoder_that_was_tuned_to_them(tuned: Path, tmp_path: Path) -> None:
    protocol = ProtocolConfig("evaluation", practice=0, evaluation=1, steps=1, conditions=("coarse",))
    config = StartConfig("p01", protocol, model=tuned, driver="pursuit", data=tmp_path, headless=True)
    with pytest.raises(ConfigError, match=r"whom this latent model's decoder was tuned to .*; nothing was recorded"):
        start_session(config)
    assert start_session(replace(config, participant="p03")).path is not None


def test_a_sweep_says_whose_driving_the_decoder_was_tuned_to(tuned: Path) -> None:
    assert load_model(tuned).tuning is not None
    rates = RatesConfig("car-racing", sweep_settings("car-racing"), 5, ("pursuit",), bits=(5,))
    fitted_on = dict(prepare_sweep(rates, ["coarse", "random"], folder=tuned).fitted_on)
    assert fitted_on["random"] == ("keyboard",) and "keyboard" in fitted_on["coarse"] and "raw" not in fitted_on
