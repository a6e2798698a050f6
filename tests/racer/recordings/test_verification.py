"""Real sessions: untouched they pass, and any single damage to what was driven or sent is found and named."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from footage_builders import Walk, copy_recording, golden
from hypothesis import given, settings
from hypothesis import strategies as st
from racing_builders import scored, write_session

import sessions
from racer.errors import ConfigError, RacerError
from racer.loop.conditions import ChannelConfig
from racer.recordings.places import find_files
from racer.recordings.verification import Verified, verify_recording, verify_recordings
from racer.sitting.protocol import ProtocolConfig
from racer.sitting.start import StartConfig, start_session
from racer.tasks.registry import make_task
from racer.workers import in_parallel

STEPS = 5
CONDITIONS = ("raw", "random", "pico", "full")
CHECKS = ["readable", "name", "state", "times", "values", "bits", "masks", "seal"]
CHECKS += ["plan", "study", "schedule", "weights", "packets", "received", "pace", "replay", "unique"]
PROTOCOL = ProtocolConfig("evaluation", practice=1, evaluation=1, steps=STEPS, conditions=CONDITIONS)


def record(folder: Path, participant: str = "p01", protocol: ProtocolConfig = PROTOCOL, **others: Any) -> Path:
    config = StartConfig(participant, protocol, driver="simulated", headless=True, data=folder, **others)
    path = start_session(config).path
    assert path is not None
    return path


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("original"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two episodes of three steps."""
    protocol = replace(PROTOCOL, practice=0, conditions=("raw", "random"), steps=3)
    return record(tmp_path_factory.mktemp("small"), protocol=protocol)


@pytest.fixture
def recording(original: Path, tmp_path: Path) -> Path:
    """A copy of a session, to be spoilt."""
    return Path(shutil.copy(original, tmp_path))


def failing(recording: Verified) -> dict[str, str]:
    """Return what fails, but for the seal, which every change breaks."""
    found = {finding.check: finding.detail for finding in recording.findings if finding.outcome == "fail"}
    found.pop("seal", None)
    return found


def outcomes(path: Path, **options: Any) -> dict[str, str]:
    return {finding.check: finding.outcome for finding in verify_recording(path, **options).findings}


def configure(path: Path, change: Callable[[dict[str, Any]], object], attribute: str = "config") -> None:
    """Change the configuration stored in a recording."""
    with h5py.File(path, "r+") as file:
        stored = json.loads(file.attrs[attribute])
        change(stored)
        file.attrs[attribute] = json.dumps(stored)


def test_untouched_session_passes_every_check(original: Path) -> None:
    assert outcomes(original) == dict.fromkeys(CHECKS, "ok")


@pytest.mark.parametrize("fill", ["prior", "predict"])
def test_every_fill_comes_out_again(tmp_path: Path, fill: Any) -> None:
    protocol = replace(PROTOCOL, conditions=("random", "full"))
    path = record(tmp_path, protocol=protocol, channel=ChannelConfig(60, "step", fill))
    assert verify_recording(path).outcome == "ok"
    with h5py.File(path, "r+") as file:
        file["episodes/001/received"][2, 3] += np.float32(0.01)
    assert "received at step 2" in failing(verify_recording(path))["received"]


def test_forgiving_handling_comes_out_again(tmp_path: Path) -> None:
    path = record(
        tmp_path,
        protocol=replace(PROTOCOL, conditions=("raw",)),
        task=make_task("car-racing", {"handling": "forgiving", "speed": 40.0}),
    )
    assert failing(verify_recording(path)) == {}


