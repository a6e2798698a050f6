from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from session_builders import EPISODE, SESSION, SMALL_TASK, TASK, Clock, assert_holds, random_step, write_recording

import sessions
from sessions import (
    SCHEMA_VERSION,
    EpisodeInfo,
    Metric,
    Recorder,
    SessionInfo,
    TaskRecord,
    UnreadableRecordingError,
)

TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}x", fullmatch=True)
METRICS = st.builds(
    Metric,
    name=NAMES,
    meaning=NAMES,
    unit=NAMES,
    better=st.sampled_from(["higher", "lower"]),
    low=st.none() | st.sampled_from([-1e3, 0, 0.1]),
    high=st.none() | st.sampled_from([0.3, 7]),
    trial=st.sampled_from(["last", "mean"]),
    boolean=st.booleans(),
    label=NAMES,
)


@st.composite
def tasks(draw: st.DrawFn) -> TaskRecord:
    blocks = draw(st.integers(1, 6))
    actions = tuple(draw(st.lists(NAMES, min_size=2, max_size=6, unique=True)))
    return TaskRecord(
        name=draw(NAMES),
        settings=draw(st.dictionaries(TEXT, JSON, max_size=3)),
        frame=(draw(st.integers(8, 20)), draw(st.integers(8, 20)), draw(st.sampled_from([1, 3]))),
        actions=actions,
        neutral=draw(st.none() | st.integers(0, len(actions) - 1)),
        metrics=tuple(draw(st.lists(METRICS, min_size=1, max_size=4, unique_by=lambda metric: metric.name))),
        latents=blocks * draw(st.integers(1, 5)),
        blocks=blocks,
        paced=draw(st.booleans()),
        step_seconds=draw(st.sampled_from([0.02, 1])),
    )


SESSIONS = st.builds(
    SessionInfo,
    session_id=st.from_regex(r"[0-9a-f]{6}", fullmatch=True),
    participant=st.from_regex(r"[a-z0-9_][a-zA-Z0-9_-]{0,20}", fullmatch=True),
    protocol=st.sampled_from(["pilot", "evaluation"]),
    study=TEXT,
    trial_run=st.booleans(),
    config=st.dictionaries(TEXT, JSON, max_size=3),
    created_utc=st.just(SESSION.created_utc),
    software=st.dictionaries(TEXT, TEXT, max_size=3),
    model_sha256=TEXT,
    fitted_sha256=TEXT,
    driver=TEXT,
    task=tasks(),
)
EPISODES = st.builds(
    EpisodeInfo,
    phase=TEXT,
    condition=st.sampled_from(["full", "pico", "random"]),
    seed=st.integers(0, 2**63 - 1),
    bits_per_step=st.integers(0, 2**16),
    mask_interval=st.sampled_from(["episode", "step"]),
    fill=st.sampled_from(["prior", "hold", "predict"]),
    packet_bytes=st.integers(0, 40),
    started_ns=st.integers(-(2**63), 2**63 - 1),
    noisy=st.booleans(),
    linked=st.booleans(),
)


