"""Batched simulation: many simulated episodes in lockstep, whose frames pass the latent model together.

A frame takes about three times as long to encode and decode alone as in company, so episodes share the model, and
nothing else: each has its own trial, driver, channel and random stream, and a place that is freed is taken by the next.
The model always gets groups of `GROUP` frames, filled up with empty ones, because sums come out differently in the last
bit in batches of other sizes. An episode's outcome therefore depends on nothing but its own job::

    for job, score in zip(jobs, simulate(jobs, model, fitted)): ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression.fitting.fitted import FittedModel
from compression.model.latent_model import LatentModel
from racer.drivers.registry import make_driver
from racer.errors import ConfigError
from racer.loop.attended import Unrecorded
from racer.loop.conditions import ChannelConfig, build_channel
from racer.loop.episode import Act, Acted, Decode, Encode, Request, Row, Tally, episode
from racer.tasks.task import Task
from sessions import EpisodeInfo, Recorder

GROUP = 16
"""Frames that pass the model together."""
LANES = GROUP
"""Episodes under way at a time."""


@dataclass(frozen=True)
class Job:
    """One episode."""

    condition: str
    channel: ChannelConfig
    task: Task
    trial_seed: int
    """Of its first trial."""
    driver: str
    """Name of a driver, as for `--driver`."""
    person: int
    """Seed of the driver's traits, 0 or more."""
    steps: int
    """The most rows, 1 or more."""
    seed: int
    """Of this episode: what the driver, the sender and the noise draw by chance, 0 or more."""
    shadow: bool = False
    """Whether the same driver with the same dice also answers the original frame of every step; see `Score`."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"steps must be 1 or more; got {self.steps}")
        if self.seed < 0 or self.person < 0:
            raise ConfigError("seeds must be 0 or more")


@dataclass(frozen=True)
class Score:
    """How an episode went."""

    steps: int
    metrics: dict[str, float]
    """What it came to, by metric."""
    bits_mean: float
    """Bits charged per step, averaged over the steps."""
    bits_most: int
    """Bits charged in the most expensive step."""
    lost: float
    """Fraction of its steps whose packet was lost, or made nonsense by noise."""
    agreement: float | None = None
    """Fraction of its steps in which the driver did what it would have done on the original frame: a second driver, the
    same person with the same dice, sees the original frames of all states that the first one led to, and its answers
    change nothing. An estimate of what equation 1 of PICO (arXiv 2108.04219) is about. None where it was not asked for.
    """


Clock = Callable[[], int]
"""Nanoseconds of simulated time since an episode began."""
OpenRecorder = Callable[[Job, Clock], Recorder | Unrecorded]
"""Opens the recording of one episode, which is closed at its end; by the clock it may tell when to write."""


def simulate(
    jobs: Iterable[Job],
    model: LatentModel,
    fitted: Mapping[str, FittedModel],
    *,
    lanes: int = LANES,
    group: int = GROUP,
    record: OpenRecorder | None = None,
) -> Iterator[Score]:
    """Drive all jobs and yield their scores in the order of the jobs.

    Args:
        jobs: Taken one by one as places become free.
        model: The weights.
        fitted: What was fitted, by condition; see `racer.loop.conditions.load_fitted_models`.
        lanes: Episodes under way at a time. No outcome depends on it.
        group: Frames that pass the model together; outcomes may differ in the last bit with another.
        record: Opens a recording for each episode; none are kept if left out.

    Raises:
        RacerError, CompressionError: If a job cannot be driven; the trials under way are given back.
    """
    waiting = enumerate(jobs)
    under_way: list[_Lane] = []
    finished: dict[int, Score] = {}
    due = 0
    try:
        while True:
            while len(under_way) < lanes and (following := next(waiting, None)) is not None:
                under_way.append(_Lane(*following, model, fitted, record))
            if not under_way:
                return
            _advance(under_way, model, group)
            for lane in [lane for lane in under_way if lane.request is None]:
                under_way.remove(lane)
                finished[lane.number] = lane.finish()
            while due in finished:
                yield finished.pop(due)
                due += 1
    finally:
        with ExitStack() as closing_all:
            for lane in under_way:
                closing_all.callback(lane.close)


def _advance(lanes: Sequence[_Lane], model: LatentModel, group: int) -> None:
    """Answer what all lanes ask for: first the frames to encode together, then the latents to decode."""
    encoding = [(lane, lane.request.frame) for lane in lanes if isinstance(lane.request, Encode)]
    latents = in_groups(model.encode_frames, [frame for _, frame in encoding], group)
    for (lane, _), latent in zip(encoding, latents, strict=True):
        lane.answer(latent)
    decoding = [(lane, lane.request.latent) for lane in lanes if isinstance(lane.request, Decode)]
    frames = in_groups(model.decode_latents, [latent for _, latent in decoding], group)
    for (lane, _), frame in zip(decoding, frames, strict=True):
        lane.answer(frame)


def in_groups(
    work: Callable[[NDArray[Any]], NDArray[Any]], items: Sequence[NDArray[Any]], group: int = GROUP
) -> list[NDArray[Any]]:
    """Return what a model makes of items, each of one shape and dtype; none depends on the others."""
    done: list[NDArray[Any]] = []
    for start in range(0, len(items), group):
        part = items[start : start + group]
        padded = np.zeros((group, *part[0].shape), part[0].dtype)
        np.stack(part, out=padded[: len(part)])
        done += list(work(padded)[: len(part)])
    return done


class _Lane:
    """One episode under way."""

    request: Request | None
    """What it asks for, `Act` and `Row` never; None once it is over."""

    def __init__(
        self,
        number: int,
        job: Job,
        model: LatentModel,
        fitted: Mapping[str, FittedModel],
        record: OpenRecorder | None,
    ) -> None:
        self.number = number
        self._job = job
        spec = job.task.spec
        channel = build_channel(
            job.condition,
            job.channel,
            model,
            np.random.default_rng(job.seed),
            fitted.get(job.condition),
            clock=lambda: 0,
        )
        self._driver = make_driver(job.driver, job.task, job.person, job.seed)
        self._driver.reset()
        self._shadow = make_driver(job.driver, job.task, job.person, job.seed) if job.shadow else None
        if self._shadow:
            self._shadow.reset()
        self._agreed = 0
        self._step_ns = round(spec.step_seconds * 1e9)
        self._tally = Tally(spec)
        self._bits = self._bits_most = self._lost = 0
        self._recorder: Recorder | Unrecorded | None = None
        self._episode = episode(job.task, job.trial_seed, job.steps, channel, lambda: 0, latents=record is not None)
        self._stack = ExitStack()
        try:
            if record is not None:
                recorder = record(job, self._now)
                self._stack.enter_context(recorder)
                self._recorder = recorder
                recorder.begin_episode(
                    EpisodeInfo(
                        phase="evaluation",
                        condition=job.condition,
                        seed=job.trial_seed,
                        bits_per_step=channel.bits,
                        mask_interval=job.channel.mask_interval,
                        fill=job.channel.fill,
                        packet_bytes=channel.packet_bytes,
                        started_ns=0,
                        noisy=channel.noisy,
                    )
                )
            self.answer(None)
        except BaseException:
            self.close()
            raise

    def answer(self, answer: Any) -> None:
        """Give what was asked for, and go on to what needs others."""
        while True:
            try:
                self.request = request = self._episode.send(answer)
            except StopIteration:
                self.request = None
                return
            if isinstance(request, Act):
                answer = Acted(self._act(request), self._now(), self._now())
            elif isinstance(request, Row):
                self._take(request)
                answer = None
            else:
                return

    def _act(self, request: Act) -> int:
        action = self._driver.act(request.shown)
        if self._shadow:
            self._agreed += self._shadow.act(request.original) == action
        return action

    def finish(self) -> Score:
        """Close the recording and return how the episode went."""
        steps = self._tally.steps
        with self._stack:
            if self._recorder:
                self._recorder.end_episode("complete")
                self._recorder.close("complete")
        agreement = self._agreed / steps if self._shadow else None
        return Score(steps, self._tally.values(), self._bits / steps, self._bits_most, self._lost / steps, agreement)

    def close(self) -> None:
        """Give the trial back, and close the recording of an episode that is not finished as aborted."""
        with self._stack:
            self._episode.close()
            if self._recorder:
                self._recorder.end_episode("aborted")
                self._recorder.close("aborted")

    def _take(self, row: Row) -> None:
        step = row.step
        if self._recorder:
            self._recorder.append(step)
        self._tally.add(step.metrics, row.over)
        self._bits += step.bits
        self._bits_most = max(self._bits_most, step.bits)
        self._lost += row.lost

    def _now(self) -> int:
        return self._tally.steps * self._step_ns
