from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from racing_builders import SESSION, scored, write_mask, write_session

import sessions
from compression.errors import MaskError
from compression.fitting.fitted import load_fitted
from compression.model.latent_model import LatentModel
from racer.drivers.driver import DriverError
from racer.errors import ConfigError, RacerError
from racer.loop.conditions import ChannelConfig
from racer.recordings.verification import verify_recordings
from racer.sitting.leases import Leases
from racer.sitting.protocol import ProtocolConfig, condition_order, plan_episodes
from racer.sitting.start import StartConfig, resolved, start_session
from racer.tasks.registry import make_task, task_settings
from sessions.ledger import LEDGER_NAME, note_recorded, read_ledger, sha256_of
from sessions.maintenance.withdrawn import LOCK_NAME, NAMES_NAME

PILOT = ProtocolConfig("pilot", practice=1, calibration=1, exploration=1, steps=2)
EVALUATION = ProtocolConfig("evaluation", practice=0, evaluation=1, steps=1, conditions=("raw", "random", "full"))
WITH_PICO = replace(EVALUATION, conditions=("random", "pico"))


def config(data: Path, participant: str | None = "p01", protocol: ProtocolConfig = PILOT, **others: Any) -> StartConfig:
    settings: dict[str, Any] = {"driver": "simulated", "headless": True, "data": data} | others
    return StartConfig(participant=participant, protocol=protocol, **settings)


def files(folder: Path) -> list[str]:
    """Return the names of everything below the folder, but for the leases."""
    return sorted(path.name for path in folder.rglob("*") if ".leases" not in path.parts)


def evaluated(data: Path, participant: str, order: object, **changes: Any) -> None:
    """Write an evaluation session, as if it had been held already."""
    settings = {"protocol": "evaluation", "config": {"order": order}, "session_id": f"{len(files(data)):06x}"} | changes
    write_session(data, [scored("random", 0.1)], participant=participant, **settings)


