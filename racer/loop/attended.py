"""Episodes one at a time, as a sitting has them: shown, paced and recorded, whoever drives."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import NDArray

from compression.channel import Bypass, Channel
from compression.fitting.fitted import FittedModel
from racer.drivers.driver import Driver, DriverError, TimedDriver
from racer.drivers.keyboard import KeyboardDriver
from racer.loop.conditions import ChannelConfig, build_channel
from racer.loop.display import Display, Hud, PictureMark
from racer.loop.episode import Act, Acted, Decode, Encode, Row, Tally, episode
from racer.loop.lockstep import Stepwise, alone
from racer.loop.pacing import Pacer
from racer.loop.patience import PatientRecorder
from racer.loop.probing import PROBE, PROBE_SECONDS, Probe, draw_probes
from racer.loop.switching import Switch
from racer.sitting.protocol import EpisodePlan
from racer.tasks.task import Reaching, Task, TaskSpec, TaskText
from sessions import EpisodeInfo, Step

if TYPE_CHECKING:
    from compression.model.latent_model import LatentModel


_GREY = 128
"""Grey level shown before a picture, and after one that is gone."""


@dataclass(frozen=True)
class Setup:
    """What all episodes of a sitting have in common."""

    task: Task
    channel: ChannelConfig
    model: LatentModel
    fitted: dict[str, FittedModel]
    """What was fitted, by condition."""
    seed: int
    """Source of the random masks and of the noise."""
    text: TaskText
    """What people are told of the task."""
    mark: str = ""
    """Mark shown all the time, such as `TRIAL RUN`."""
    beside: bool = False
    """Whether to show the original beside what was received."""
    switch: Switch | None = None
    """Switches between conditions by keys while nothing is recorded; None: plans say what is shown."""
    photodiode: int = 0
    """Side, pixels, of a square that is white with the frames of even steps and black with those of odd ones. In tasks
    that show a cross it is black with the cross and white with the frame. 0 for none."""
    probes: int = 0
    """How often an episode of the evaluation stops for a probe, where the task moves on by itself."""


@dataclass(frozen=True)
class EpisodeResult:
    """How one episode went."""

    plan: EpisodePlan
    steps: int
    metrics: dict[str, float] = field(default_factory=dict)
    """Result in each metric."""


class Unrecorded:
    """Stands in for a recorder where nothing is to be kept."""

    def begin_episode(self, info: EpisodeInfo) -> None:
        """Keep nothing."""

    def append(self, step: Step) -> bool:
        """Keep nothing, in no time."""
        return False

    def end_episode(self, status: Literal["complete", "aborted"]) -> None:
        """Keep nothing."""

    def reject_episode(self) -> None:
        """Keep nothing."""

    def event(self, kind: str, detail: str, time_ns: int, episode: int, step: int) -> None:
        """Keep nothing."""

    def answer(self, item: str, answer: str, time_ns: int) -> None:
        """Keep nothing."""

    def close(self, status: Literal["complete", "aborted"]) -> None:
        """Keep nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass


