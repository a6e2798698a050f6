from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from session_builders import EPISODE, SESSION, Clock, assert_holds, random_step, write_recording

import sessions
from sessions import EpisodeInfo, Recorder, SessionInfo, UnreadableRecordingError

TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
SESSIONS = st.builds(
    SessionInfo,
    session_id=st.from_regex(r"[0-9a-f]{6}", fullmatch=True),
    participant=st.from_regex(r"[a-z0-9_][a-zA-Z0-9_-]{0,20}", fullmatch=True),
    protocol=st.sampled_from(["pilot", "evaluation"]),
    study=TEXT,
    pilot=st.booleans(),
    config=st.dictionaries(TEXT, JSON, max_size=3),
    created_utc=st.just(SESSION.created_utc),
    software=st.dictionaries(TEXT, TEXT, max_size=3),
    codec_sha256=TEXT,
    mask_sha256=TEXT,
    driver=TEXT,
)
EPISODES = st.builds(
    EpisodeInfo,
    phase=TEXT,
    condition=st.sampled_from(["full", "pico", "random"]),
    track_seed=st.integers(0, 2**63 - 1),
    bits_per_step=st.integers(0, 2**16),
    mask_interval=st.sampled_from(["episode", "step"]),
    fill=st.sampled_from(["prior", "hold", "predict"]),
    road_patches=st.integers(0, 400),
    packet_bytes=st.integers(0, 40),
    started_ns=st.integers(-(2**63), 2**63 - 1),
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
            recorded.append([random_step(rng, episode_info.packet_bytes, frames) for _ in range(length)])
            for step in recorded[-1]:
                clock.now_ns += step_ns
                recorder.append(step)
            recorder.end_episode(status)  # type: ignore[arg-type]
    with sessions.open(recorder.final_path) as session:
        assert session.info == info
        assert session.schema_version == 1
        assert len(session.episodes) == len(episodes)
        for index, (episode, (episode_info, _, status)) in enumerate(zip(session.episodes, episodes, strict=True)):
            assert (episode.index, episode.info, episode.status) == (index, episode_info, status)
            assert_holds(episode, recorded[index])


def test_columns_are_attributes_of_the_type_the_schema_names(tmp_path: Path) -> None:
    with sessions.open(write_recording(tmp_path, frames=True)) as session:
        episode = session.episodes[0]
        found = {
            name: (values.dtype.str, values.shape)
            for name in episode.columns
            if (values := getattr(episode, name)).size
        }
    assert found == {
        "time_ns": ("<i8", (5,)),
        "action": ("|i1", (5,)),
        "control": ("<f4", (5, 3)),
        "progress": ("<f4", (5,)),
        "off_road": ("|b1", (5,)),
        "speed": ("<f4", (5,)),
        "reward": ("<f4", (5,)),
        "latent": ("<f4", (5, 32)),
        "received": ("<f4", (5, 32)),
        "mask": ("|b1", (5, 8)),
        "packet": ("|u1", (5, 11)),
        "bits": ("<u2", (5,)),
        "stage_us": ("<u4", (5, 4)),
        "frame": ("|u1", (5, 64, 64, 3)),
    }


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
    steps = [replace(random_step(rng, 0), bits=0) for _ in range(3)]
    with Recorder(tmp_path, SESSION) as recorder:
        recorder.begin_episode(replace(EPISODE, condition="raw", packet_bytes=0, bits_per_step=0))
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
