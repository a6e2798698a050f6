from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from racing_builders import SESSION

import sessions
from compression.coders.coder import Fitted
from compression.model.latent_model import Codec
from racer.drivers.families.pursuit import SimulatedParticipant
from racer.errors import ConfigError
from racer.loop.batched import GROUP, Clock, Job, Score, decode_in_groups, driver_of, encode_in_groups, simulate
from racer.loop.conditions import ChannelConfig, load_masks
from racer.loop.episode import Unrecorded
from racer.recordings.verification import verify_recordings
from racer.sitting.start import StartConfig, resolved
from racer.software import software
from racer.tasks.car_racing.track import Track, TrackConfig

JOB = Job("pico", ChannelConfig(), TrackConfig(), track_seed=11, driver=3, steps=8, seed=5)


@pytest.fixture(scope="module")
def models(codec: Codec) -> dict[str, Fitted]:
    return load_masks(["pico"], (), codec)


@pytest.fixture
def drive(codec: Codec, models: dict[str, Fitted]) -> Callable[..., list[Score]]:
    return lambda jobs, **options: list(simulate(jobs, codec, models, **options))


class Memory(Unrecorded):
    """Keeps what crossed and what was done in every step."""

    def __init__(self) -> None:
        self.steps: list[tuple[bytes, bytes, int]] = []

    def append(self, step: sessions.Step) -> bool:
        """Keep a step."""
        self.steps.append((step.packet, step.received.tobytes(), step.action))
        return False


def jobs() -> list[Job]:
    """Return drives that differ in everything, some shorter than others."""
    noisy = ChannelConfig(bits=12, fill="predict", noise="erasures", noise_rate=0.3)
    return [
        JOB,
        replace(JOB, condition="random", channel=ChannelConfig(mask_interval="step", fill="prior"), seed=6),
        replace(JOB, condition="raw", steps=3),
        replace(JOB, condition="full", track_seed=12, driver=4),
        replace(JOB, condition="random", channel=noisy, steps=5),
        replace(JOB, track=TrackConfig(target_speed=60.0), seed=7),
        replace(JOB, driver="simulated:9", steps=1),
    ]


@pytest.mark.parametrize("lanes", [1, 3, 16])
def test_a_drive_does_not_depend_on_those_beside_it(lanes: int, drive: Callable[..., list[Score]]) -> None:
    kept: dict[Job, list[Memory]] = {job: [] for job in jobs()}

    def record(job: Job, clock: Clock) -> Memory:
        kept[job].append(Memory())
        return kept[job][-1]

    alone = [drive([job], record=record)[0] for job in jobs()]
    assert drive(jobs(), lanes=lanes, record=record) == alone
    assert drive(jobs()[::-1], lanes=lanes, record=record) == alone[::-1]
    for first, *others in kept.values():
        assert len(others) == 2
        assert all(other.steps == first.steps for other in others)


def test_scores_come_in_the_order_of_the_jobs_and_as_soon_as_they_are_due(
    codec: Codec, models: dict[str, Fitted]
) -> None:
    taken: list[int] = []

    def endless() -> object:
        for number in range(10**9):
            taken.append(number)
            yield replace(JOB, steps=1 + number % 3, seed=number)

    scores = simulate(endless(), codec, models, lanes=2)  # type: ignore[arg-type]
    assert [next(scores).steps for _ in range(5)] == [1, 2, 3, 1, 2]
    assert len(taken) < 12
    scores.close()


def test_the_driver_is_the_same_person_on_every_drive_and_the_seed_its_luck(codec: Codec) -> None:
    frames = codec.decode_latents(np.random.default_rng(1).standard_normal((200, 32)).astype(np.float32))

    def pressed(job: Job) -> tuple[int, ...]:
        driver = driver_of(job)
        return tuple(driver.act(frame) for frame in frames)

    drivers = [driver_of(JOB), driver_of(replace(JOB, seed=6)), driver_of(replace(JOB, driver=4))]
    traits = [driver.traits for driver in drivers if isinstance(driver, SimulatedParticipant)]
    assert traits[0] == traits[1] != traits[2]
    assert pressed(JOB) == pressed(JOB) != pressed(replace(JOB, seed=6))


