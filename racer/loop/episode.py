"""The step core: one episode, whoever drives it.

`episode` is a generator. It goes from frame to packet, from packet to what is shown, from the action to its outcome,
and asks for what it cannot do itself: to encode a frame, to decode a latent, to act. Whoever runs it answers one
request at a time (a person in a window, `racer.loop.attended`) or those of many episodes together (simulated people,
`racer.loop.batched`). Pacing, display and recording stand outside::

    for request in answers: Encode -> latent; Decode -> frame; Act -> Acted; Row -> nothing

An episode of a paced task is one trial. One of a task that waits for answers is a block of them: where a trial is over,
another begins, and the channel anew, until the block has as many rows as were asked for. Of trials that are shown
together all frames cross, each on its own, before the first is acted on; packets are the same as one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from compression.channel import Bypass, Channel, Downlink, Received
from compression.uplink import uplink_bits
from racer.errors import ConfigError
from racer.tasks.task import Deviating, Metric, Task, TaskSpec, Trial
from sessions import Step

Clock = Callable[[], int]
"""Monotonic nanoseconds."""


@dataclass(frozen=True)
class Encode:
    """Asks for the latent, float32[latents], of a frame."""

    frame: NDArray[np.uint8]
    """uint8[H, W, C]"""


@dataclass(frozen=True)
class Decode:
    """Asks for the frame, uint8[H, W, C], that a latent stands for."""

    latent: NDArray[np.float32]
    """float32[latents]"""


@dataclass(frozen=True)
class Act:
    """Asks what is done on seeing a frame."""

    step: int
    """Rows before this one."""
    shown: NDArray[np.uint8]
    """uint8[H, W, C]"""
    original: NDArray[np.uint8]
    """uint8[H, W, C]"""
    metrics: Mapping[str, float] | None
    """After the last step; None before the first."""
    page: tuple[NDArray[np.uint8], ...]
    """This frame as it is shown, and those after it that are shown together with it."""


@dataclass(frozen=True)
class Acted:
    """Answers `Act`."""

    action: int
    shown_ns: int
    """When the frame was shown."""
    response_ns: int
    """When a key was pressed for it, or else when it was decided."""
    display_ns: int = 0
    """Time that showing took."""
    channel: Channel | Bypass | None = None
    """What later frames cross instead; None: what they crossed before."""


@dataclass(frozen=True)
class Row:
    """Tells what a step came to; the answer is not looked at."""

    step: Step
    over: bool
    """Whether its trial is over."""
    lost: bool
    """Whether no packet arrived, or none that noise had left one."""
    deviation: float
    """`Trial.deviation` after the step; 0 where it was not asked for, or the task does not tell it."""


Request = Encode | Decode | Act | Row
POOL = 500_000
"""Seeds from which those of a block are drawn."""
Episode = Generator[Request, Any, None]


def episode(
    task: Task,
    seed: int,
    steps: int,
    channel: Channel | Bypass,
    clock: Clock,
    *,
    latents: bool = True,
    deviation: bool = False,
) -> Episode:
    """Run one episode.

    Args:
        task: What is done.
        seed: Of its first trial.
        steps: The most rows, 1 or more.
        channel: Between the task and whoever acts; reset by this.
        clock: By which the parts of a step are timed.
        latents: Whether rows are to hold the latent of a frame that crosses no channel, which takes encoding it.
        deviation: Whether rows are to tell the trial's deviation.
    """
    spec = task.spec
    deviation = deviation and bool(spec.deviation)
    uplink = uplink_bits(len(spec.actions))
    action, metrics = spec.start_action, None
    channel.reset()
    stimulus, number = seed, 0
    trials = [task.start(seed)]
    try:
        while number < steps:
            looks = [(yield from _look(trials[0], stimulus, channel, action, clock, latents))]
            for ahead in range(number + 1, min(number + spec.page, steps)):
                stimulus = seed_after(stimulus, seed, ahead)
                trials.append(task.start(stimulus))
                channel.reset()
                looks.append((yield from _look(trials[-1], stimulus, channel, spec.start_action, clock, latents)))
            for place, look in enumerate(looks):
                page = tuple(each.shown for each in looks[place:])
                acted: Acted = yield Act(number, look.shown, look.frame, None if place else metrics, page)
                begun = clock()
                outcome = look.trial.step(acted.action)
                environment_ns = look.environment_ns + clock() - begun
                action, metrics = acted.action, outcome.metrics
                if acted.channel is not None:
                    channel = acted.channel
                    channel.reset()
                crossed, received = look.crossed, look.crossed.received
                yield Row(
                    Step(
                        time_ns=acted.shown_ns,
                        response_ns=acted.response_ns,
                        action=action,
                        stimulus=look.stimulus,
                        metrics=metrics,
                        latent=crossed.latent,
                        received=received.latent,
                        mask=received.mask,
                        packet=crossed.packet,
                        bits=crossed.bits,
                        uplink_bits=uplink,
                        arrived=crossed.arrived,
                        stage_us=_microseconds(
                            environment_ns, crossed.sender_ns, crossed.receiver_ns, acted.display_ns
                        ),
                    ),
                    outcome.over,
                    lost=not received.arrived,
                    deviation=cast(Deviating, look.trial).deviation() if deviation else 0.0,
                )
                number += 1
                if spec.page > 1 and not outcome.over:
                    raise ConfigError(f"task {spec.name}: trials that are shown together must be over after one step")
            if outcome.over:
                if spec.paced:
                    break
                if number < steps:
                    while trials:
                        trials.pop().close()
                    stimulus = seed_after(stimulus, seed, number)
                    trials.append(task.start(stimulus))
                    # What is to be seen has nothing to do with what was: neither end may go by it.
                    channel.reset()
                    action, metrics = spec.start_action, None
    except BaseException:
        for trial in trials:
            with suppress(Exception):  # cut short in the middle of a step, it may be in no state to be closed
                trial.close()
        raise
    for trial in trials:
        trial.close()


@dataclass(frozen=True)
class _Look:
    """What is to be seen of a trial now, and how it crossed."""

    trial: Trial
    stimulus: int
    frame: NDArray[np.uint8]
    environment_ns: int
    crossed: _Crossed

    @property
    def shown(self) -> NDArray[np.uint8]:
        assert self.crossed.received.shown is not None
        return self.crossed.received.shown


def _look(
    trial: Trial, stimulus: int, channel: Channel | Bypass, action: int, clock: Clock, latents: bool
) -> Generator[Request, Any, _Look]:
    begun = clock()
    frame = trial.frame()
    environment_ns = clock() - begun
    return _Look(trial, stimulus, frame, environment_ns, (yield from _cross(channel, frame, action, clock, latents)))


def seed_after(before: int, first: int, number: int) -> int:
    """Return the seed of a later trial of a block, other than that of the trial before.

    It is drawn from the half million that the block's first one lies in: pilots, evaluated people, the training of
    models and sweeps keep apart.

    Args:
        before: Seed of the trial before.
        first: Seed of the first trial of the block.
        number: Rows of the block before this trial.
    """
    seed = first // POOL * POOL + int(np.random.default_rng([first, number]).integers(POOL))
    return seed if seed != before else seed ^ 1  # what received it knows the trials by their seeds


def block_seeds(first: int, rows: int) -> list[int]:
    """Return the seeds of the trials of a block, each of one row, given that of the first one."""
    seeds = [first]
    while len(seeds) < rows:
        seeds.append(seed_after(seeds[-1], first, len(seeds)))
    return seeds


class Tally:
    """What the rows of an episode come to, metric by metric.

    Args:
        spec: The task.
    """

    steps: int
    """Rows so far."""

    def __init__(self, spec: TaskSpec) -> None:
        self.steps = 0
        self._spec = spec
        self._trials: list[dict[str, float]] = []
        self._sums = dict.fromkeys((metric.name for metric in spec.metrics), 0.0)
        self._last: Mapping[str, float] = self._sums
        self._own = 0

    def add(self, metrics: Mapping[str, float], over: bool) -> None:
        """Count a row."""
        self.steps += 1
        self._own += 1
        self._last = metrics
        for metric in self._spec.metrics:
            self._sums[metric.name] += metrics[metric.name]
        if over and not self._spec.paced:
            self._trials.append(self._trial())
            self._sums = dict.fromkeys(self._sums, 0.0)
            self._own = 0

    def values(self) -> dict[str, float]:
        """Return what the episode came to, by metric; of several trials the mean. Zeros where there was no row."""
        trials = [*self._trials, *([self._trial()] if self._own else [])]
        if not trials:
            return dict.fromkeys(self._sums, 0.0)
        return {name: sum(trial[name] for trial in trials) / len(trials) for name in self._sums}

    def _trial(self) -> dict[str, float]:
        return {metric.name: self._value(metric) for metric in self._spec.metrics}

    def _value(self, metric: Metric) -> float:
        return float(self._last[metric.name] if metric.trial == "last" else self._sums[metric.name] / self._own)


@dataclass(frozen=True)
class _Crossed:
    """One frame's way through a channel."""

    latent: NDArray[np.float32]
    received: Received
    packet: bytes
    """As it is recorded: what arrived, whatever noise had made of it."""
    arrived: bool
    """Whether anything did."""
    bits: int
    sender_ns: int
    receiver_ns: int


def _cross(
    channel: Channel | Bypass, frame: NDArray[np.uint8], action: int, clock: Clock, latents: bool
) -> Generator[Request, Any, _Crossed]:
    """Carry a frame across; `action` is what the task applied before it."""
    begun = clock()
    if isinstance(channel, Bypass):
        latent = (yield Encode(frame)) if latents else channel.nothing
        return _Crossed(latent, channel.show(frame, latent), b"", True, 0, 0, 0)
    sender, receiver = channel.sender, channel.receiver
    downlink: Downlink
    if sender.in_latents:
        downlink = sender.advance_latent((yield Encode(frame)), action)
    else:
        downlink = sender.advance(frame, action)
    sent = clock()
    arrived = channel.transport.carry(downlink)
    if receiver.in_latents:
        received = receiver.take(arrived)
        received = received.showing((yield Decode(received.latent)))
    else:
        received = receiver.show(arrived)
    came = arrived.packet is not None
    return _Crossed(
        sender.latent, received, channel.recorded(arrived), came, downlink.bits, sent - begun, clock() - sent
    )


def _microseconds(*durations_ns: int) -> tuple[int, int, int, int]:
    environment, sender, receiver, display = (round(duration / 1000) for duration in durations_ns)
    return environment, sender, receiver, display
