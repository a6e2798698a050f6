"""Batched simulation: many simulated episodes in lockstep, whose frames pass the latent model together.

An episode's outcome depends on nothing but its own job; see `racer.loop.lockstep`::

    for job, score in zip(jobs, simulate(jobs, model, fitted)): ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from compression.fitting.fitted import FittedModel
from compression.model.latent_model import LatentModel
from racer.drivers.registry import make_driver
from racer.errors import ConfigError
from racer.loop.attended import Unrecorded
from racer.loop.behaviour import Behaviour, BehaviourTally
from racer.loop.conditions import ChannelConfig, build_channel
from racer.loop.episode import Act, Acted, Episode, Request, Row, Tally, episode
from racer.loop.lockstep import GROUP, LANES, Stepwise, in_lockstep
from racer.tasks.task import Task
from sessions import EpisodeInfo, Recorder


@dataclass(frozen=True)
class Job:
    """One episode."""

    condition: str
    channel: ChannelConfig
    task: Task
    trial_seed: int
    """Seed of its first trial."""
    driver: str
    """Name of a driver, as for `--driver`."""
    person: int
    """Seed of the driver's traits, 0 or more."""
    steps: int
    """The most rows, 1 or more."""
    seed: int
    """Seed of this episode, 0 or more: what the driver, the sender and the noise draw by chance."""
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
    """Result in each metric."""
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
    behaviour: dict[Behaviour, float] = field(default_factory=dict)
    """How it was driven; what the task does not have is left out."""


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
    driven = (_drive(job, model, fitted, record) for job in jobs)
    return in_lockstep(driven, model, lanes=lanes, group=group)


def _drive(
    job: Job, model: LatentModel, fitted: Mapping[str, FittedModel], record: OpenRecorder | None
) -> Stepwise[Score]:
    """Drive one episode; what was recorded of one that is not finished is closed as aborted."""
    chances, own = np.random.default_rng(job.seed), fitted.get(job.condition)
    channel = build_channel(job.condition, job.channel, model, chances, own, clock=lambda: 0)
    driver = make_driver(job.driver, job.task, job.person, job.seed)
    driver.reset()
    shadow = make_driver(job.driver, job.task, job.person, job.seed) if job.shadow else None
    if shadow:
        shadow.reset()
    spec = job.task.spec
    tally, behaviour = Tally(spec), BehaviourTally(spec)
    step_ns = round(spec.step_seconds * 1e9)
    bits = most = lost = agreed = 0

    def now() -> int:
        return tally.steps * step_ns

    with ExitStack() as stack:
        recorder = None if record is None else record(job, now)
        if recorder is not None:
            stack.enter_context(recorder)
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
        run = episode(
            job.task, job.trial_seed, job.steps, channel, lambda: 0, latents=record is not None, deviation=True
        )
        stack.enter_context(closing(run))
        answer = None
        while (request := _next(run, answer)) is not None:
            if isinstance(request, Act):
                action = driver.act(request.shown)
                if shadow:
                    agreed += shadow.act(request.original) == action
                answer = Acted(action, now(), now())
            elif isinstance(request, Row):
                if recorder is not None:
                    recorder.append(request.step)
                tally.add(request.step.metrics, request.over)
                failing = bool(spec.failure and request.step.metrics[spec.failure])
                behaviour.add(request.step.action, failing, request.deviation)
                bits += request.step.bits
                most = max(most, request.step.bits)
                lost += request.lost
                answer = None
            else:
                answer = yield request
        if recorder is not None:
            recorder.end_episode("complete")
    steps = tally.steps
    agreement = agreed / steps if shadow else None
    return Score(steps, tally.values(), bits / steps, most, lost / steps, agreement, behaviour.values())


def _next(run: Episode, answer: Any) -> Request | None:
    """Return what an episode asks for next; None once it is over."""
    try:
        return run.send(answer)
    except StopIteration:
        return None
