"""The step core: the same episode, byte for byte, whether it is attended or one of a batch."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from racing_builders import CAR_RACING, RIGHT, SESSION, STRAIGHT
from tiny_models import GREY, tiny_model
from tiny_tasks import LEVELS, Drift, Shades

import sessions
from compression.channel import Bypass, Channel, Downlink
from compression.model.latent_model import LatentModel
from racer.drivers.registry import make_driver
from racer.loop.attended import EpisodeRun, Setup
from racer.loop.batched import Clock, Job, simulate
from racer.loop.conditions import ChannelConfig, build_channel, condition_names, load_fitted_models
from racer.loop.display import NoDisplay
from racer.loop.episode import Act, Acted, Decode, Encode, Request, Row, Tally, block_seeds, episode
from racer.loop.patience import PatientRecorder
from racer.sitting.protocol import EpisodePlan
from racer.tasks.record import record_of
from racer.tasks.registry import make_task
from racer.tasks.task import Metric, Outcome, Task, TaskSpec

TIMES = ("time_ns", "response_ns", "stage_us")


# Attended and batched -----------------------------------------------------------------------------------------------

NOISY = {
    "erasures": ChannelConfig(mask_interval="step", fill="predict", noise="erasures", noise_rate=0.3),
    "flips": ChannelConfig(mask_interval="step", fill="prior", noise="flips", noise_rate=0.05),
    "gaussian": ChannelConfig(bits=20, noise="gaussian", noise_rate=0.5),
}
FITTED_ELSEWHERE = ("perceptual", "agent")
TOO_WIDE = ("png",)
"""No recording holds their packets."""
UNDER = {
    name: (name, ChannelConfig(bits=40)) for name in condition_names() if name not in (*FITTED_ELSEWHERE, *TOO_WIDE)
}
UNDER |= {f"{name} {noise}": (name, config) for noise, config in NOISY.items() for name in ("random", "full", "jpeg")}
JOBS = {
    name: Job(condition, channel, CAR_RACING, trial_seed=11, driver="simulated", person=3, steps=6, seed=5)
    for name, (condition, channel) in UNDER.items()
}
MINE = {
    "drift": Job("pico", ChannelConfig(bits=30), Drift(), 4, "tiny_tasks:onlooker_of_drift", 0, 6, 1),
    "drift noisy": Job(
        "random", replace(NOISY["erasures"], bits=30), Drift(), 4, "tiny_tasks:onlooker_of_drift", 0, 6, 1
    ),
    "drift jpeg": Job("jpeg", ChannelConfig(), Drift(), 4, "tiny_tasks:onlooker_of_drift", 0, 6, 1),
}
BLOCKS = {
    "shades": Job("random", ChannelConfig(bits=12), Shades(), 40, "tiny_tasks:onlooker_of_shades", 0, 5, 1),
    "shades raw": Job("raw", ChannelConfig(), Shades(), 40, "tiny_tasks:onlooker_of_shades", 0, 5, 1),
}


def attended(job: Job, model: LatentModel, recorder: sessions.Recorder) -> dict[str, float]:
    """Drive a job as a sitting does; return its metrics."""
    fitted = load_fitted_models([job.condition], (), model)
    # A sitting draws from its own seed and the episode's number, as if they were one number's words of 32 bits.
    setup = Setup(job.task, job.channel, model, fitted, job.seed, job.task.spec.text("en"))
    driver = make_driver(job.driver, job.task, job.person, job.seed)
    with PatientRecorder(recorder, lambda error: None) as patient:
        run = EpisodeRun(setup, driver, NoDisplay(), patient)
        result = run.run(EpisodePlan(0, "evaluation", job.condition, job.trial_seed, job.steps), "")
        patient.close("complete")
    return result.metrics


def recorder(folder: Path, name: str, job: Job, model: LatentModel) -> sessions.Recorder:
    return sessions.Recorder(folder / name.replace(" ", "-"), replace(SESSION, task=record_of(job.task, model)))


def recorded(folder: Path, name: str) -> dict[str, Any]:
    """Return everything but times that a recording says of its one episode."""
    (path,) = sessions.find_recordings(folder / name.replace(" ", "-"))
    with sessions.open(path) as session:
        (each,) = session.episodes
        columns = {column: each[column].tobytes() for column in each.columns if column not in TIMES}
        return {**asdict(each.info), "started_ns": 0, "status": each.status, "steps": each.n_steps, **columns}


def check_one_core(jobs: dict[str, Job], model: LatentModel, folder: Path) -> None:
    """Check that jobs come out alike attended, one after the other, and side by side."""
    fitted = load_fitted_models([job.condition for job in jobs.values()], (), model)
    scores = {}
    for lanes in (1, 4):
        names = iter(jobs)

        def record(job: Job, clock: Clock, names: Any = names, lanes: int = lanes) -> sessions.Recorder:
            return recorder(folder / f"lanes{lanes}", next(names), job, model)

        scores[lanes] = list(simulate(jobs.values(), model, fitted, lanes=lanes, group=1, record=record))
    assert scores[1] == scores[4]
    for (name, job), score in zip(jobs.items(), scores[1], strict=True):
        assert attended(job, model, recorder(folder / "attended", name, job, model)) == score.metrics
        alone = recorded(folder / "attended", name)
        assert alone["steps"] == score.steps == job.steps
        for lanes in (1, 4):
            batched = recorded(folder / f"lanes{lanes}", name)
            assert {key for key in alone if alone[key] != batched[key]} == set(), (name, lanes)


def test_attended_and_batched_episodes_are_the_same_in_every_recorded_byte(tmp_path: Path, model: LatentModel) -> None:
    check_one_core(JOBS, model, tmp_path)


@pytest.mark.parametrize(("jobs", "sizes"), [(MINE, GREY), (BLOCKS, LEVELS)], ids=["paced", "self-paced"])
def test_so_are_those_of_tasks_of_other_sizes(jobs: dict[str, Job], sizes: Any, tmp_path: Path) -> None:
    check_one_core(jobs, tiny_model(tmp_path / "model", sizes), tmp_path)


# The generator ------------------------------------------------------------------------------------------------------


@dataclass
class Answers:
    """Answers requests and keeps what was asked."""

    model: LatentModel
    actions: Sequence[int] = (RIGHT, STRAIGHT)
    asked: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)

    def drive(self, task: Task, channel: Channel | Bypass, steps: int, seed: int = 11, **options: Any) -> None:
        """Run an episode."""
        run = episode(task, seed, steps, channel, lambda: 0, **options)
        answer: Any = None
        while True:
            try:
                request = run.send(answer)
            except StopIteration:
                return
            answer = self._answer(request)

    def _answer(self, request: Request) -> Any:
        self.asked.append(type(request).__name__)
        if isinstance(request, Encode):
            return self.model.encode_frame(request.frame)
        if isinstance(request, Decode):
            return self.model.decode_latent(request.latent)
        if isinstance(request, Act):
            self.acts.append(request)
            step = len(self.acts)
            return Acted(self.actions[(step - 1) % len(self.actions)], 10 * step, 10 * step + 3)
        self.rows.append(request)
        return None


def channel_of(condition: str, model: LatentModel, **config: Any) -> Channel | Bypass:
    fitted = load_fitted_models([condition], (), model).get(condition)
    return build_channel(condition, ChannelConfig(**config), model, np.random.default_rng(0), fitted)


@pytest.mark.parametrize(
    ("condition", "options", "asked"),
    [
        ("random", {}, ["Encode", "Decode", "Act", "Row"]),
        ("full", {}, ["Encode", "Decode", "Act", "Row"]),
        ("jpeg", {}, ["Act", "Row"]),
        ("raw", {}, ["Encode", "Act", "Row"]),
        ("raw", {"latents": False}, ["Act", "Row"]),
    ],
)
def test_an_episode_asks_for_what_it_cannot_do_itself(
    condition: str, options: dict[str, Any], asked: list[str], model: LatentModel
) -> None:
    answers = Answers(model)
    answers.drive(CAR_RACING, channel_of(condition, model), 2, **options)
    assert answers.asked == asked * 2


def test_a_row_holds_the_answer_to_the_frame_and_what_both_directions_cost(model: LatentModel) -> None:
    answers = Answers(model)
    answers.drive(CAR_RACING, channel_of("random", model), 3)
    steps = [row.step for row in answers.rows]
    assert [step.action for step in steps] == [RIGHT, STRAIGHT, RIGHT]
    assert [(step.time_ns, step.response_ns) for step in steps] == [(10, 13), (20, 23), (30, 33)]
    assert {(step.bits, step.uplink_bits, step.stimulus) for step in steps} == {(85, 2, 11)}
    assert [act.metrics for act in answers.acts] == [None, *(step.metrics for step in steps[:-1])]
    assert [act.step for act in answers.acts] == [0, 1, 2]


def test_both_ends_are_told_what_was_done_before_each_frame(
    model: LatentModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = channel_of("random", model)
    assert isinstance(channel, Channel)
    told: list[int] = []
    carry = channel.transport.carry

    def telling(downlink: Downlink) -> Downlink:
        told.append(downlink.action)
        return carry(downlink)

    monkeypatch.setattr(channel.transport, "carry", telling)
    Answers(model, (RIGHT, 0)).drive(CAR_RACING, channel, 4)
    assert told == [CAR_RACING.spec.neutral, RIGHT, 0, RIGHT]


class Watched:
    """A task whose trials are counted."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.open: list[int] = []
        self.begun: list[int] = []

    @property
    def spec(self) -> TaskSpec:
        return self.task.spec

    def start(self, seed: int) -> Any:
        self.begun.append(seed)
        self.open.append(seed)
        trial = self.task.start(seed)
        watched, kept = self, trial.close

        class Watching:
            def frame(self) -> NDArray[np.uint8]:
                return trial.frame()

            def step(self, action: int) -> Outcome:
                return trial.step(action)

            def close(self) -> None:
                watched.open.remove(seed)
                kept()

        return Watching()