def test_the_window_opens_before_what_takes_longest_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
import sys
from pathlib import Path
from racer.sitting.start import StartConfig, start_session
from racer.window.window import Window
Window.load = lambda window, work: print({"torch", "gymnasium"} & set(sys.modules)) or sys.exit()
start_session(StartConfig("p01", data=Path("data")))
"""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert (result.stdout, result.stderr, files(tmp_path)) == ("set()\n", "", [])


def orders(data: Path) -> dict[str, tuple[str, ...]]:
    """Return in which order each participant met the conditions."""
    met = {}
    for path in sessions.find_recordings(data):
        with sessions.open(path) as session:
            conditions = [e.info.condition for e in session.episodes if e.info.phase == "evaluation"]
            met[session.info.participant] = tuple(dict.fromkeys(conditions))
    return met


def test_no_recording_has_its_name_before_it_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(source: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sessions.recorder.rename_without_overwriting", killed)
    with pytest.raises(KeyboardInterrupt):
        start_session(config(tmp_path))
    (path,) = sessions.find_recordings(tmp_path)
    assert path.name.endswith(".h5.partial")
    ledger = read_ledger(tmp_path)
    assert ledger is not None and list(ledger.held) == [sha256_of(path)]
    (found,) = verify_recordings([path], replay=False).ledgers
    assert found.outcome == "ok"


def test_nobody_is_turned_away_by_a_damaged_ledger(tmp_path: Path) -> None:
    ledger = tmp_path / LEDGER_NAME
    ledger.write_text("damaged\n")
    told: list[str] = []
    result = start_session(config(tmp_path), on_trouble=told.append)
    assert result.complete and result.path is not None and result.path.is_file()
    assert ledger.read_text() == "damaged\n"
    (line,) = told
    assert f"{result.path} is saved" in line and "line 1 of" in line and "racer study seal" in line
    ledger.unlink()
    assert note_recorded(tmp_path) == [result.path]


def test_a_pilot_is_recorded_with_all_that_is_needed_to_repeat_it(tmp_path: Path, model: LatentModel) -> None:
    settings = config(
        tmp_path / "data",
        protocol=PILOT,
        task=make_task("car-racing", {"handling": "forgiving", "speed": 40.0}),
        channel=ChannelConfig(bits=60, mask_interval="step", fill="prior"),
        seed=4,
        pace=20.0,
        trial_run=True,
    )
    result = start_session(settings)
    assert result.complete
    assert result.path is not None
    with sessions.open(result.path) as session:
        info = session.info
        assert (info.participant, info.protocol, info.driver, info.trial_run) == ("p01", "pilot", "simulated", True)
        assert (info.model_sha256, info.fitted_sha256) == (model.sha256, "")
        assert info.config == json.loads(json.dumps(resolved(settings, 0)))
        task = {"handling": "forgiving", "speed": 40.0, "skip_zoom": True}
        assert task_settings(settings.task) == info.task.settings == task
        assert info.config["task"] == {"name": "car-racing", "settings": task}
        for name, part in {"protocol": PILOT, "channel": settings.channel}.items():
            later = ("action_delay", "action_loss", "probes")
            told = {key: value for key, value in asdict(part).items() if value or key not in later}
            assert info.config[name] == json.loads(json.dumps(told)), "late actions and probes, where there are any"
        assert [info.config[name] for name in ("participant", "driver", "seed", "trial_run", "order", "pace")] == [
            "p01", "simulated", 4, True, 0, 20.0
        ]  # fmt: skip
        assert info.software["torch"].startswith("2.")
        assert {"python", "platform", "numpy", "gymnasium", "git_commit"} <= set(info.software)
        planned = plan_episodes(PILOT, "p01", 4, 0)
        assert [(e.info.phase, e.info.condition, e.info.seed) for e in session.episodes] == [
            (plan.phase, plan.condition, plan.seed) for plan in planned
        ]
        assert [e.info.bits_per_step for e in session.episodes] == [170, 170, 60]
        assert {(e.info.mask_interval, e.info.fill) for e in session.episodes} == {("step", "prior")}
    assert files(tmp_path / "data") == [LOCK_NAME, LEDGER_NAME, NAMES_NAME, result.path.name]
    result.path.unlink()
    (tmp_path / "data" / LEDGER_NAME).unlink()
    with Leases(tmp_path / "data").lease("ffffff", None, "evaluation", 1) as lease:
        assert lease.participant == "p02", "a name is remembered when its recording begins"


def test_an_unmarked_sitting_is_not_marked_as_a_trial_and_keeps_the_tasks_pace(tmp_path: Path) -> None:
    result = start_session(config(tmp_path))
    assert result.path is not None
    with sessions.open(result.path) as session:
        assert session.info.trial_run is False
        assert session.info.config["pace"] == make_task().spec.pace


def test_whoever_waits_is_told_the_file_and_each_episode(tmp_path: Path) -> None:
    ready: list[tuple[bool, int]] = []
    done: list[str] = []
    start_session(
        config(tmp_path),
        on_ready=lambda path, episodes: ready.append((path.name.endswith(".h5.partial") and path.exists(), episodes)),
        on_episode=lambda result: done.append(result.plan.phase),
    )
    assert ready == [(True, 3)]
    assert done == ["practice", "calibration", "exploration"]


def test_a_participant_drives_alike_in_two_sittings_and_another_one_elsewhere(tmp_path: Path) -> None:
    def steering(participant: str, data: str) -> tuple[list[int], list[list[int]]]:
        protocol = replace(PILOT, steps=12)
        result = start_session(config(tmp_path / data, participant, protocol))
        assert result.path is not None
        with sessions.open(result.path) as session:
            seeds = [episode.info.seed for episode in session.episodes]
            return seeds, [episode.action.tolist() for episode in session.episodes]

    assert steering("p01", "a") == steering("p01", "b")
    assert set(steering("p01", "c")[0]).isdisjoint(steering("p02", "c")[0])


def test_the_order_of_conditions_moves_on_with_each_participant(tmp_path: Path) -> None:
    names = [f"p{number:02d}" for number in range(4)]
    for name in names:
        start_session(config(tmp_path, name, EVALUATION))
    assert orders(tmp_path) == {
        name: condition_order(EVALUATION.conditions, number) for number, name in enumerate(names)
    }
    assert len(set(orders(tmp_path).values())) == 4


@pytest.mark.parametrize(
    ("changes", "order"),
    [
        ({}, 1),
        ({"status": "aborted"}, 0),
        ({"trial_run": True}, 0),
        ({"protocol": "pilot"}, 0),
        ({"participant": "new"}, 0),
    ],
    ids=["complete", "aborted", "trial run", "pilot protocol", "one's own"],
)
def test_only_sittings_that_count_use_up_an_order(changes: dict[str, Any], order: int, tmp_path: Path) -> None:
    earlier: dict[str, Any] = {"participant": "earlier", "order": 0} | changes
    evaluated(tmp_path, **earlier)
    start_session(config(tmp_path, "newcomer" if "participant" not in changes else "new", EVALUATION))
    latest = [path for path in sessions.find_recordings(tmp_path) if path.name.startswith("new")]
    found = []
    for path in latest:
        with sessions.open(path) as session:
            if session.info.config != {"order": 0}:
                found.append(session.info.config["order"])
    assert found == [order]


def test_the_order_given_least_often_comes_next_and_unreadable_files_do_not_count(tmp_path: Path) -> None:
    for number, order in enumerate([0, 1, 2, 3, 5, 0]):
        evaluated(tmp_path, f"earlier{number}", order)
    evaluated(tmp_path, "vandal", "four")
    (tmp_path / "torn_evaluation_20260101T000000Z_0a1b2c.h5").write_bytes(b"no HDF5 at all")
    result = start_session(config(tmp_path, "new", EVALUATION))
    assert result.path is not None
    with sessions.open(result.path) as session:
        assert session.info.config["order"] == 4


def test_the_masks_given_are_the_ones_driven_with_and_recorded(tmp_path: Path, model: LatentModel) -> None:
    pico = write_mask(tmp_path / "pico.mask", model, "pico", first=(0, 1, 2, 7))
    perceptual = write_mask(tmp_path / "perceptual.mask", model, "perceptual", first=(3, 4, 5, 6))
    protocol = replace(EVALUATION, conditions=("perceptual", "pico"))
    result = start_session(config(tmp_path / "data", protocol=protocol, masks=(pico, perceptual)))
    assert result.path is not None
    with sessions.open(result.path) as session:
        sent = {episode.info.condition: episode.mask[0].nonzero()[0].tolist() for episode in session.episodes}
        shas = {load_fitted(path, model).sha256 for path in (pico, perceptual)}
        assert set(session.info.fitted_sha256.split()) == shas
    assert sent == {"pico": [0, 1, 2, 7], "perceptual": [3, 4, 5, 6]}


def test_the_shipped_mask_serves_pico_where_none_is_given(tmp_path: Path, model: LatentModel) -> None:
    shipped = model.fitted_path("pico")
    assert shipped is not None
    result = start_session(config(tmp_path, protocol=replace(EVALUATION, conditions=("pico",))))
    assert result.path is not None
    with sessions.open(result.path) as session:
        assert session.info.fitted_sha256 == hashlib.sha256(shipped.read_bytes()).hexdigest()


def test_seeds_that_the_mask_was_trained_on_are_not_met(tmp_path: Path, model: LatentModel) -> None:
    wanted = {plan.seed for plan in plan_episodes(WITH_PICO, "p01", 0, 0)}
    mask = write_mask(tmp_path / "mask", model, seeds=tuple(wanted))
    result = start_session(config(tmp_path / "data", protocol=WITH_PICO, masks=(mask,)))
    assert wanted.isdisjoint(episode.plan.seed for episode in result.episodes)


def refused(settings: StartConfig, error: type[Exception], told: str) -> None:
    """Check that a sitting is refused in one line that says so, and that nothing is written."""
    before = sorted(settings.data.parent.rglob("*"))
    with pytest.raises(error) as refusal:
        start_session(settings)
    assert told in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
    assert sorted(settings.data.parent.rglob("*")) == before


def test_nobody_evaluates_a_mask_fitted_to_themselves(tmp_path: Path, model: LatentModel) -> None:
    mask = write_mask(tmp_path / "mask", model, participants=("p01", "p02"))
    refused(
        config(tmp_path / "data", "p02", WITH_PICO, masks=(mask,)), ConfigError, "p02 took part in training this mask"
    )


def test_a_mask_of_other_weights_is_refused(tmp_path: Path, model: LatentModel) -> None:
    mask = write_mask(tmp_path / "mask", model, model_sha256="cd" * 32)
    refused(config(tmp_path / "data", protocol=WITH_PICO, masks=(mask,)), MaskError, "was fitted for other weights")


def test_a_second_round_explores_under_the_first_rounds_mask_also_with_its_own_participant(
    tmp_path: Path, model: LatentModel
) -> None:
    mask = write_mask(tmp_path / "mask", model, first=(0, 3, 4, 7), participants=("p01",))
    result = start_session(config(tmp_path / "data", protocol=replace(PILOT, explore="pico"), masks=(mask,), seed=1))
    assert result.path is not None
    with sessions.open(result.path) as session:
        explored = session.episodes[-1]
        assert (explored.info.phase, explored.info.condition) == ("exploration", "pico")
        assert explored.mask[0].nonzero()[0].tolist() == [0, 3, 4, 7]
        assert session.info.fitted_sha256 == load_fitted(mask, model).sha256


def test_a_condition_whose_mask_is_missing_is_refused(tmp_path: Path) -> None:
    protocol = replace(EVALUATION, conditions=("random", "perceptual"))
    refused(config(tmp_path / "data", protocol=protocol), ConfigError, "racer train --objective perceptual")


def test_two_masks_for_one_condition_are_refused(tmp_path: Path, model: LatentModel) -> None:
    masks = tuple(write_mask(tmp_path / name, model) for name in ("one", "two"))
    refused(config(tmp_path / "data", protocol=WITH_PICO, masks=masks), ConfigError, "two masks for condition pico")


@pytest.mark.parametrize("protocol", [PILOT, EVALUATION], ids=["pilot", "evaluation"])
def test_a_mask_that_no_condition_uses_is_refused_rather_than_ignored(
    protocol: ProtocolConfig, tmp_path: Path, model: LatentModel
) -> None:
    mask = write_mask(tmp_path / "mask", model, "perceptual")
    refused(config(tmp_path / "data", protocol=protocol, masks=(mask,)), ConfigError, "perceptual")


def test_a_protocol_without_episodes_is_refused(tmp_path: Path) -> None:
    protocol = ProtocolConfig("pilot", practice=0, calibration=0, exploration=0)
    refused(config(tmp_path / "data", protocol=protocol), ConfigError, "no episodes")


def test_an_unknown_driver_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    refused(config(tmp_path / "data", driver="nobody"), DriverError, "unknown driver 'nobody'")


def test_a_data_folder_that_is_a_file_is_called_that(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    refused(config(tmp_path / "data"), RacerError, "is not a folder")


def test_a_drivers_failure_names_the_driver_and_keeps_what_was_driven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "tired_driver.py").write_text(
        "class Tired:\n"
        "    def __init__(self, seed): self.left = 3\n"
        "    def reset(self): pass\n"
        "    def act(self, frame):\n"
        "        self.left -= 1\n"
        "        return 1 if self.left >= 0 else 'asleep'\n"
    )
    with pytest.raises(DriverError, match=r"driver 'tired_driver:Tired'.* it returned 'asleep'"):
        start_session(config(tmp_path / "data", driver="tired_driver:Tired"))
    (path,) = sessions.find_recordings(tmp_path / "data")
    assert path.suffix == ".h5"
    with sessions.open(path) as session:
        assert session.status == "aborted"
        assert session.info.driver == "tired_driver:Tired"
        assert [(episode.status, episode.n_steps) for episode in session.episodes] == [("complete", 2), ("aborted", 1)]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"participant": "../x"}, "../x"),
        ({"participant": ""}, "participant name"),
        ({"pace": 0.5}, "between 1 and 50"),
        ({"pace": 51.0}, "between 1 and 50"),
        ({"pace": float("nan")}, "between 1 and 50"),
        ({"seed": -1}, "0 or more"),
        ({"driver": "keyboard", "headless": True}, "--driver simulated"),
        ({"protocol": replace(EVALUATION, conditions=("random", "blurred"))}, "'blurred'"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_one_line(changes: dict[str, Any], told: str) -> None:
    with pytest.raises((RacerError, sessions.RecordingError)) as refusal:
        StartConfig(**({"participant": SESSION.participant} | changes))
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_trial_run_takes_no_participants_name(tmp_path: Path) -> None:
    names = []
    for trial in (True, False, True):
        result = start_session(config(tmp_path / "data", None, trial_run=trial))
        assert result.path is not None
        names.append(result.path.name.partition("_")[0])
    assert names == ["trial01", "pilot01", "trial02"]
