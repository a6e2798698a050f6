"""Batched simulation: many simulated drives in lockstep, whose frames pass the codec together.

A frame takes about three times as long to encode and decode alone as in company, so drives share the codec, and nothing
else: each has its own track, driver, channel and random stream, and a place that is freed is taken by the next drive.
The codec always gets groups of `GROUP` frames, filled up with empty ones, because sums come out differently in the last
bit in batches of other sizes. A drive's outcome therefore depends on nothing but its own job::

    for job, score in zip(jobs, simulate(jobs, load_codec(), models)): ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compression.channel import Bypass, Channel, Crossing
from compression.coders.coder import Fitted
from compression.masks import LATENTS
from compression.model.latent_model import Codec
from racer.drivers.families.pursuit import SimulatedParticipant
from racer.drivers.registry import Driver, make_driver
from racer.errors import ConfigError
from racer.loop.conditions import ChannelConfig, build_channel
from racer.loop.episode import Unrecorded
from racer.tasks.car_racing.frames import FRAME_SIZE
from racer.tasks.car_racing.track import STRAIGHT, Outcome, Track, TrackConfig
from sessions import EpisodeInfo, Recorder, Step

GROUP = 16
"""Frames that pass the codec together."""
LANES = GROUP
"""Drives under way at a time."""
STEP_NS = 20_000_000
"""Length of a recorded step on the simulated clock: that of CarRacing's."""


@dataclass(frozen=True)
class Job:
    """One drive."""

    condition: str
    channel: ChannelConfig
    track: TrackConfig
    track_seed: int
    """As of CarRacing's `reset(seed=...)`."""
    driver: int | str
    """Seed of a simulated participant's traits, or the name of a driver as for `--driver`, which then gets `seed`."""
    steps: int
    """The most to drive, 1 or more."""
    seed: int
    """Of this drive: what the driver, the sender and the noise draw by chance, 0 or more."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"steps must be 1 or more; got {self.steps}")
        if self.seed < 0 or (isinstance(self.driver, int) and self.driver < 0):
            raise ConfigError("seeds must be 0 or more")


@dataclass(frozen=True)
class Score:
    """How a drive went."""

    steps: int
    progress: float
    """Road progress at its end, in [0, 1]."""
    off_road: float
    """Fraction of its steps off the road."""
    bits_mean: float
    """Bits charged per step, averaged over the steps."""
    bits_most: int
    """Bits charged in the most expensive step."""
    lost: float
    """Fraction of its steps whose packet was lost."""


Clock = Callable[[], int]
"""Nanoseconds of simulated time since a drive began."""
OpenRecorder = Callable[[Job, Clock], Recorder | Unrecorded]
"""Opens the recording of one drive, which is closed at its end; by the clock it may tell when to write."""
_NOTHING = np.zeros(LATENTS, np.float32)


def simulate(
    jobs: Iterable[Job],
    codec: Codec,
    models: Mapping[str, Fitted],
    *,
    lanes: int = LANES,
    record: OpenRecorder | None = None,
) -> Iterator[Score]:
    """Drive all jobs and yield their scores in the order of the jobs.

    Args:
        jobs: Taken one by one as places become free.
        codec: The weights.
        models: What was fitted, by condition; see `racer.loop.conditions.load_masks`.
        lanes: Drives under way at a time. No outcome depends on it.
        record: Opens a recording for each drive; none are kept if left out.

    Raises:
        RacerError, CompressionError: If a job cannot be driven; the tracks under way are given back.
    """
    waiting = enumerate(jobs)
    under_way: list[_Lane] = []
    finished: dict[int, Score] = {}
    due = 0
    try:
        while True:
            while len(under_way) < lanes and (following := next(waiting, None)) is not None:
                under_way.append(_Lane(*following, codec, models, record))
            if not under_way:
                return
            _advance(under_way, codec)
            for lane in [lane for lane in under_way if lane.over]:
                under_way.remove(lane)
                finished[lane.number] = lane.finish()
            while due in finished:
                yield finished.pop(due)
                due += 1
    finally:
        with ExitStack() as closing_all:
            for lane in under_way:
                closing_all.callback(lane.close)


def _advance(lanes: Sequence[_Lane], codec: Codec) -> None:
    """Drive one step in every lane."""
    together = [lane for lane in lanes if lane.in_latents]
    latents = encode_in_groups(codec, [lane.frame for lane in together])
    received = [lane.carry(latent) for lane, latent in zip(together, latents, strict=True)]
    for lane, shown in zip(together, decode_in_groups(codec, received), strict=True):
        lane.drive(shown)
    for lane in lanes:
        if not lane.in_latents:
            lane.drive(lane.transmit())


def encode_in_groups(codec: Codec, frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Return the latents, float32[N, 32], of frames, uint8[64, 64, 3] each; none depends on the others."""
    if not frames:
        return np.zeros((0, LATENTS), np.float32)
    padded = np.zeros((_padded(len(frames)), *frames[0].shape), np.uint8)
    np.stack(frames, out=padded[: len(frames)])
    groups = [codec.encode_frames(padded[start : start + GROUP]) for start in range(0, len(padded), GROUP)]
    return np.concatenate(groups)[: len(frames)]