METRICS = tuple(metric.name for metric in make_task("car-racing").spec.metrics)
FOUND_BY = {
    "action": {"values", "replay"},
    "stimulus": {"values", "replay"},
    "packet": {"packets", "received"},
    "received": {"received", "values", "masks"},
    "mask": {"packets", "masks"},
    "bits": {"bits", "packets"},
    "uplink_bits": {"packets"},
    "arrived": {"packets"},
    **{name: {"replay", "values"} for name in METRICS},
}
"""Column to the checks that may name it."""


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_one_flipped_bit_anywhere_is_found_and_its_column_named(
    small: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = Path(shutil.copy(small, tmp_path_factory.mktemp("flipped")))
    column = data.draw(st.sampled_from(sorted(FOUND_BY)))
    with h5py.File(path, "r+") as file:
        names = [name for name, group in file["episodes"].items() if group[column].size]
        dataset = file["episodes"][data.draw(st.sampled_from(names))][column]
        values = dataset[:]
        flat = values.view(np.uint8).reshape(-1)
        at = data.draw(st.integers(0, len(flat) - 1))
        flat[at] ^= 1 if values.dtype == np.bool_ else 1 << data.draw(st.integers(0, 7))
        dataset[:] = values
    found = failing(verify_recording(path))
    naming = [check for check, detail in found.items() if column in detail]
    assert set(naming) & FOUND_BY[column], found


def test_another_action_is_found_where_it_was_taken(recording: Path) -> None:
    with h5py.File(recording, "r+") as file:
        actions = file["episodes/002/action"]
        actions[3] = 1 if actions[3] == 2 else 2
    assert failing(verify_recording(recording)).keys() == {"replay"}
    assert re.match(r"episode 2: \w+ at step 3 does not follow", failing(verify_recording(recording))["replay"])
    assert failing(verify_recording(recording, replay=False)) == {}


def test_latent_that_the_packet_does_not_hold_is_found(recording: Path) -> None:
    with h5py.File(recording, "r+") as file:
        file["episodes/000/latent"][1, 5] += 1
    assert failing(verify_recording(recording)) == {
        "packets": "episode 0: packet at step 1 does not hold the latent that was encoded"
    }


@pytest.mark.parametrize(
    ("name", "value", "check", "told"),
    [
        ("seed", 99, "replay", "stimulus holds seeds that belong to none of its trials"),
        ("noisy", True, "plan", "noisy is True and the configuration says noise 'none'"),
        ("bits_per_step", 84, "plan", "bits is 84 and the configuration says 85"),
        ("fill", "prior", "plan", "fill is 'prior' and the configuration says 'hold'"),
        ("mask_interval", "step", "plan", "mask_interval is 'step'"),
        ("fill", "zeros", "received", "fill 'zeros' is unknown"),
        ("condition", "perceptual", "plan", "1 evaluation perceptual more than planned"),
        ("phase", "practice", "plan", "1 practice random more than planned"),
        ("bits_per_step", 2, "packets", "too few"),
    ],
)
def test_attribute_of_an_episode_that_does_not_fit_is_found(
    recording: Path, name: str, value: object, check: str, told: str
) -> None:
    with h5py.File(recording, "r+") as file:
        (index,) = [i for i, group in file["episodes"].items() if group.attrs["condition"] == "random"]
        file["episodes"][index].attrs[name] = value
    assert told in failing(verify_recording(recording))[check]


def test_complete_session_that_lacks_an_episode_is_found(recording: Path) -> None:
    with h5py.File(recording, "r+") as file:
        del file["episodes/004"]
    assert "is complete and lacks 1 evaluation" in failing(verify_recording(recording))["plan"]


def test_rejected_episode_counts_for_nothing(recording: Path) -> None:
    with h5py.File(recording, "r+") as file:
        file["episodes/000"].attrs["rejected"] = True
    assert "lacks 1 practice full" in failing(verify_recording(recording))["plan"]


def test_session_that_ended_early_may_lack_episodes(recording: Path) -> None:
    with h5py.File(recording, "r+") as file:
        del file["episodes/004"]
        file.attrs["status"] = "aborted"
    assert failing(verify_recording(recording)) == {}


def test_episode_longer_than_planned_is_found(recording: Path) -> None:
    configure(recording, lambda config: config["protocol"].update(steps=STEPS - 1))
    assert f"{STEPS} steps of {STEPS - 1} planned" in failing(verify_recording(recording))["plan"]


@pytest.mark.parametrize("part", ["protocol", "task", "channel", "pace", "headless"])
@pytest.mark.parametrize("value", [None, 3, [], {"steps": "many", "handling": 7, "conditions": 3}])
def test_any_configuration_is_checked_without_a_crash(recording: Path, part: str, value: object) -> None:
    configure(recording, lambda config: config.update({part: value}))
    assert all(finding.check for finding in verify_recording(recording).findings)


def test_recording_of_other_software_is_not_driven_again(recording: Path) -> None:
    configure(recording, lambda software: software.update(gymnasium="0.1"), "software")
    with h5py.File(recording, "r+") as file:
        file["episodes/000/progress"][0] = 0.0
    (finding,) = [finding for finding in verify_recording(recording).findings if finding.check == "replay"]
    assert finding.outcome == "skipped"
    assert "gymnasium 0.1, here" in finding.detail


def test_recording_of_another_kind_of_machine_is_not_driven_again(recording: Path) -> None:
    configure(recording, lambda software: software.update(platform="macOS-15.1-arm64-arm-64bit"), "software")
    assert outcomes(recording)["replay"] == "skipped"


def test_recording_of_other_weights_is_unpacked_but_not_decoded(recording: Path) -> None:
    with h5py.File(recording, "r+") as file:
        file.attrs["model_sha256"] = "ab" * 32
        file["episodes/000/received"][0, 0] += 1
    found = outcomes(recording)
    assert (found["weights"], found["packets"], found["received"]) == ("skipped", "ok", "skipped")
    with h5py.File(recording, "r+") as file:
        file["episodes/000/packet"][0, 0] = 255
    assert outcomes(recording)["packets"] == "fail"


def test_recording_of_another_packet_format_is_not_unpacked(recording: Path) -> None:
    configure(recording, lambda config: config.update(channel_format=0))
    found = outcomes(recording)
    assert (found["packets"], found["received"]) == ("skipped", "skipped")


def test_recording_of_a_task_that_is_not_installed_is_checked_as_far_as_can_be(walk: Walk) -> None:
    assert outcomes(walk.path, model=walk.model) == dict.fromkeys(CHECKS, "ok")
    found = outcomes(walk.path)
    assert (found["weights"], found["received"], found["replay"]) == ("skipped", "skipped", "ok")
    walk.uninstall()
    findings = {finding.check: finding for finding in verify_recording(walk.path).findings}
    for check in ("weights", "received", "replay"):
        told = findings.pop(check).detail
        assert told.startswith("task grey-walk is not installed: install the package that has it")
    assert {finding.outcome for finding in findings.values()} == {"ok"}
    with h5py.File(walk.path, "r+") as file:
        file["episodes/000/packet"][0, 0] = 255
    assert outcomes(walk.path)["packets"] == "fail"


def test_recording_of_a_task_that_has_changed_is_not_done_again(recording: Path) -> None:
    configure(recording, lambda task: task["actions"].reverse(), "task")
    (finding,) = [finding for finding in verify_recording(recording).findings if finding.check == "replay"]
    assert (finding.outcome, "has changed since" in finding.detail) == ("skipped", True)


def test_recording_with_settings_that_cannot_be_is_not_done_again(recording: Path) -> None:
    configure(recording, lambda task: task["settings"].update(speed="fast"), "task")
    (finding,) = [finding for finding in verify_recording(recording).findings if finding.check == "replay"]
    assert (finding.outcome, "speed" in finding.detail) == ("skipped", True)


def test_another_task_is_done_again_with_its_own_metrics(walk: Walk) -> None:
    with h5py.File(walk.path, "r+") as file:
        file["episodes/001/distance"][4] += np.float32(0.25)
    assert failing(verify_recording(walk.path, model=walk.model)) == {
        "replay": "episode 1: distance at step 4 does not follow from seed and actions"
    }


@pytest.mark.parametrize("participant", ["pilot01", "eval01", "noisy01"])
def test_recordings_of_version_0_1_0_pass_every_check(participant: str, tmp_path: Path) -> None:
    path = golden(participant, tmp_path)
    found = outcomes(path)
    # Elsewhere than where they were made, physics may differ.
    assert found.pop("replay") in ("ok", "skipped")
    assert found.pop("received") in ("ok", "warn")
    assert found.pop("seal") == "skipped"
    assert set(found.values()) == {"ok"}


@pytest.mark.parametrize("column", ["action", "control", "speed", "packet", "received"])
def test_damage_to_a_recording_of_version_0_1_0_is_found(column: str, tmp_path: Path) -> None:
    path = golden("pilot01", tmp_path)
    here = outcomes(path)["replay"]
    with h5py.File(path, "r+") as file:
        values = file["episodes/002"][column]
        values[3] = 0 if column == "packet" else 1 if column == "action" and values[3] < 1 else values[3] - 1
    if column in ("packet", "received"):
        assert failing(verify_recording(path))
    elif here == "ok":  # what a later version does otherwise is no failure of the recording
        assert outcomes(path)["replay"] == "warn"


def test_recording_of_version_0_1_0_written_anew_still_passes(tmp_path: Path) -> None:
    path = copy_recording(golden("noisy01", tmp_path / "old"), tmp_path)
    assert failing(verify_recording(path)) == {}
    with sessions.open(path) as session:
        assert session.schema_version == sessions.SCHEMA_VERSION
        assert not all(episode.arrived.all() for episode in session.episodes)


def test_condition_of_a_later_version_is_skipped(recording: Path) -> None:
    with h5py.File(recording, "r+") as file:
        file["episodes/001"].attrs["condition"] = "telepathy"
    assert outcomes(recording)["packets"] == "skipped"


@pytest.mark.parametrize(("hashes", "outcome"), [("", "fail"), ("nonsense", "fail"), ("cd" * 32, "ok")])
def test_masked_condition_names_its_mask(recording: Path, hashes: str, outcome: str) -> None:
    with h5py.File(recording, "r+") as file:
        file.attrs["fitted_sha256"] = hashes
    assert outcomes(recording)["weights"] == outcome


@pytest.mark.parametrize(("late", "outcome"), [(1, "ok"), (2, "warn")])
def test_too_many_late_steps_are_pointed_out(tmp_path: Path, late: int, outcome: str) -> None:
    """Of 25 steps that were timed, one or two last 3 ms longer than their 100."""
    drive = scored("raw", 0.5, [False] * 26)
    durations = np.full(25, 100_000_000)
    durations[:late] += 3_000_000
    times = 5 + np.concatenate([[0], np.cumsum(durations)])
    steps = [replace(step, time_ns=int(time_ns)) for step, time_ns in zip(drive.steps, times, strict=True)]
    path = write_session(tmp_path, [replace(drive, steps=steps)], config={"pace": 10.0, "headless": False})
    (finding,) = [finding for finding in verify_recording(path).findings if finding.check == "pace"]
    assert finding.outcome == outcome


def test_same_session_given_twice_fails_in_both_files(original: Path, recording: Path) -> None:
    result = verify_recordings([original, recording])
    assert not result.passed
    assert [failing(one).keys() for one in result.recordings] == [{"unique"}, {"unique"}]
    assert str(recording) in failing(result.recordings[0])["unique"]


def test_same_episodes_under_another_session_id_are_found(original: Path, recording: Path) -> None:
    with h5py.File(recording, "r+") as file:
        file.attrs["session_id"] = "ffffff"
        file.attrs["participant"] = "p99"
    result = verify_recordings([original, recording], replay=False)
    assert ["same episodes" in failing(one)["unique"] for one in result.recordings] == [True, True]


def resumed(first: Path, second: Path) -> None:
    """Make two copies of one session into a sitting in two parts: its first two episodes and the rest."""
    for path in (first, second):
        with h5py.File(path, "r+") as file:
            del file.attrs["seal"]
    with h5py.File(first, "r+") as file:
        file.attrs["status"] = "aborted"
        for name in ("002", "003", "004"):
            del file["episodes"][name]
    with h5py.File(second, "r+") as file:
        file.attrs["resumes"] = file.attrs["session_id"]
        file.attrs["session_id"] = "ffffff"
        for name in ("000", "001"):
            del file["episodes"][name]
        for index, name in enumerate(("002", "003", "004")):
            file["episodes"].move(name, f"{index:03d}")


def test_resumed_sitting_is_checked_as_a_whole(original: Path, tmp_path: Path) -> None:
    first, second = Path(shutil.copy(original, tmp_path / "a.h5")), Path(shutil.copy(original, tmp_path / "b.h5"))
    resumed(first, second)
    result = verify_recordings([first, second], expected=1)
    assert (result.passed, result.sittings) == (True, 1)
    with h5py.File(second, "r+") as file:
        del file["episodes/002"]
    result = verify_recordings([first, second])
    assert failing(result.recordings[0]) == {}
    assert failing(result.recordings[1])["plan"] == "with those it continues, it has 4 of the 5 episodes planned"
    (alone,) = verify_recordings([second]).recordings
    assert [(one.outcome, one.detail) for one in alone.findings if one.check == "chain"] == [
        ("warn", f"it continues session {alone.resumes}, which is not among the files given")
    ]


def test_recording_that_continues_somebody_elses_fails(original: Path, tmp_path: Path) -> None:
    first, second = Path(shutil.copy(original, tmp_path / "a.h5")), Path(shutil.copy(original, tmp_path / "b.h5"))
    resumed(first, second)
    with h5py.File(second, "r+") as file:
        file.attrs["participant"] = "p99"
    result = verify_recordings([first, second], replay=False)
    assert "another participant's" in failing(result.recordings[1])["chain"]


@pytest.mark.parametrize(("expected", "passed"), [(0, False), (1, True), (2, False), (None, True)])
def test_number_of_complete_sittings_must_be_the_one_expected(
    original: Path, expected: int | None, passed: bool
) -> None:
    result = verify_recordings([original], expected=expected, replay=False)
    assert (result.passed, result.sittings) == (passed, 1)
    assert json.loads(json.dumps(result.json(), allow_nan=False))["passed"] is passed


def test_session_that_still_runs_is_said_to_and_left_alone(original: Path, tmp_path: Path) -> None:
    partial = Path(shutil.copy(original, tmp_path / (original.name + ".partial")))
    asked: list[tuple[Path, str]] = []

    def running(folder: Path, session_id: str) -> bool:
        asked.append((folder, session_id))
        return True

    result = verify_recordings([partial], running=running)
    assert result.passed
    assert [(one.check, one.outcome) for one in result.recordings[0].findings] == [("state", "skipped")]
    assert asked == [(tmp_path, result.recordings[0].session_id)]


def test_unreadable_file_fails_and_the_others_are_still_checked(original: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.h5"
    torn.write_bytes(b"torn")
    result = verify_recordings([torn, original])
    assert [one.outcome for one in result.recordings] == ["fail", "ok"]
    assert failing(result.recordings[0]).keys() == {"readable"}


def test_parallel_checks_find_the_same_in_the_same_order(original: Path, tmp_path: Path) -> None:
    paths = [Path(shutil.copy(original, tmp_path / f"{index}.h5")) for index in range(8)]
    with h5py.File(paths[5], "r+") as file:
        file["episodes/000/action"][0] = 5
    told: list[Path] = []
    result = verify_recordings(paths, jobs=2, replay=False, on_recording=lambda one: told.append(one.path))
    assert sorted(told) == paths
    assert result == verify_recordings(paths, jobs=1, replay=False)
    assert [one.path for one in result.recordings] == paths


def test_a_checking_process_that_is_killed_is_told_of() -> None:
    with pytest.raises(RacerError, match="a process that checked a recording was killed"):
        list(in_parallel(os._exit, [1], 1, "a recording", did="checked"))


def test_folders_stand_for_their_recordings_and_a_finished_one_for_its_original(original: Path, tmp_path: Path) -> None:
    finished = Path(shutil.copy(original, tmp_path))
    shutil.copy(original, str(finished) + ".partial")
    killed = Path(shutil.copy(original, tmp_path / "other.h5.partial"))
    assert set(find_files([tmp_path, finished])) == {finished, killed}
    for nothing in (tmp_path / "absent", tmp_path / "absent.h5"):
        with pytest.raises(ConfigError, match="check the name"):
            find_files([nothing])


# What follows from name, seed and order ---------------------------------------------------------------------------


def relabel(path: Path, labels: dict[str, str]) -> None:
    with h5py.File(path, "r+") as file:
        for episode in file["episodes"].values():
            episode.attrs["condition"] = labels.get(episode.attrs["condition"], episode.attrs["condition"])


def test_exchanged_labels_are_found(recording: Path) -> None:
    relabel(recording, {"random": "pico", "pico": "random"})
    assert "was due" in failing(verify_recording(recording))["schedule"]


def test_exchanged_labels_are_found_where_the_order_is_changed_with_them(recording: Path) -> None:
    relabel(recording, {"random": "pico", "pico": "random"})

    def exchange(config: dict[str, Any]) -> None:
        names = {"random": "pico", "pico": "random"}
        config["protocol"]["conditions"] = [names.get(name, name) for name in config["protocol"]["conditions"]]

    configure(recording, exchange)
    found = failing(verify_recording(recording))
    assert "not the one that was to be drawn" in found["schedule"]


def test_without_random_masks_labels_exchanged_with_the_order_are_for_the_seal_to_find(tmp_path: Path) -> None:
    """All orders of three conditions are rows of a Latin square, so that any exchange makes another row."""
    path = record(tmp_path, protocol=replace(PROTOCOL, practice=0, conditions=("full", "coarse", "pico"), steps=3))
    relabel(path, names := {"full": "coarse", "coarse": "pico", "pico": "full"})

    def exchange(config: dict[str, Any]) -> None:
        config["protocol"]["conditions"] = [names[name] for name in config["protocol"]["conditions"]]

    configure(path, exchange)
    found = verify_recording(path, replay=False).findings
    assert [each.outcome for each in found if each.check in ("schedule", "seal")] == ["fail", "ok"]


def test_person_who_was_renamed_everywhere_is_found(recording: Path) -> None:
    configure(recording, lambda config: config.update(participant="p02"))
    with h5py.File(recording, "r+") as file:
        file.attrs["participant"] = "p02"
    renamed = recording.rename(recording.with_name(recording.name.replace("p01_", "p02_")))
    assert "on seed" in failing(verify_recording(renamed))["schedule"]


@pytest.mark.parametrize("name", ["participant", "driver", "trial_run"])
def test_what_the_session_says_otherwise_than_its_configuration_is_found(recording: Path, name: str) -> None:
    values = {"participant": "p02", "driver": "keyboard", "trial_run": True}
    with h5py.File(recording, "r+") as file:
        file.attrs[name] = values[name]
    assert name in failing(verify_recording(recording))["schedule"]


def test_episode_taken_out_of_the_middle_is_found(recording: Path) -> None:
    with h5py.File(recording, "r+") as file:
        episodes = file["episodes"]
        last = len(episodes) - 1
        del episodes["002"]
        for index in range(3, last + 1):
            episodes.move(f"{index:03d}", f"{index - 1:03d}")
        file.attrs["status"] = "aborted"
    assert "was due" in failing(verify_recording(recording))["schedule"]


def test_a_sitting_continued_among_episodes_that_look_alike_is_in_order(tmp_path: Path) -> None:
    pilot = replace(PROTOCOL, protocol="pilot", practice=0, calibration=1, exploration=5, seeds=(42,), steps=3)
    path = record(tmp_path, protocol=pilot)
    with h5py.File(path, "r+") as file:
        del file.attrs["seal"]
        file.attrs["resumes"] = file.attrs["session_id"]
        file.attrs["session_id"] = "ffffff"
        for name in ("000", "001", "002", "003"):
            del file["episodes"][name]
        for index, name in enumerate(("004", "005")):
            file["episodes"].move(name, f"{index:03d}")
    assert "schedule" not in failing(verify_recording(path))
    with h5py.File(path, "r+") as file:
        file["episodes/001/mask"][:] = file["episodes/001/mask"][()][:, ::-1]
    assert "not the one that was to be drawn" in failing(verify_recording(path))["schedule"]