def test_bits_and_losses_are_counted(drive: Callable[..., list[Score]]) -> None:
    lossy = ChannelConfig(bits=12, noise="erasures", noise_rate=1.0)
    scores = drive([JOB, replace(JOB, condition="raw"), replace(JOB, condition="full"), replace(JOB, channel=lossy)])
    assert [(score.bits_mean, score.bits_most) for score in scores] == [(85, 85), (0, 0), (170, 170), (12, 12)]
    assert [score.lost for score in scores] == [0, 0, 0, 1]


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"seed": -1}, {"driver": -1}])
def test_a_job_that_cannot_be_driven_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        replace(JOB, **wrong)  # type: ignore[arg-type]


def test_an_unknown_condition_ends_the_simulation_and_names_the_nearest(drive: Callable[..., list[Score]]) -> None:
    with pytest.raises(ConfigError, match="did you mean 'random'"):
        drive([JOB, replace(JOB, condition="randum")])


def test_no_frame_or_latent_depends_on_its_company(codec: Codec) -> None:
    rng = np.random.default_rng(0)
    frames = list(rng.integers(256, size=(3 * GROUP - 1, 64, 64, 3), dtype=np.uint8))
    latents: list[NDArray[np.float32]] = list(rng.standard_normal((len(frames), 32)).astype(np.float32))
    encoded, decoded = encode_in_groups(codec, frames), decode_in_groups(codec, latents)
    assert len(encoded) == len(decoded) == len(frames)
    for _ in range(5):
        order = rng.permutation(len(frames))[: rng.integers(1, len(frames) + 1)]
        assert encode_in_groups(codec, [frames[i] for i in order]).tobytes() == encoded[order].tobytes()
        assert decode_in_groups(codec, [latents[i] for i in order]).tobytes() == decoded[order].tobytes()
    assert encode_in_groups(codec, []).shape == (0, 32)
    assert decode_in_groups(codec, []).shape == (0, 64, 64, 3)


def test_what_is_recorded_of_a_drive_verifies_and_changes_nothing(
    tmp_path: Path, codec: Codec, models: dict[str, Fitted], drive: Callable[..., list[Score]]
) -> None:
    noisy = ChannelConfig(noise="flips", noise_rate=0.01)
    driven = [JOB, replace(JOB, condition="raw"), replace(JOB, condition="random", channel=noisy)]

    def record(job: Job, clock: Clock) -> sessions.Recorder:
        config = StartConfig("p01", channel=job.channel, track=job.track, driver="simulated", headless=True)
        info = replace(
            SESSION,
            session_id=sessions.new_session_id(),
            protocol="evaluation",
            config={**resolved(config, 0), "protocol": {}},
            software=software(),
            codec_sha256=codec.sha256,
            mask_sha256=models["pico"].sha256,
        )
        return sessions.Recorder(tmp_path, info, clock=clock)

    assert drive(driven, record=record) == drive(driven)
    paths = sessions.find_recordings(tmp_path)
    assert len(paths) == len(driven)
    verified = verify_recordings(paths, jobs=1)
    failed = [(f.check, f.detail) for one in verified.recordings for f in one.findings if f.outcome == "fail"]
    assert not failed
    received = [f.outcome for one in verified.recordings for f in one.findings if f.check in ("received", "replay")]
    assert set(received) == {"ok"}


def test_a_recording_that_cannot_be_opened_gives_every_track_back(
    codec: Codec, models: dict[str, Fitted], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[int] = []
    close = Track.close
    monkeypatch.setattr(Track, "close", lambda track: (closed.append(track.seed), close(track))[1])

    def record(job: Job, clock: Clock) -> Memory:
        if job.track_seed == 12:
            raise OSError("no room")
        return Memory()

    with pytest.raises(OSError, match="no room"):
        list(simulate([JOB, replace(JOB, track_seed=12)], codec, models, record=record))
    assert sorted(closed) == [11, 12]


def test_tracks_and_recordings_are_given_back_when_a_simulation_is_abandoned(
    tmp_path: Path, codec: Codec, models: dict[str, Fitted]
) -> None:
    opened: list[sessions.Recorder] = []

    def record(job: Job, clock: Clock) -> sessions.Recorder:
        opened.append(sessions.Recorder(tmp_path, replace(SESSION, session_id=sessions.new_session_id())))
        return opened[-1]

    scores = simulate([replace(JOB, steps=1), JOB], codec, models, record=record)
    next(scores)
    scores.close()
    assert sorted(sessions.open(path).status for path in sessions.find_recordings(tmp_path)) == ["aborted", "complete"]
