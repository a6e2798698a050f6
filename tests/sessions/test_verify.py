"""What can be told from a file alone: whatever is spoilt in a recording is found and named."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from session_builders import EPISODE, SESSION, TASK, random_steps, write_recording

from sessions import Episode, EpisodeInfo, Recorder, Step
from sessions.maintenance.repair import repair
from sessions.schema import episode_columns
from sessions.seal import Chain
from sessions.verify import OUTCOMES, Check, Columns, Finding, verify

STEPS = 6
INFO = replace(EPISODE, condition="random", bits_per_step=85)
CONDITIONS = ("random", "full", "raw", "erased")
FEW_BLOCKS = np.arange(TASK.blocks) < TASK.blocks // 2
UPLINK_BITS = 2
LAST = len(TASK.actions) - 1


def plausible_steps(start_ns: int, condition: str = "random") -> Iterator[Step]:
    """Return steps that nothing is wrong with, as far as the file alone can tell; of `erased` the first is lost."""
    for index, step in enumerate(random_steps(STEPS, seed=start_ns)):
        lost = condition == "erased" and index == 0
        yield replace(
            step,
            time_ns=start_ns + index * 100,
            response_ns=start_ns + index * 100 - 7,
            received=step.latent if condition == "raw" else step.received,
            mask=np.ones(TASK.blocks, np.bool_) if condition in ("raw", "full") else FEW_BLOCKS,
            packet=b"" if condition == "raw" else bytes(INFO.packet_bytes) if lost else step.packet,
            bits=0 if condition == "raw" else INFO.bits_per_step,
            uplink_bits=UPLINK_BITS,
            arrived=not lost,
        )


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with Recorder(tmp_path_factory.mktemp("original"), SESSION) as recorder:
        for index, condition in enumerate(CONDITIONS):
            start_ns = 1000 * (index + 1)
            info = replace(INFO, started_ns=start_ns - 1, noisy=condition == "erased")
            if condition == "raw":
                info = replace(info, bits_per_step=0, packet_bytes=0)
            recorder.begin_episode(replace(info, condition=condition))
            for step in plausible_steps(start_ns, condition):
                recorder.append(step)
            recorder.end_episode("complete")
        return recorder.close("complete")


@pytest.fixture
def recording(original: Path, tmp_path: Path) -> Path:
    """A copy of a recording, to be spoilt."""
    return Path(shutil.copy(original, tmp_path))


def outcomes(path: Path) -> dict[str, str]:
    """Return the checks that are not in order, and their outcome, but for the seal, which every change breaks."""
    return {
        finding.check: finding.outcome
        for finding in verify(path)
        if finding.outcome != "ok" and finding.check != "seal"
    }


def detail(path: Path, check: str) -> str:
    (found,) = [finding.detail for finding in verify(path) if finding.check == check]
    return found


CHECKS = ["readable", "name", "state", "times", "values", "bits", "masks", "seal"]


def test_untouched_recording_passes_every_check(original: Path) -> None:
    findings = verify(original)
    assert [finding.check for finding in findings] == [
        *["readable", "name", "state", "times", "values", "bits", "masks", "seal"]
    ]
    assert {(finding.outcome, finding.detail) for finding in findings} == {("ok", "")}


Spoil = Callable[[h5py.Group], None]


def write(column: str, row: int | tuple[int, ...], value: object) -> Spoil:
    def spoil(group: h5py.Group) -> None:
        group[column][row] = value

    return spoil


def note(name: str, value: object) -> Spoil:
    def spoil(group: h5py.Group) -> None:
        group.attrs[name] = value

    return spoil


@pytest.mark.parametrize(
    ("spoil", "check", "told"),
    [
        (write("time_ns", 3, 1200), "times", "time_ns does not increase at step 3"),
        (write("time_ns", 3, 1100), "times", "time_ns does not increase at step 3"),
        (write("time_ns", 5, 2**62), "times", "time_ns jumps by more than a day at step 5"),
        (write("time_ns", 0, 998), "times", "time_ns at step 0 is not soon after the episode's start"),
        (note("started_ns", -(2**62)), "times", "time_ns at step 0 is not soon after"),
        (write("time_ns", 5, 1999), "times", "episode 1: it starts before the end of the one before"),
        (write("response_ns", 2, -(2**62)), "times", "response_ns is not near time_ns"),
        (write("response_ns", 2, 2**62), "times", "response_ns is not near time_ns"),
        (write("action", 2, LAST + 1), "values", "action is out of its range at step 2"),
        (write("progress", 5, 1.001), "values", "progress is out of its range at step 5"),
        (write("speed", 0, np.inf), "values", "speed is not finite at step 0"),
        (write("speed", 0, -1), "values", "speed is out of its range at step 0"),
        (write("reward", 1, np.nan), "values", "reward is not finite at step 1"),
        (write("latent", (2, TASK.latents - 1), np.nan), "values", "latent is not finite at step 2"),
        (write("received", (2, 0), np.inf), "values", "received is not finite at step 2"),
        (write("bits", 3, 86), "bits", "bits at step 3 are 86 of 85"),
        (write("uplink_bits", 3, UPLINK_BITS + 1), "bits", "uplink_bits at step 3 are 3 of 2"),
        (write("arrived", 3, False), "bits", "packet at step 3 has not arrived and is not empty (and 1 more)"),
        (note("bits_per_step", 89), "bits", "11 bytes cannot hold a packet of 89 bits"),
        (write("mask", (4, 0), False), "masks", "mask changes at step 4 of an episode with one mask"),
        (note("status", "running"), "state", "it is marked as running"),
    ],
)
def test_what_is_spoilt_in_an_episode_is_found_and_named(recording: Path, spoil: Spoil, check: str, told: str) -> None:
    with h5py.File(recording, "r+") as file:
        spoil(file["episodes/000"])
    assert outcomes(recording)[check] == "fail"
    assert told in detail(recording, check)


def test_packets_may_be_lost_where_there_is_noise_and_leave_nothing_behind(recording: Path) -> None:
    with h5py.File(recording, "r+") as file:
        file["episodes/000/packet"][2] = 0
        file["episodes/000/arrived"][2] = False
    assert detail(recording, "bits") == "episode 0: packet at step 2 was lost where nothing can be"
    with h5py.File(recording, "r+") as file:
        file["episodes/000"].attrs["noisy"] = True
    assert outcomes(recording) == {}
    with h5py.File(recording, "r+") as file:
        file["episodes/003/packet"][0, 4] = 1
    assert detail(recording, "bits") == "episode 3: packet at step 0 has not arrived and is not empty"


@pytest.mark.parametrize("paced", [False, True])
def test_whoever_answers_has_seen_the_question_unless_the_task_moves_on_by_itself(tmp_path: Path, paced: bool) -> None:
    with Recorder(tmp_path, replace(SESSION, task=replace(TASK, paced=paced))) as recorder:
        recorder.begin_episode(replace(INFO, started_ns=999))
        for step in plausible_steps(1000):
            recorder.append(step)
        recorder.end_episode("complete")
    assert outcomes(recorder.final_path) == ({} if paced else {"times": "fail"})


def test_a_condition_that_sends_everything_sends_everything(recording: Path) -> None:
    with h5py.File(recording, "r+") as file:
        file["episodes/001/mask"][:, 2] = False
        file["episodes/002/received"][1, 7] += 1
    assert outcomes(recording) == {"masks": "fail"}
    assert detail(recording, "masks") == "episode 1: mask leaves blocks out in condition full (and 1 more)"


def test_columns_of_different_lengths_are_found_and_the_other_episodes_still_checked(recording: Path) -> None:
    with h5py.File(recording, "r+") as file:
        file["episodes/000/reward"].resize(STEPS - 1, axis=0)
        file["episodes/001/action"][0] = LAST + 1
    assert outcomes(recording) == {"readable": "fail", "values": "fail"}
    assert "the columns of episode 0 differ in length" in detail(recording, "readable")


def test_number_of_steps_that_is_not_that_of_the_rows_is_found(recording: Path) -> None:
    with h5py.File(recording, "r+") as file:
        file["episodes/002"].attrs["n_steps"] = STEPS + 1
    assert outcomes(recording) == {"readable": "fail"}


@pytest.mark.parametrize("content", [b"", b"torn", b"\x89HDF\r\n\x1a\n" * 100])
def test_file_that_cannot_be_opened_fails_one_check(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "torn.h5").write_bytes(content)
    (finding,) = verify(tmp_path / "torn.h5")
    assert (finding.check, finding.outcome) == ("readable", "fail")


def test_data_that_lie_in_another_file_are_refused(recording: Path) -> None:
    with h5py.File(recording, "r+") as file:
        del file["episodes/000/time_ns"]
        file["episodes/000/time_ns"] = h5py.ExternalLink("/etc/passwd", "/")
    assert outcomes(recording) == {"readable": "fail"}
    assert "only a link" in detail(recording, "readable")


def test_renamed_file_is_pointed_out(recording: Path) -> None:
    renamed = recording.rename(recording.with_name("renamed.h5"))
    assert outcomes(renamed) == {"name": "warn"}
    assert recording.name in detail(renamed, "name")


def test_session_that_never_ended_fails_under_a_finished_name_and_is_pointed_out_under_its_own(recording: Path) -> None:
    with h5py.File(recording, "r+") as file:
        file.attrs["status"] = "running"
    assert outcomes(recording) == {"state": "fail"}
    partial = recording.rename(str(recording) + ".partial")
    assert outcomes(partial) == {"state": "warn"}
    assert "racer session repair" in detail(partial, "state")


def test_repaired_recording_passes_beside_its_original_and_fails_if_that_holds_more(recording: Path) -> None:
    with h5py.File(recording, "r+") as file:
        file.attrs["status"] = "running"
        file["episodes/002"].attrs["status"] = "running"
    partial = recording.rename(str(recording) + ".partial")
    repaired = repair(partial)
    assert outcomes(repaired) == {}
    with h5py.File(partial, "r+") as file:
        file["episodes/002/action"][0] = (file["episodes/002/action"][0] + 1) % (LAST + 1)
    assert outcomes(repaired) == {"state": "fail"}
    assert "holds what this file does not: column action of episode 2" in detail(repaired, "state")
    partial.write_bytes(b"torn")
    assert outcomes(repaired) == {"state": "warn"}


def test_many_findings_of_a_check_are_told_as_one(recording: Path) -> None:
    with h5py.File(recording, "r+") as file:
        for name in ("000", "001", "002"):
            file[f"episodes/{name}/action"][3] = LAST + 1
    assert detail(recording, "values") == "episode 0: action is out of its range at step 3 (and 2 more)"


class Curious(Check):
    """Keeps what it is shown."""

    name = "curious"

    def __init__(self) -> None:
        self.shown: list[tuple[int, Columns]] = []

    def episode(self, episode: Episode, columns: Columns) -> Iterator[Finding]:
        self.shown.append((episode.index, columns))
        yield self.found("warn", "!")


def test_frames_are_looked_at_as_well(tmp_path: Path) -> None:
    path = write_recording(tmp_path, frames=True)
    with h5py.File(path, "r+") as file:
        file["episodes/000/frame"].id.write_direct_chunk((3, 0, 0, 0), b"no deflate")
    assert outcomes(path)["readable"] == "fail"


def test_further_checks_are_shown_every_column_of_every_episode(original: Path) -> None:
    check = Curious()
    assert verify(original, [check])[-1] == Finding("curious", "warn", f"! (and {len(CONDITIONS) - 1} more)")
    assert [index for index, _ in check.shown] == list(range(len(CONDITIONS)))
    wanted = set(episode_columns(TASK, linked=False, frames=False))
    assert all(set(columns) == wanted for _, columns in check.shown)


def test_outcomes_are_ordered_from_best_to_worst() -> None:
    assert OUTCOMES == ("ok", "skipped", "warn", "fail")


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_one_damaged_time_is_always_found(
    original: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Flip a bit that is worth more than the longest step; a smaller change may be what happened."""
    path = Path(shutil.copy(original, tmp_path_factory.mktemp("flipped")))
    episode, row, bit = (
        data.draw(st.integers(0, len(CONDITIONS) - 1)),
        data.draw(st.integers(0, STEPS - 1)),
        data.draw(st.integers(47, 63)),
    )
    with h5py.File(path, "r+") as file:
        column = file[f"episodes/{episode:03d}/time_ns"]
        values = column[:]
        values.view(np.uint64)[row] ^= np.uint64(1 << bit)
        column[:] = values
    assert outcomes(path) == {"times": "fail"}
    assert "time_ns" in detail(path, "times")