def decode_in_groups(codec: Codec, latents: Sequence[NDArray[np.float32]]) -> NDArray[np.uint8]:
    """Return the frames, uint8[N, 64, 64, 3], of latents, float32[32] each; none depends on the others."""
    if not latents:
        return np.zeros((0, FRAME_SIZE, FRAME_SIZE, 3), np.uint8)
    padded = np.zeros((_padded(len(latents)), LATENTS), np.float32)
    np.stack(latents, out=padded[: len(latents)])
    groups = [codec.decode_latents(padded[start : start + GROUP]) for start in range(0, len(padded), GROUP)]
    return np.concatenate(groups)[: len(latents)]


def _padded(count: int) -> int:
    return -(-count // GROUP) * GROUP


class _Lane:
    """One drive under way."""

    def __init__(
        self, number: int, job: Job, codec: Codec, models: Mapping[str, Fitted], record: OpenRecorder | None
    ) -> None:
        self.number = number
        self.over = False
        self._job = job
        self._channel = build_channel(
            job.condition,
            job.channel,
            codec,
            np.random.default_rng(job.seed),
            models.get(job.condition),
            clock=lambda: 0,
        )
        self._channel.reset()
        self._driver = driver_of(job)
        self._driver.reset()
        self._action = STRAIGHT
        self._crossing: Crossing
        self._steps = self._off_road = self._bits = self._bits_most = self._lost = 0
        with ExitStack() as stack:
            self._track = stack.enter_context(closing(Track(job.track, job.track_seed)))
            self._recorder = record(job, self._now) if record else None
            if self._recorder:
                stack.enter_context(self._recorder)
                self._recorder.begin_episode(self._info())
            self._stack = stack.pop_all()
        self.frame = self._track.frame()
        """uint8[64, 64, 3], the original."""

    @property
    def in_latents(self) -> bool:
        """Whether this lane's frames may pass the codec together with others."""
        return self._channel.in_latents

    def carry(self, latent: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the latent, float32[32], that is received of the frame's."""
        assert isinstance(self._channel, Channel)
        self._crossing = self._channel.carry(latent, self._action)
        return self._crossing.received

    def transmit(self) -> NDArray[np.uint8]:
        """Return the frame, uint8[64, 64, 3], that is received."""
        if isinstance(self._channel, Bypass) and not self._recorder:
            transmission = self._channel.show(self.frame, _NOTHING)  # nobody asks for its latent
        else:
            transmission = self._channel.transmit(self.frame, self._action)
        self._crossing = transmission
        return transmission.shown

    def drive(self, shown: NDArray[np.uint8]) -> None:
        """Let the driver see a frame, uint8[64, 64, 3], and act."""
        self._action = self._driver.act(shown)
        outcome = self._track.step(self._action)
        if self._recorder:
            self._append(self._recorder, outcome)
        self._steps += 1
        self._off_road += outcome.off_road
        self._bits += self._crossing.bits
        self._bits_most = max(self._bits_most, self._crossing.bits)
        self._lost += self._crossing.lost
        self.over = outcome.over or self._steps == self._job.steps
        if not self.over:
            self.frame = self._track.frame()

    def finish(self) -> Score:
        """Close the recording and return how the drive went."""
        score = Score(
            steps=self._steps,
            progress=self._track.progress,
            off_road=self._off_road / self._steps,
            bits_mean=self._bits / self._steps,
            bits_most=self._bits_most,
            lost=self._lost / self._steps,
        )
        with self._stack:
            if self._recorder:
                self._recorder.end_episode("complete")
                self._recorder.close("complete")
        return score

    def close(self) -> None:
        """Give the track back, and close the recording of a drive that is not finished as aborted."""
        with self._stack:
            if self._recorder:
                self._recorder.end_episode("aborted")
                self._recorder.close("aborted")

    def _now(self) -> int:
        return self._steps * STEP_NS

    def _info(self) -> EpisodeInfo:
        return EpisodeInfo(
            phase="evaluation",
            condition=self._job.condition,
            track_seed=self._job.track_seed,
            bits_per_step=self._channel.bits,
            mask_interval=self._job.channel.mask_interval,
            fill=self._job.channel.fill,
            road_patches=self._track.road_patches,
            packet_bytes=self._channel.packet_bytes,
            started_ns=0,
        )

    def _append(self, recorder: Recorder | Unrecorded, outcome: Outcome) -> None:
        crossing = self._crossing
        recorder.append(
            Step(
                time_ns=self._now(),
                action=self._action,
                control=outcome.control,
                progress=outcome.progress,
                off_road=outcome.off_road,
                speed=outcome.speed,
                reward=outcome.reward,
                latent=crossing.latent,
                received=crossing.received,
                mask=crossing.mask,
                packet=crossing.packet,
                bits=crossing.bits,
                stage_us=(0, 0, 0, 0),
            )
        )


def driver_of(job: Job) -> Driver:
    """Return the driver of a job: the same participant on every drive, with noise of its own on each."""
    if isinstance(job.driver, str):
        return make_driver(job.driver, job.seed)
    return SimulatedParticipant(job.seed, SimulatedParticipant(job.driver).traits)