def test_a_block_begins_with_the_seed_goes_on_to_the_next_and_around_the_largest(tmp_path: Path) -> None:
    model, task = tiny_model(tmp_path / "model", LEVELS), Watched(Shades())
    answers = Answers(model, (0, 1, 2))
    answers.drive(task, channel_of("raw", model), 5, seed=7)
    seeds = [row.step.stimulus for row in answers.rows]
    assert seeds == task.begun == block_seeds(7, 5)
    assert len(set(seeds)) == 5 and max(seeds) < 1_000_000
    assert [row.over for row in answers.rows] == [True] * 5
    assert {row.step.uplink_bits for row in answers.rows} == {2}
    assert task.open == []


def test_a_paced_trial_that_is_over_ends_its_episode(tmp_path: Path) -> None:
    model, task = tiny_model(tmp_path / "model", GREY), Watched(Drift(drift=5.0))
    answers = Answers(model, (0,))
    answers.drive(task, channel_of("raw", model), 50)
    assert 1 < len(answers.rows) < 10
    assert [row.over for row in answers.rows] == [False] * (len(answers.rows) - 1) + [True]
    assert (task.begun, task.open) == ([11], [])


@pytest.mark.parametrize("requests", [1, 2, 4, 7])
def test_an_episode_that_is_left_gives_its_trial_back(requests: int, tmp_path: Path) -> None:
    model, task = tiny_model(tmp_path / "model", GREY), Watched(Drift())
    run = episode(task, 3, 9, channel_of("raw", model), lambda: 0)
    answers, answer = Answers(model, (0,)), None
    for _ in range(requests):
        answer = answers._answer(run.send(answer))
    assert task.open == [3]
    run.close()
    assert task.open == []