# The seal ---------------------------------------------------------------------------------------------------------


def seal(path: Path) -> str:
    (found,) = [finding.outcome for finding in verify(path) if finding.check == "seal"]
    return found


def edit_answer(file: h5py.File) -> None:
    row = file["answers"][0]
    row["answer"] = b"7"
    file["answers"][0] = row


def edit_event(file: h5py.File) -> None:
    row = file["events"][0]
    row["time_ns"] += 1
    file["events"][0] = row


CHANGES: dict[str, Callable[[h5py.File], object]] = {
    "an answer": edit_answer,
    "an event": edit_event,
    "the driver": lambda file: file.attrs.update(driver="somebody"),
    "the study": lambda file: file.attrs.update(study="another"),
    "the status": lambda file: file.attrs.update(status="aborted"),
    "a rejection": lambda file: file["episodes/000"].attrs.update(rejected=True),
    "all times of an episode": lambda file: file["episodes/000/response_ns"].write_direct(
        file["episodes/000/response_ns"][:] + 1
    ),
    "a label": lambda file: file["episodes/000"].attrs.update(phase="practice2"),
    "a frame": lambda file: file["episodes/001/frame"].write_direct(255 - file["episodes/001/frame"][:]),
    "the last episode": lambda file: file["episodes"].__delitem__("001"),
}


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A recording with frames, an event and an answer, and a rejected episode that is driven again."""
    with Recorder(tmp_path, SESSION, keep_frames=True) as recorder:
        recorder.answer("consent/0/-/consent", "accepted", 1)
        recorder.event("key_down", "left", 2, 0, 0)
        for index in range(2):
            recorder.begin_episode(EPISODE)
            for step in random_steps(70, seed=index, frame=True):
                recorder.append(step)
            recorder.end_episode("complete")
        recorder.reject_episode()
        return recorder.close("complete")


def test_sealed_recording_is_as_it_was_recorded(sealed: Path) -> None:
    assert seal(sealed) == "ok"


@pytest.mark.parametrize("what", CHANGES)
def test_seal_tells_that_something_was_changed(sealed: Path, what: str) -> None:
    with h5py.File(sealed, "r+") as file:
        CHANGES[what](file)
    assert seal(sealed) == "fail"


def test_recording_without_a_seal_is_not_checked(sealed: Path) -> None:
    with h5py.File(sealed, "r+") as file:
        del file.attrs["seal"]
    assert seal(sealed) == "skipped"


def test_episode_that_runs_when_the_session_ends_is_sealed_too(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, SESSION)
    recorder.begin_episode(EPISODE)
    for step in random_steps(70):
        recorder.append(step)
    assert seal(recorder.close("aborted")) == "ok"


def test_numbers_of_numpy_are_sealed_as_the_file_holds_them(tmp_path: Path) -> None:
    def recorded(folder: Path, info: EpisodeInfo) -> Path:
        with Recorder(folder, SESSION, clock=lambda: 0) as recorder:
            recorder.begin_episode(info)
            for step in random_steps(3):
                recorder.append(step)
            recorder.end_episode("complete")
            return recorder.close("complete")

    numbers: dict[str, Any] = {
        name: np.int64(getattr(EPISODE, name)) for name in ("seed", "bits_per_step", "packet_bytes")
    }
    theirs = recorded(tmp_path / "numpy", replace(EPISODE, **numbers))
    assert seal(theirs) == "ok"
    with h5py.File(theirs) as one, h5py.File(recorded(tmp_path / "plain", EPISODE)) as other:
        assert one.attrs["seal"] == other.attrs["seal"]


def test_seal_of_a_recording_stays_what_it_was(tmp_path: Path) -> None:
    """The bytes that are hashed are part of the format: older recordings must still verify."""
    chain = Chain(SESSION)
    chain.add_episode(EPISODE, "complete", 3, {"action": "ab"})
    assert (
        chain.close("complete", "cd", "ef", [2, 1])
        == "a98e1f140f56896c748044b28d5986a7b33464799a83725de2404ad40545ca37"
    )
