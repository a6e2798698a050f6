from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import minari
import numpy as np
import pytest
from footage_builders import CONDITIONS, STEPS, Walk, copy_recording, golden, other_progress, record

import sessions
from compression.channel import Channel, InProcess, ReceiverEnd, SenderEnd
from compression.coders.blocks import BlockReceiver, BlockSender, full_layout
from compression.coders.packet import layout_for
from compression.fill import FillName
from compression.masks import FixedMask
from compression.model.latent_model import LatentModel
from compression.noise import Link
from racer.errors import ConfigError
from racer.loop.conditions import ChannelConfig
from racer.recordings.minari_export import MinariSummary, export_minari
from racer.recordings.rerun import Rerun
from racer.recordings.withdrawal import find_traces
from sessions.export.folder import ExportError
from sessions.extras import MissingPackageError
from sessions.maintenance.withdraw import plan_withdrawal

Load = Callable[[Path], Any]


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """Return a folder that has its surroundings for itself: a withdrawal looks there too."""
    folder = tmp_path / "desk"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("recordings"))


@pytest.fixture(scope="module")
def shown(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> MinariSummary:
    return export_minari([recording], tmp_path_factory.mktemp("datasets") / "driving-v0")


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    def load_one(out: Path) -> Any:
        monkeypatch.setenv("MINARI_DATASETS_PATH", str(out.parent))
        return minari.load_dataset(out.name)

    return load_one


def test_minari_opens_the_dataset_and_finds_the_recording_in_it(
    recording: Path, shown: MinariSummary, load: Load
) -> None:
    dataset = load(shown.out)
    assert (dataset.total_episodes, dataset.total_steps) == (len(CONDITIONS), len(CONDITIONS) * STEPS)
    assert (shown.episodes, shown.steps, shown.left_out, shown.last_repeated) == (3, 3 * STEPS, {}, 0)
    with sessions.open(recording) as session:
        after = [metric.name for metric in session.info.task.metrics]
        for episode, data in zip(session.episodes, dataset, strict=True):
            assert np.array_equal(data.actions, episode.action)
            assert data.rewards.tobytes() == episode["reward"].tobytes()
            assert not data.terminations.any()
            assert data.truncations.tolist() == [False] * (STEPS - 1) + [True]
            for name in after:
                assert data.infos[name][1:].tobytes() == episode[name].tobytes()
                assert not data.infos[name][0].any()
            names = ["bits", "uplink_bits", "arrived", "mask", "received", "latent", "time_ns", "response_ns"]
            names += ["packet"] * (episode.info.condition != "raw")
            assert set(data.infos) == {*names, *after}
            for name in names:
                assert data.infos[name][:-1].tobytes() == episode[name].tobytes()
            (metadata,) = dataset.storage.get_episode_metadata([data.id])
            assert metadata["seed"] == episode.info.seed
            assert metadata["session_id"] == session.info.session_id
            assert json.loads(metadata["episode_info"])["condition"] == episode.info.condition
            assert dataset.action_space.contains(data.actions[0])
            assert all(dataset.observation_space.contains(frame) for frame in data.observations)


def test_dataset_says_whom_it_holds_so_that_a_withdrawal_finds_it(
    recording: Path, shown: MinariSummary, tmp_path: Path
) -> None:
    (tmp_path / "study.toml").touch()
    data = tmp_path / "recordings"
    data.mkdir()
    shutil.copy(recording, data)
    shutil.copytree(shown.out, tmp_path / "sets" / "driving-v0")
    with sessions.open(recording) as session:
        participant = session.info.participant
    (trace,) = find_traces(plan_withdrawal(participant, data))
    assert (trace.path, trace.kind) == (tmp_path / "sets" / "driving-v0", "export")
    assert find_traces(plan_withdrawal("p99", data)) == []


def test_observations_are_what_the_driver_saw_to_the_last_pixel(
    recording: Path, shown: MinariSummary, load: Load, model: LatentModel
) -> None:
    with sessions.open(recording) as session:
        for episode, data in zip(session.episodes, load(shown.out), strict=True):
            assert data.observations.shape == (STEPS + 1, 64, 64, 3)
            with closing(Rerun(session.info, episode)) as again:
                for step in range(STEPS):
                    raw = episode.info.condition == "raw"
                    seen = again.frame(step) if raw else model.decode_latent(episode.received[step])
                    assert np.array_equal(data.observations[step], seen)


@pytest.mark.parametrize("fill", ["hold", "prior", "predict"])
def test_the_observation_after_the_last_action_is_what_the_channel_would_have_shown(
    tmp_path: Path, load: Load, model: LatentModel, fill: FillName
) -> None:
    path = record(tmp_path, steps=6, channel=ChannelConfig(fill=fill))
    with sessions.open(path) as session:
        dataset = load(export_minari([path], tmp_path / "driving-v0").out)
        for episode, data in zip(session.episodes, dataset, strict=True):
            with closing(Rerun(session.info, episode)) as again:
                if episode.info.condition == "raw":
                    assert np.array_equal(data.observations[-1], again.frame(6))
                    continue
                layout = full_layout(model.sizes) if episode.info.condition == "full" else layout_for(85, model.sizes)
                policy = FixedMask(episode.mask[0].astype(np.float32))
                channel = Channel(
                    SenderEnd(BlockSender(model, layout, policy, "episode"), layout.slot_bits, layout.slots),
                    InProcess(Link("none", 0.0, np.random.default_rng(0))),
                    ReceiverEnd(BlockReceiver(model, layout, fill)),
                )
                action = 1
                for step in range(7):
                    sent, received = channel.transmit(again.frame(step), action)
                    if step < 6:
                        assert sent.packet == episode.packet[step].tobytes()
                        action = int(episode.action[step])
                assert received.shown is not None
                assert np.array_equal(data.observations[-1], received.shown)


def test_originals_are_frames_of_the_trial_and_the_environment_repeats_them(
    recording: Path, tmp_path: Path, load: Load
) -> None:
    dataset = load(export_minari([recording], tmp_path / "original-v3", original=True).out)
    environment = dataset.recover_environment()
    for data in dataset:
        (metadata,) = dataset.storage.get_episode_metadata([data.id])
        frame, _ = environment.reset(seed=metadata["seed"])
        assert np.array_equal(data.observations[0], frame)
        for step, action in enumerate(data.actions):
            frame, reward, terminated, _, _ = environment.step(action)
            assert np.array_equal(data.observations[step + 1], frame)
            assert np.float32(reward) == data.rewards[step]
            assert terminated == data.terminations[step]
    environment.close()


def test_rejected_and_aborted_episodes_are_not_in_it(recording: Path, tmp_path: Path, load: Load) -> None:
    folder = tmp_path / "recordings"
    copy_recording(recording, folder, lambda info: replace(info, session_id="00000a"), end="aborted")
    with pytest.raises(ExportError, match="none of the episodes"):
        export_minari([folder], tmp_path / "none-v0")
    assert sorted(tmp_path.iterdir()) == [folder]
    copy_recording(recording, folder, lambda info: replace(info, session_id="00000b"))
    summary = export_minari([folder], tmp_path / "some-v0")
    assert summary.episodes == 3
    (path,) = folder.glob("*00000b.h5")
    with h5py.File(path, "r+") as file:
        file["episodes/001"].attrs["rejected"] = True
    assert export_minari([folder], tmp_path / "fewer-v0").episodes == 2


def test_trial_runs_and_actions_that_there_are_not_are_left_out(recording: Path, tmp_path: Path) -> None:
    trial = copy_recording(recording, tmp_path, lambda info: replace(info, session_id="00000d", trial_run=True))
    summary = export_minari([trial, recording], tmp_path / "most-v0")
    assert (summary.episodes, list(summary.left_out)) == (3, [str(trial)])
    odd = copy_recording(recording, tmp_path, lambda info: replace(info, session_id="00000e"))
    with h5py.File(odd, "r+") as file:
        file["episodes/000/action"][2] = 5
    assert export_minari([odd], tmp_path / "fewer-v0").episodes == 2


def test_an_episode_that_goes_otherwise_repeats_its_last_observation_or_is_left_out(
    recording: Path, tmp_path: Path, load: Load, model: LatentModel
) -> None:
    path = copy_recording(recording, tmp_path, step=other_progress)
    summary = export_minari([path], tmp_path / "shown-v0")
    assert (summary.episodes, summary.last_repeated) == (2, 2)
    with sessions.open(path) as session:
        (raw,) = [episode.index for episode in session.episodes if episode.info.condition == "raw"]
    assert list(summary.left_out) == [f"{path}, episode {raw}"]
    for data in load(summary.out):
        assert np.array_equal(data.observations[-1], data.observations[-2])
    with pytest.raises(ExportError, match="goes differently"):
        export_minari([path], tmp_path / "original-v0", original=True)


def test_other_weights_leave_only_the_originals(recording: Path, tmp_path: Path) -> None:
    path = copy_recording(recording, tmp_path, session=lambda info: replace(info, model_sha256="ab" * 32))
    summary = export_minari([path], tmp_path / "shown-v0")
    assert summary.episodes == 1
    assert all("other weights" in reason for reason in summary.left_out.values())
    assert export_minari([path], tmp_path / "original-v0", original=True).episodes == 3


def test_sessions_under_different_settings_name_no_environment(recording: Path, tmp_path: Path, load: Load) -> None:
    def faster(info: sessions.SessionInfo) -> sessions.SessionInfo:
        task = replace(info.task, settings={**info.task.settings, "speed": 60.0})
        return replace(info, session_id="00000c", task=task)

    other = copy_recording(recording, tmp_path, faster)
    assert load(export_minari([recording, other], tmp_path / "both-v0").out).env_spec is None


def test_another_task_is_exported_with_its_frames_metrics_and_rewards(walk: Walk, tmp_path: Path, load: Load) -> None:
    summary = export_minari([walk.path], tmp_path / "walk-v0", model=walk.model)
    assert (summary.episodes, summary.left_out, summary.last_repeated) == (3, {}, 0)
    dataset = load(summary.out)
    assert "0 rest, 1 up, 2 down" in dataset.storage.metadata["description"]
    environment = dataset.recover_environment()
    for data in dataset:
        assert data.observations.shape == (STEPS + 1, 24, 32, 1)
        assert np.array_equal(data.rewards, -np.diff(data.infos["distance"].astype(np.float64)).astype(np.float32))
        (metadata,) = dataset.storage.get_episode_metadata([data.id])
        environment.reset(seed=metadata["seed"])
        for action, reward in zip(data.actions, data.rewards, strict=True):
            assert environment.step(action)[1] == pytest.approx(reward, abs=1e-6)
    environment.close()


def test_a_task_that_is_not_installed_is_exported_as_far_as_it_was_shown(
    walk: Walk, tmp_path: Path, load: Load
) -> None:
    walk.uninstall()
    summary = export_minari([walk.path], tmp_path / "walk-v0", model=walk.model)
    assert (summary.episodes, summary.last_repeated) == (2, 2)
    assert load(summary.out).env_spec is None
    with pytest.raises(ExportError, match="task grey-walk is not installed"):
        export_minari([walk.path], tmp_path / "none-v0")


def test_different_tasks_are_not_mixed(recording: Path, walk: Walk, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one task") as error:
        export_minari([recording, walk.path], tmp_path / "both-v0")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "both-v0").exists()


def test_recordings_of_version_0_1_0_are_exported_like_new_ones(tmp_path: Path, load: Load) -> None:
    old = tmp_path / "old"
    paths = [golden(name, old) for name in ("pilot01", "eval01", "noisy01")]
    summary = export_minari([old], tmp_path / "old-v0")
    assert (summary.recordings, summary.episodes, summary.left_out) == (3, 4 + 6 + 2, {})
    dataset = load(summary.out)
    assert dataset.env_spec is not None
    episodes = iter(dataset)
    for path in sessions.find_recordings(old):
        with sessions.open(path) as session:
            for episode in session.episodes:
                assert np.array_equal(next(episodes).actions, episode.action)
    assert set(paths) == set(sessions.find_recordings(old))


def test_texts_too_long_for_an_attribute_leave_their_episode_out(recording: Path, tmp_path: Path) -> None:
    path = copy_recording(recording, tmp_path, episode=lambda info: replace(info, phase="x" * 2**16))
    with pytest.raises(ExportError, match="too long"):
        export_minari([path], tmp_path / "long-v0")


@pytest.mark.parametrize(
    ("name", "suggested"),
    [
        ("landing", "landing-v0"),
        ("driving-v", "driving-v0"),
        ("a b-v0", "a-b-v0"),
        ("v0", "recordings-v0"),
        ("\u00e9-v0", "recordings-v0"),
    ],
)
def test_a_name_that_minari_would_refuse_is_refused_first(
    recording: Path, tmp_path: Path, name: str, suggested: str
) -> None:
    with pytest.raises(ConfigError, match=f"use --out .*/{suggested}$"):
        export_minari([recording], tmp_path / name)


def test_without_minari_one_line_says_what_to_install(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(MissingPackageError, match=r'pip install "minari>=0\.5\.4"') as error:
        export_minari([recording], tmp_path / "driving-v0")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_leaves_nothing(recording: Path, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_minari([recording], tmp_path / "driving-v0", progress=interrupt)
    assert list(tmp_path.iterdir()) == []