class Stuck(Drift):
    """A task whose first step is interrupted, and which cannot be closed then."""

    def start(self, seed: int) -> Any:
        trial: Any = super().start(seed)

        def interrupted(action: int) -> Outcome:
            raise KeyboardInterrupt

        def closed() -> None:
            raise AssertionError("in the middle of a step")

        trial.step, trial.close = interrupted, closed
        return trial


def test_ctrl_c_comes_out_whatever_goes_wrong_in_closing_what_it_interrupted(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "model", GREY)
    with pytest.raises(KeyboardInterrupt):
        Answers(model, (0,)).drive(Stuck(), channel_of("raw", model), 5)


@pytest.mark.parametrize("name", ["car-racing", "lunar-lander"])
def test_a_game_interrupted_in_the_middle_of_its_physics_is_given_back(name: str) -> None:
    task = make_task(name)
    trial: Any = task.start(3)
    listener = trial._env.world.contactListener
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        listener.BeginContact = lambda contact: signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            for _ in range(300):
                trial.step(task.spec.start_action)
    finally:
        signal.signal(signal.SIGINT, before)
    assert trial._env.world.locked
    trial.close()
    again = task.start(3)
    again.step(task.spec.start_action)
    again.close()


# The tally ----------------------------------------------------------------------------------------------------------


def spec_of(paced: bool) -> TaskSpec:
    metrics = (Metric("last", "the last one", "points", "higher"), Metric("mean", "all", "points", "", trial="mean"))
    neutral = 0 if paced else None
    return replace(CAR_RACING.spec, name="counting", metrics=metrics, paced=paced, neutral=neutral, failure="")


def tallied(rows: Sequence[tuple[float, bool]], paced: bool) -> dict[str, float]:
    tally = Tally(spec_of(paced))
    for value, over in rows:
        tally.add({"last": value, "mean": value}, over)
    assert tally.steps == len(rows)
    return tally.values()


@pytest.mark.parametrize("over", [False, True])
def test_a_trial_comes_to_its_last_value_or_to_the_mean_over_its_steps(over: bool) -> None:
    assert tallied([(1.0, False), (2.0, False), (6.0, over)], paced=True) == {"last": 6.0, "mean": 3.0}


def test_a_block_comes_to_the_mean_over_its_trials_each_counted_once_however_long() -> None:
    short, long = [(1.0, True)], [(0.0, False), (0.0, False), (9.0, True)]
    assert tallied(short + long, paced=False) == {"last": 5.0, "mean": 2.0}


def test_a_trial_that_is_not_over_counts_by_the_steps_that_it_has() -> None:
    assert tallied([(4.0, True), (1.0, False), (3.0, False)], paced=False) == {"last": 3.5, "mean": 3.0}


def test_nothing_comes_to_nothing() -> None:
    assert tallied([], paced=True) == tallied([], paced=False) == {"last": 0.0, "mean": 0.0}


def test_a_tally_agrees_with_the_metrics_own_account_of_a_trial() -> None:
    values = np.random.default_rng(0).normal(size=50)
    spec = spec_of(paced=True)
    account = {metric.name: metric.of_trial(values) for metric in spec.metrics}
    assert tallied([(value, False) for value in values], paced=True) == pytest.approx(account)
