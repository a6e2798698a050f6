"""Episodes one at a time: what the display is asked to do, and when it was answered. The rest: `test_session.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from racing_builders import CAR_RACING, SESSION, STRAIGHT, Clock, Replayer, ScriptedDisplay
from tiny_models import GREY, tiny_model
from tiny_tasks import LEVELS, Drift, Shades, shade_of

import sessions
from compression.model.latent_model import LatentModel
from racer.drivers.keyboard import HeldKeys, KeyboardDriver
from racer.loop.attended import EpisodeResult, EpisodeRun, Setup, Unrecorded, hud_at
from racer.loop.conditions import ChannelConfig
from racer.loop.display import EndSession, Hud, RedoEpisode
from racer.loop.episode import block_seeds
from racer.loop.pacing import Pacer
from racer.loop.simulated_time import SimulatedClock, SimulatedDisplay
from racer.sitting.agenda import Drive
from racer.sitting.protocol import EpisodePlan
from racer.sitting.run import SittingResult, SittingRun, SittingSetup
from racer.tasks.car_racing.task import CarRacing
from racer.tasks.record import record_of
from racer.tasks.task import Task, TaskSpec
from racer.window.texts import english

MS = 1_000_000
SEED = 40
BLOCK = EpisodePlan(0, "evaluation", "random", SEED, 5)
KEY_OF = {0: "a", 1: "s", 2: "d"}


@dataclass
class Scripted(ScriptedDisplay):
    """A display with a clock, in front of which somebody presses keys."""

    clock: Clock = field(default_factory=Clock)
    keys: HeldKeys | None = None
    answers: list[int] = field(default_factory=list)
    """Given in turn to what waits for one, each half a second after it was shown."""
    leave_at_answer: int | None = None
    error: type[Exception] = EndSession
    asked: list[Any] = field(default_factory=list)
    counted: list[Hud] = field(default_factory=list)
    waits: list[int] = field(default_factory=list)

    def countdown(self, hud: Hud, frame: NDArray[np.uint8], original: NDArray[np.uint8] | None = None) -> None:
        """Note it; it takes three seconds."""
        self.counted.append(hud)
        self.clock.now_ns += 3000 * MS

    def show(self, frame: NDArray[np.uint8], hud: Hud, original: NDArray[np.uint8] | None = None) -> int:
        """Show the frame, which takes two milliseconds."""
        super().show(frame, hud, original)
        self.clock.now_ns += 2 * MS
        return self.clock()

    def wait(self, until_ns: int) -> int:
        """Let the time come."""
        self.waits.append(until_ns)
        self.clock.now_ns = max(self.clock(), until_ns)
        return 0

    def await_answer(self, gone: NDArray[np.uint8] | None = None, gone_ns: int = 0) -> int:
        """Press the next key, or leave; the loop notices 7 milliseconds later."""
        assert self.keys is not None
        done = len(self.asked)
        if done == self.leave_at_answer:
            self.leave_at_answer = None
            raise self.error
        self.clock.now_ns += 500 * MS
        self.keys.press(KEY_OF[self.answers[done % len(self.answers)]], self.clock())
        self.keys.release(KEY_OF[self.answers[done % len(self.answers)]])
        self.asked.append(self.clock())
        self.clock.now_ns += 7 * MS
        return 0


@dataclass(frozen=True)
class Fixated(Shades):
    """`Shades` with a cross before each picture."""

    @property
    def spec(self) -> TaskSpec:
        """As of `Shades`."""
        return replace(super().spec, fixation_seconds=0.3)


@pytest.fixture(scope="module")
def levels(tmp_path_factory: pytest.TempPathFactory) -> LatentModel:
    return tiny_model(tmp_path_factory.mktemp("levels"), LEVELS)


def setup_of(task: Task, model: LatentModel, **changes: Any) -> Setup:
    channel = ChannelConfig(bits=30)
    return Setup(task, channel, model, {}, 3, task.spec.text("en"), **changes)


@dataclass
class Seat:
    """Somebody at a display who does `Shades`."""

    display: Scripted
    run: Callable[..., SittingResult]

    def recorded(self, folder: Path) -> sessions.Session:
        (path,) = sessions.find_recordings(folder)
        return sessions.open(path)


def seated(model: LatentModel, folder: Path, answers: list[int], *plans: EpisodePlan) -> Seat:
    task = Shades()
    keys = HeldKeys(task.spec)
    display = Scripted(keys=keys, answers=answers)
    sitting = SittingSetup(
        tuple(Drive(plan, "Round") for plan in plans or [BLOCK]), setup_of(task, model), english().texts
    )

    def run() -> SittingResult:
        recorder = sessions.Recorder(folder, replace(SESSION, task=record_of(task, model)), clock=display.clock)
        pacer = Pacer(10.0, display.clock)
        return SittingRun(sitting, KeyboardDriver(keys), display, recorder, pacer, clock=display.clock).run()

    return Seat(display, run)


# Tasks that wait for answers ----------------------------------------------------------------------------------------


def test_a_block_of_trials_is_one_episode_with_a_row_for_each(levels: LatentModel, tmp_path: Path) -> None:
    answers = [1, 0, 0, 1, 2]
    seat = seated(levels, tmp_path, answers)
    result = seat.run()
    seeds = block_seeds(SEED, 5)
    right = [answer == shade_of(seed) for seed, answer in zip(seeds, answers, strict=True)]
    assert 0 < sum(right) < 5
    with seat.recorded(tmp_path) as session:
        (block,) = session.episodes
        assert (block.status, block.n_steps, session.info.task.paced) == ("complete", 5, False)
        assert block.stimulus.tolist() == seeds
        assert block.action.tolist() == answers
        assert block["correct"].tolist() == right
        assert set(block.uplink_bits.tolist()) == {2}
        for seed, latent in zip(seeds, block.latent, strict=True):
            assert np.array_equal(latent, levels.encode_frame(Shades().start(seed).frame()))
    (each,) = result.episodes
    assert each.steps == 5
    assert each.metrics["correct"] == sum(right) / 5


def test_an_answer_is_timed_by_the_key_and_nobody_is_hurried(levels: LatentModel, tmp_path: Path) -> None:
    seat = seated(levels, tmp_path, [0])
    result = seat.run()
    with seat.recorded(tmp_path) as session:
        (block,) = session.episodes
        assert block.response_ns.tolist() == seat.display.asked
        assert (block.response_ns - block.time_ns).tolist() == [500 * MS] * 5
    assert seat.display.counted == [] and seat.display.waits == []
    assert result.pace is not None and result.pace.steps == 0


def test_a_person_looks_at_a_cross_before_every_picture(levels: LatentModel, tmp_path: Path) -> None:
    task = Fixated()
    keys = HeldKeys(task.spec)
    display = Scripted(keys=keys, answers=[1])
    run = EpisodeRun(setup_of(task, levels), KeyboardDriver(keys), display, Unrecorded(), clock=display.clock)
    run.run(BLOCK, "Round")
    assert len(display.frames) == 10
    assert all(np.array_equal(frame, display.frames[0]) for frame in display.frames[::2])
    assert len(np.unique(display.frames[0])) == 2 and len(display.waits) == 5
    shown = [asked - 500 * MS for asked in display.asked]
    assert [picture - 2 * MS for picture in shown] == display.waits


def test_answers_are_not_commented_on(levels: LatentModel, tmp_path: Path) -> None:
    seat = seated(levels, tmp_path, [0])
    seat.run()
    assert seat.display.huds == [Hud("Round: How bright?", trial / 5, count=(trial + 1, 5)) for trial in range(5)]


def test_no_answer_is_timed_before_its_picture(levels: LatentModel) -> None:
    keys = HeldKeys(Shades().spec)
    clock = Clock()

    class Hasty(Scripted):
        def await_answer(self, gone: NDArray[np.uint8] | None = None, gone_ns: int = 0) -> int:
            keys.press("s", clock() - 10 * MS)
            return 0

    memory = Kept()
    run = EpisodeRun(setup_of(Shades(), levels), KeyboardDriver(keys), Hasty(clock=clock), memory, clock=clock)
    run.run(replace(BLOCK, condition="raw", steps=1), "")
    (step,) = memory.steps
    assert step.response_ns == step.time_ns


@pytest.mark.parametrize(("error", "complete"), [(EndSession, False), (RedoEpisode, True)])
def test_a_block_that_is_cut_short_keeps_its_answers(
    error: type[Exception], complete: bool, levels: LatentModel, tmp_path: Path
) -> None:
    seat = seated(levels, tmp_path, [0])
    seat.display.leave_at_answer, seat.display.error = 3, error
    assert seat.run().complete == complete
    with seat.recorded(tmp_path) as session:
        first, *again = session.episodes
        assert (first.status, first.n_steps, first.rejected) == ("aborted", 3, complete)
        assert [(block.status, block.stimulus.tolist()) for block in again] == [
            ("complete", block_seeds(SEED, 5))
        ] * complete


def test_several_blocks_are_several_episodes(levels: LatentModel, tmp_path: Path) -> None:
    other = replace(BLOCK, number=1, condition="raw", seed=7, steps=2)
    seat = seated(levels, tmp_path, [0, 1], BLOCK, other)
    assert seat.run().complete
    with seat.recorded(tmp_path) as session:
        assert [block.stimulus.tolist() for block in session.episodes] == [block_seeds(40, 5), block_seeds(7, 2)]


def test_who_is_simulated_answers_after_the_time_that_a_step_takes(levels: LatentModel) -> None:
    clock = SimulatedClock()
    memory = Kept()
    run = EpisodeRun(
        setup_of(Shades(), levels), Replayer([1]), SimulatedDisplay(clock), memory, Pacer(10.0, clock), clock
    )
    run.run(BLOCK, "")
    assert [step.time_ns for step in memory.steps] == [trial * 20 * MS for trial in range(5)]
    assert [step.response_ns for step in memory.steps] == [(trial + 1) * 20 * MS for trial in range(5)]


# Paced tasks --------------------------------------------------------------------------------------------------------


class Kept(Unrecorded):
    """Keeps steps; says that time passed at those named."""

    def __init__(self, *waiting: int) -> None:
        self.steps: list[sessions.Step] = []
        self._waiting = waiting

    def append(self, step: sessions.Step) -> bool:
        """Keep a step."""
        self.steps.append(step)
        return len(self.steps) - 1 in self._waiting


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> LatentModel:
    return tiny_model(tmp_path_factory.mktemp("grey"), GREY)


def drifted(model: LatentModel, display: Scripted, recorder: Kept, steps: int = 5, driver: Any = None) -> EpisodeResult:
    run = EpisodeRun(
        setup_of(Drift(), model), driver or Replayer([0]), display, recorder, Pacer(10.0, display.clock), display.clock
    )
    return run.run(EpisodePlan(0, "practice", "random", 8, steps), "Practice 1 of 1")


def test_a_paced_episode_is_counted_down_once_over_its_first_frame_and_then_keeps_the_beat(grey: LatentModel) -> None:
    display, memory = Scripted(), Kept()
    drifted(grey, display, memory)
    assert [hud.steps_done for hud in display.counted] == [0.0]
    times = np.array([step.time_ns for step in memory.steps])
    assert set(np.diff(times[1:]).tolist()) == {100 * MS}


def test_time_that_the_disk_took_is_counted_down_again_and_is_no_step(grey: LatentModel) -> None:
    display, memory = Scripted(), Kept(2)
    drifted(grey, display, memory)
    assert [hud.steps_done for hud in display.counted] == [0.0, 2 / 5]
    assert np.diff([step.time_ns for step in memory.steps])[2] == 3100 * MS


def test_time_that_the_disk_took_hurries_nobody_who_answers(levels: LatentModel) -> None:
    display, memory = Scripted(), Kept(1, 2)
    EpisodeRun(setup_of(Shades(), levels), Replayer([0]), display, memory, clock=display.clock).run(BLOCK, "")
    assert display.counted == []
    assert len(memory.steps) == 5


def test_people_are_told_of_a_metric_in_its_own_terms(grey: LatentModel) -> None:
    display, memory = Scripted(), Kept()
    result = drifted(grey, display, memory)
    distances = [step.metrics["distance"] for step in memory.steps]
    shares = [distance / 20 for distance in distances[:-1]]
    assert [hud.score_share for hud in display.huds] == [0.0, *shares]
    assert [hud.score for hud in display.huds] == ["0", *(f"{distance:.3g}" for distance in distances[:-1])]
    assert {hud.score_label for hud in display.huds} == {"distance"}
    assert result.metrics["distance"] == pytest.approx(np.mean(distances))
    assert result.metrics["jumps"] == 0


def test_the_time_of_a_tap_is_recorded_and_where_a_key_is_only_held_that_of_deciding(model: LatentModel) -> None:
    keys = HeldKeys(CAR_RACING.spec)

    class Tapping(Scripted):
        def wait(self, until_ns: int) -> int:
            if len(self.frames) == 2 and until_ns > self.clock() + 50 * MS:
                keys.press("left", self.clock() + 30 * MS)
            return super().wait(until_ns)

    display, memory = Tapping(), Kept()
    setup = setup_of(CAR_RACING, model)
    pacer = Pacer(10.0, display.clock)
    run = EpisodeRun(setup, KeyboardDriver(keys), display, memory, pacer, display.clock)
    run.run(EpisodePlan(0, "practice", "raw", 8, 4), "")
    assert [step.action for step in memory.steps] == [STRAIGHT, 0, 0, 0]
    waited = [step.response_ns - step.time_ns for step in memory.steps]
    assert waited[1] == 30 * MS
    # Each frame takes 2 ms to show; the driver decides 12 ms before the next is due.
    assert [round(each / MS) for each in (waited[0], *waited[2:])] == [86, 86, 86]


def test_the_bar_shows_what_was_reached_of_what_can_be() -> None:
    spec, text = CAR_RACING.spec, CAR_RACING.spec.text("en")
    reach = CAR_RACING.reach(100)
    assert 0.08 < reach < 0.12
    metrics = {metric.name: 0.0 for metric in spec.metrics} | {"progress": reach / 2}
    hud = hud_at(spec, text, "", 50, 0, 100, metrics, reach)
    assert (hud.score, hud.score_share) == ("5 %", pytest.approx(0.5))
    beyond = hud_at(spec, text, "", 50, 0, 100, metrics | {"progress": 1.0}, reach)
    assert beyond.score_share == 1.0
    assert CarRacing(handling="forgiving").reach(100) == CAR_RACING.reach(10**6) == 1.0