class EpisodeRun:
    """Drives episodes, one after the other.

    Args:
        setup: What they have in common.
        driver: Acts.
        display: Shows frames and passes time.
        recorder: Gets every step.
        pacer: Keeps real time; None runs as fast as the machine allows, or as somebody answers.
        clock: Monotonic nanoseconds.
        on_shown: Told (step, monotonic nanoseconds) of every frame that is on the screen; None for nobody.
    """

    begun: int
    """Episodes recorded so far, the one that runs included."""
    step: int
    """Steps of the present episode that are done."""

    def __init__(
        self,
        setup: Setup,
        driver: Driver,
        display: Display,
        recorder: PatientRecorder | Unrecorded,
        pacer: Pacer | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
        on_shown: Callable[[int, int], None] | None = None,
    ) -> None:
        self._setup = setup
        self._spec = setup.task.spec
        self._driver = driver
        self._display = display
        self._recorder = recorder
        self._pacer = pacer if self._spec.paced else None
        self._clock = clock
        self._on_shown = on_shown
        self.begun = self.step = 0
        self._before = self._total = 0
        self._probes: dict[int, bool] = {}
        """Steps of the present episode at which it stops, and whether the original is shown there."""
        self._marks: list[PictureMark] = []
        """Marks on the pictures on the screen that are still to be recorded."""

    def run(self, plan: EpisodePlan, heading: str, before: int = 0, total: int = 0) -> EpisodeResult:
        """Drive one episode to its end.

        Args:
            plan: The episode.
            heading: Above it; the question alone if empty, where the task waits for answers.
            before: Pictures of such a task that were there before it, among those that are counted together.
            total: How many these are; those of this episode if 0.

        Raises:
            EndSession, RedoEpisode: If it was cut short; it is then recorded as aborted.
        """
        return alone(self.drive(plan, heading, before, total), self._setup.model)

    def drive(self, plan: EpisodePlan, heading: str, before: int = 0, total: int = 0) -> Stepwise[EpisodeResult]:
        """Do the same as a generator, whose caller encodes and decodes."""
        setup, self.step = self._setup, 0
        self._before, self._total = before, total or plan.steps
        self._marks.clear()
        if setup.switch is not None:
            setup.switch.begin()
            plan = replace(plan, condition=setup.switch.shown)
        channel = self._channel(plan, plan.condition)
        info = EpisodeInfo(
            phase=plan.phase,
            condition=plan.condition,
            seed=plan.seed,
            bits_per_step=channel.bits,
            mask_interval=setup.channel.mask_interval,
            fill=setup.channel.fill,
            packet_bytes=channel.packet_bytes,
            started_ns=0,
            noisy=channel.noisy,
        )
        self._driver.reset()
        if setup.probes and self._spec.paced and plan.phase == "evaluation":
            self._probes = draw_probes(setup.probes, plan.steps, np.random.default_rng([setup.seed, plan.number, 1]))
        else:
            self._probes = {}
        tally = Tally(self._spec)
        status: Literal["complete", "aborted"] = "aborted"
        run = episode(setup.task, plan.seed, plan.steps, channel, self._clock)
        begun = self.begun
        try:
            request = next(run)
            while True:
                if isinstance(request, Encode | Decode):
                    request = run.send((yield request))
                else:
                    request = run.send(self._answer(request, plan, info, heading, tally))
        except StopIteration:
            status = "complete"
        finally:
            run.close()
            if self.begun > begun:
                self._recorder.end_episode(status)
        seen = plan.condition if setup.switch is None else " and ".join(setup.switch.seen)
        return EpisodeResult(replace(plan, condition=seen), self.step, tally.values())

    def _channel(self, plan: EpisodePlan, condition: str) -> Channel | Bypass:
        setup = self._setup
        chances = np.random.default_rng([setup.seed, plan.number])
        fitted = setup.fitted.get(condition)
        return build_channel(condition, setup.channel, setup.model, chances, fitted, self._clock)

    def _answer(
        self, request: Act | Row, plan: EpisodePlan, info: EpisodeInfo, heading: str, tally: Tally
    ) -> Acted | None:
        if isinstance(request, Act):
            hud = self._hud(heading, plan, request)
            if request.step == 0:
                self._begin(info, request, hud)
            elif self._pacer:
                self._pacer.paused(self._display.wait(self._pacer.show_at()))
            if request.step in self._probes:
                self._probe(request, hud)
            acted = self._act(request, hud)
            switch = None if len(request.page) > 1 else self._setup.switch  # what has crossed already stays
            turned = None if switch is None else switch.turn()
            return acted if turned is None else replace(acted, channel=self._channel(plan, turned))
        if self._setup.switch is not None:
            self._setup.switch.count(request.step.bits, request.lost)
        self._record(request, heading, plan, tally)
        return None

    def _begin(self, info: EpisodeInfo, request: Act, hud: Hud) -> None:
        if self._spec.paced:
            self._display.countdown(self._dark(hud), request.shown, self._beside(request.original))
        self._last = request
        self._recorder.begin_episode(replace(info, started_ns=self._clock()))
        self.begun += 1
        if self._pacer:
            self._pacer.begin()

    def _act(self, request: Act, hud: Hud) -> Acted:
        person = isinstance(self._driver, KeyboardDriver)
        if person and self._spec.page > 1:
            self._last = request
            return self._marked(request, hud)
        if person and self._spec.fixation_seconds:
            fixated_ns = self._display.show(_cross(self._spec.frame), self._dark(hud))
            self._display.wait(fixated_ns + round(self._spec.fixation_seconds * 1e9))
        begun = self._clock()
        shown_ns = self._display.show(request.shown, hud, self._beside(request.original))
        if self._on_shown is not None:
            self._on_shown(request.step, shown_ns)
        display_ns = self._clock() - begun
        self._last = request
        if self._pacer:
            self._pacer.shown(shown_ns)
            self._pacer.paused(self._display.wait(self._pacer.decide_at()))
        elif not self._spec.paced:
            if person:
                lasts = self._spec.shown_seconds
                gone = np.full(self._spec.frame, _GREY, np.uint8) if lasts else None
                # During a pause there was nothing to see.
                shown_ns += self._display.await_answer(gone, shown_ns + round(lasts * 1e9))
            else:  # whoever watches has time to see what is answered, and simulated time passes
                self._display.wait(shown_ns + round(self._spec.step_seconds * 1e9))
        action = self._driver.act(request.shown)
        decided_ns = self._clock()
        pressed_ns = self._driver.pressed_ns if isinstance(self._driver, TimedDriver) else None
        return Acted(action, shown_ns, decided_ns if pressed_ns is None else max(pressed_ns, shown_ns), display_ns)

    def _probe(self, request: Act, hud: Hud) -> None:
        """Stop, show the frame that is due or its original, record what is answered, and go on."""
        begun, place, dark = self._clock(), (self.begun - 1, request.step), self._dark(hud)
        self._recorder.event("pause", PROBE, begun, *place)
        original = self._probes[request.step]
        frame = request.original if original else request.shown
        shown_ns = self._display.show(frame, replace(dark, mark="?"))
        person = isinstance(self._driver, KeyboardDriver)
        if person:
            self._driver.reset()  # taps from before
        self._display.wait(shown_ns + round(PROBE_SECONDS * 1e9))
        action = self._driver.act(frame) if person else _asked(self._driver, frame)
        answer = Probe(request.step, original, action).detail(tuple(each.name for each in self._spec.actions))
        self._recorder.event(PROBE, answer, self._clock(), *place)
        self._display.countdown(dark, request.shown, self._beside(request.original))
        self._recorder.event("resume", PROBE, self._clock(), *place)
        if self._pacer:
            self._pacer.paused(self._clock() - begun)

    def _marked(self, request: Act, hud: Hud) -> Acted:
        """Return what was made of a picture of several; the first of a page waits until all are seen to."""
        if not self._marks:
            # The times of a recording increase: pictures shown together are a nanosecond apart.
            found = enumerate(self._display.mark(request.page, hud))
            self._marks += [replace(mark, shown_ns=mark.shown_ns + place) for place, mark in found]
            if self._on_shown is not None:
                for place, mark in enumerate(self._marks):
                    self._on_shown(request.step + place, mark.shown_ns)
        mark = self._marks.pop(0)
        return Acted(0 if mark.marked else 1, mark.shown_ns, max(mark.response_ns, mark.shown_ns))

    def _record(self, row: Row, heading: str, plan: EpisodePlan, tally: Tally) -> None:
        begun = self._clock()
        if self._recorder.append(row.step):
            # The disk refused for a while: whoever sits there gets ready once more.
            hud = self._hud(heading, plan, self._last)
            if self._spec.paced:
                self._display.countdown(self._dark(hud), self._last.shown, self._beside(self._last.original))
            if self._pacer:
                self._pacer.paused(self._clock() - begun)
        self.step += 1
        tally.add(row.step.metrics, row.over)

    def _hud(self, heading: str, plan: EpisodePlan, request: Act) -> Hud:
        counted = (self._before, self._total) if not self._spec.paced else (0, plan.steps)
        reach = self._setup.task.reach(plan.steps) if isinstance(self._setup.task, Reaching) else None
        hud = hud_at(self._spec, self._setup.text, heading, request.step, *counted, request.metrics, reach)
        switch, side = self._setup.switch, self._setup.photodiode
        hud = replace(hud, mark=self._setup.mark if switch is None else switch.mark)
        page = request.step // self._spec.page
        return replace(hud, photodiode=(side, self._spec.fixation_seconds > 0 or page % 2 == 0)) if side else hud

    @staticmethod
    def _dark(hud: Hud) -> Hud:
        """Return what stands around what comes before a frame: a photodiode sees nothing yet."""
        return hud if hud.photodiode is None else replace(hud, photodiode=(hud.photodiode[0], False))

    def _beside(self, original: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        return original if self._setup.beside else None


def _asked(driver: Driver, frame: NDArray[np.uint8]) -> int:
    """Return what a program would do on seeing a frame; it knows nothing of having been asked.

    Raises:
        DriverError: If there can be no second one like it.
    """
    try:
        other = copy.deepcopy(driver)
    except Exception as error:  # whatever somebody else's driver is made of
        raise DriverError(
            f"this driver cannot be copied, which probes take ({type(error).__name__}); set probes to 0"
        ) from error
    return other.act(frame)


def hud_at(
    spec: TaskSpec,
    text: TaskText,
    heading: str,
    step: int,
    before: int,
    total: int,
    metrics: Mapping[str, float] | None = None,
    reach: float | None = None,
) -> Hud:
    """Return what stands around a frame.

    Args:
        spec: Of the task.
        text: The task's, in the participant's language.
        heading: Above it; the question alone if empty, where the task waits for answers.
        step: Of the episode, from 0.
        before: Steps that are counted together with those of the episode and were there before it.
        total: How many steps are counted together, 1 or more.
        metrics: What the task came to so far; None before anything was done.
        reach: What the primary metric, which begins with 0, can come to in the episode; None where nobody knows.
    """
    seen = before + step
    if not spec.paced:  # answers are not commented on
        return Hud(f"{heading}: {text.title}" if heading else text.title, seen / total, count=(seen + 1, total))
    primary = spec.primary
    low, high = primary.bounds
    value = metrics[primary.name] if metrics else max(low, min(high, 0.0))
    said = f"{100 * value:.0f} %" if primary.unit == "fraction" else f"{value:.3g}"
    share = primary.share(value) if reach is None else min(max(value / reach, 0.0), 1.0)
    return Hud(heading, seen / total, text.primary or primary.title, said, share)


def _cross(shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return what is looked at before a frame of a shape: a cross in the middle of grey, uint8[H, W, C]."""
    height, width, _ = shape
    frame = np.full(shape, _GREY, np.uint8)
    row, column, arm, half = height // 2, width // 2, max(min(height, width) // 16, 2), max(min(height, width) // 64, 1)
    frame[row - half : row + half, column - arm : column + arm] = 16
    frame[row - arm : row + arm, column - half : column + half] = 16
    return frame