@settings(max_examples=40, deadline=None)
@given(
    info=SESSIONS,
    episodes=st.lists(
        st.tuples(EPISODES, st.sampled_from([0, 1, 5, 127, 128, 129, 300]), st.sampled_from(["complete", "aborted"])),
        max_size=3,
    ),
    step_ns=st.sampled_from([0, 20_000_000, 900_000_000]),
    frames=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_what_was_recorded_is_read_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory,
    info: SessionInfo,
    episodes: list[tuple[EpisodeInfo, int, str]],
    step_ns: int,
    frames: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    clock = Clock()
    recorded = []
    with Recorder(tmp_path_factory.mktemp("recordings"), info, clock=clock, keep_frames=frames) as recorder:
        for episode_info, length, status in episodes:
            recorder.begin_episode(episode_info)
            recorded.append([random_step(rng, episode_info, frames, info.task) for _ in range(length)])
            for step in recorded[-1]:
                clock.now_ns += step_ns
                recorder.append(step)
            recorder.end_episode(status)  # type: ignore[arg-type]
    with sessions.open(recorder.final_path) as session:
        assert session.info == info
        assert session.schema_version == SCHEMA_VERSION
        assert len(session.episodes) == len(episodes)
        for index, (episode, (episode_info, _, status)) in enumerate(zip(session.episodes, episodes, strict=True)):
            assert (episode.index, episode.info, episode.status) == (index, episode_info, status)
            assert_holds(episode, recorded[index])


@pytest.mark.parametrize("task", [TASK, SMALL_TASK])
def test_columns_are_of_the_type_and_size_that_the_task_says_and_the_core_ones_attributes(
    tmp_path: Path, task: TaskRecord
) -> None:
    info = replace(EPISODE, linked=True)
    step = random_step(np.random.default_rng(0), info, True, task)
    with Recorder(tmp_path, replace(SESSION, task=task), keep_frames=True) as recorder:
        recorder.begin_episode(info)
        recorder.append(step)
    core = {
        "time_ns": ("<i8", ()),
        "response_ns": ("<i8", ()),
        "action": ("|u1", ()),
        "applied": ("|u1", ()),
        "stimulus": ("<i8", ()),
        "latent": ("<f4", (task.latents,)),
        "received": ("<f4", (task.latents,)),
        "mask": ("|b1", (task.blocks,)),
        "packet": ("|u1", (info.packet_bytes,)),
        "bits": ("<u2", ()),
        "uplink_bits": ("<u2", ()),
        "arrived": ("|b1", ()),
        "stage_us": ("<u4", (4,)),
        "frame": ("|u1", task.frame),
    }
    metrics = {metric.name: ("|b1" if metric.boolean else "<f4", ()) for metric in task.metrics}
    with sessions.open(recorder.final_path) as session:
        episode = session.episodes[0]
        assert {name: (episode[name].dtype.str, episode[name].shape[1:]) for name in episode.columns} == core | metrics
        for name in core:
            assert np.array_equal(getattr(episode, name), episode[name])


def test_rows_of_a_column_can_be_had_in_parts(tmp_path: Path) -> None:
    with sessions.open(write_recording(tmp_path, lengths=(300,), frames=True)) as session:
        episode = session.episodes[0]
        for name in episode.columns:
            parts = [episode.rows(name, start, start + 70) for start in range(0, episode.n_steps, 70)]
            assert np.array_equal(np.concatenate(parts), episode[name])


def test_what_an_episode_comes_to_is_the_last_or_the_mean_of_a_metric(tmp_path: Path) -> None:
    with sessions.open(write_recording(tmp_path, lengths=(5, 0))) as session:
        driven, empty = session.episodes
        assert driven.trial_value("progress") == driven["progress"][-1]
        assert driven.trial_value("wet") == driven["wet"].mean()
        assert list(driven.metrics) == [metric.name for metric in TASK.metrics]
        assert all(math.isnan(value) for value in empty.metrics.values())
        with pytest.raises(KeyError):
            driven.trial_value("latent")


def test_episodes_are_a_sequence(tmp_path: Path) -> None:
    with sessions.open(write_recording(tmp_path, lengths=(5, 3, 0))) as session:
        assert [episode.n_steps for episode in session.episodes] == [5, 3, 0]
        assert [episode.n_steps for episode in session.episodes[1:]] == [3, 0]
        assert session.episodes[-1].index == 2
        with pytest.raises(IndexError):
            session.episodes[3]


def test_column_that_was_not_kept_is_told_in_one_line(tmp_path: Path) -> None:
    with (
        sessions.open(write_recording(tmp_path)) as session,
        pytest.raises(UnreadableRecordingError, match="has no column frame; it has time_ns"),
    ):
        _ = session.episodes[0].frame


def test_recording_in_progress_reads_up_to_its_last_flush_and_is_not_disturbed(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, SESSION, clock=Clock())
    rng = np.random.default_rng(0)
    steps = [random_step(rng) for _ in range(300)]
    recorder.begin_episode(EPISODE)
    for count, step in enumerate(steps, 1):
        recorder.append(step)
        if count in (1, 127, 128, 200, 256, 300):
            with sessions.open(recorder.path) as session:
                flushed = count - count % 128
                assert session.status == "running"
                assert len(session.episodes) == (1 if flushed else 0)
                for episode in session.episodes:
                    assert episode.status == "running"
                    assert_holds(episode, steps[:flushed])
    with sessions.open(recorder.close("complete")) as session:
        assert_holds(session.episodes[0], steps)


def test_raw_episodes_read_back_without_packets(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    info = replace(EPISODE, condition="raw", packet_bytes=0, bits_per_step=0)
    steps = [replace(random_step(rng, info), bits=0) for _ in range(3)]
    with Recorder(tmp_path, SESSION) as recorder:
        recorder.begin_episode(info)
        for step in steps:
            recorder.append(step)
    with sessions.open(recorder.final_path) as session:
        assert session.episodes[0].packet.shape == (3, 0)
        assert_holds(session.episodes[0], steps)


def test_closed_session_is_told_in_one_line(tmp_path: Path) -> None:
    with sessions.open(write_recording(tmp_path)) as session:
        episode = session.episodes[0]
    with pytest.raises(UnreadableRecordingError):
        session.events()
    with pytest.raises(UnreadableRecordingError):
        _ = episode.action
