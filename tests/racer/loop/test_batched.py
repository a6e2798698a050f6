from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from racing_builders import CAR_RACING, SESSION
from tiny_models import tiny_model
from tiny_tasks import LEVELS, Shades, shade_of

import sessions
from compression.fitting.fitted import FittedModel
from compression.model.latent_model import LatentModel
from racer.drivers.driver import Driver
from racer.drivers.registry import make_driver
from racer.errors import ConfigError
from racer.loop.attended import Unrecorded
from racer.loop.batched import Clock, Job, Score, simulate
from racer.loop.conditions import ChannelConfig, load_fitted_models
from racer.loop.episode import block_seeds
from racer.loop.lockstep import GROUP, in_groups
from racer.recordings.verification import verify_recordings
from racer.sitting.start import StartConfig, resolved
from racer.software import software
from racer.tasks.registry import make_task
from racer.tasks.task import Outcome, Task, TaskSpec, Trial

JOB = Job("pico", ChannelConfig(), CAR_RACING, trial_seed=11, driver="simulated", person=3, steps=8, seed=5)
Drive = Callable[..., list[Score]]


@pytest.fixture(scope="module")
def fitted(model: LatentModel) -> dict[str, FittedModel]:
    return load_fitted_models(["pico"], (), model)


@pytest.fixture
def drive(model: LatentModel, fitted: dict[str, FittedModel]) -> Drive:
    return lambda jobs, **options: list(simulate(jobs, model, fitted, **options))


class Memory(Unrecorded):
    """Keeps what crossed and what was done in every step."""

    def __init__(self) -> None:
        self.steps: list[sessions.Step] = []

    def append(self, step: sessions.Step) -> bool:
        """Keep a step."""
        self.steps.append(step)
        return False

    @property
    def crossed(self) -> list[tuple[bytes, bytes, int]]:
        return [(step.packet, step.received.tobytes(), step.action) for step in self.steps]


class Counted:
    """A task that counts which of its trials were begun and given back."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.closed: list[int] = []

    @property
    def spec(self) -> TaskSpec:
        return CAR_RACING.spec

    def start(self, seed: int) -> Trial:
        self.begun.append(seed)
        trial, closed = CAR_RACING.start(seed), self.closed

        class Closing:
            def frame(self) -> NDArray[np.uint8]:
                return trial.frame()

            def step(self, action: int) -> Outcome:
                return trial.step(action)

            def deviation(self) -> float:
                return 0.0

            def close(self) -> None:
                closed.append(seed)
                trial.close()

        return Closing()


def jobs() -> list[Job]:
    """Return drives that differ in everything, some shorter than others."""
    noisy = ChannelConfig(bits=12, fill="predict", noise="erasures", noise_rate=0.3)
    return [
        JOB,
        replace(JOB, condition="random", channel=ChannelConfig(mask_interval="step", fill="prior"), seed=6),
        replace(JOB, condition="raw", steps=3),
        replace(JOB, condition="full", trial_seed=12, person=4),
        replace(JOB, condition="random", channel=noisy, steps=5),
        replace(JOB, task=make_task("car-racing", {"speed": 60.0}), seed=7),
        replace(JOB, driver="simulated:9", steps=1),
    ]


@pytest.mark.parametrize("lanes", [1, 3, 16])
def test_a_drive_does_not_depend_on_those_beside_it(lanes: int, drive: Drive) -> None:
    kept: dict[Job, list[Memory]] = {job: [] for job in jobs()}

    def record(job: Job, clock: Clock) -> Memory:
        kept[job].append(Memory())
        return kept[job][-1]

    alone = [drive([job], record=record)[0] for job in jobs()]
    assert drive(jobs(), lanes=lanes, record=record) == alone
    assert drive(jobs()[::-1], lanes=lanes, record=record) == alone[::-1]
    for first, *others in kept.values():
        assert len(others) == 2
        assert all(other.crossed == first.crossed for other in others)


def test_scores_come_in_the_order_of_the_jobs_and_as_soon_as_they_are_due(
    model: LatentModel, fitted: dict[str, FittedModel]
) -> None:
    taken: list[int] = []

    def endless() -> Iterator[Job]:
        for number in range(10**9):
            taken.append(number)
            yield replace(JOB, steps=1 + number % 3, seed=number)

    scores = simulate(endless(), model, fitted, lanes=2)
    assert [next(scores).steps for _ in range(5)] == [1, 2, 3, 1, 2]
    assert len(taken) < 12
    scores.close()  # type: ignore[attr-defined]  # it is a generator


def test_the_driver_is_the_same_person_on_every_drive_and_the_seed_its_luck(model: LatentModel) -> None:
    frames = model.decode_latents(np.random.default_rng(1).standard_normal((200, 32)).astype(np.float32))

    def pressed(person: int, seed: int) -> tuple[int, ...]:
        driver = make_driver(JOB.driver, JOB.task, person, seed)
        driver.reset()
        return tuple(driver.act(frame) for frame in frames)

    assert pressed(3, 5) == pressed(3, 5) != pressed(3, 6)
    drivers = [make_driver(JOB.driver, JOB.task, *who) for who in ((3, 5), (3, 6), (4, 5))]
    traits = [vars(driver)["traits"] for driver in drivers]
    assert traits[0] == traits[1] != traits[2]


def test_a_job_names_the_person_and_its_own_seed_decides_the_persons_luck(
    drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int, int | None]] = []

    def making(name: str, task: Task, person: int, dice: int | None = None) -> Driver:
        asked.append((name, person, dice))
        return make_driver(name, task, person, dice)

    monkeypatch.setattr("racer.loop.batched.make_driver", making)
    drive([JOB, replace(JOB, person=4, seed=9)])
    assert asked == [("simulated", 3, 5), ("simulated", 4, 9)]


def test_a_shadow_answers_the_original_frames_and_changes_nothing(drive: Drive) -> None:
    fast = make_task("car-racing", {"speed": 100.0})
    jobs = [replace(JOB, condition=name, task=fast, steps=80) for name in ("raw", "full", "blind")]
    bare, watched = drive(jobs), drive([replace(job, shadow=True) for job in jobs])
    assert [score.agreement for score in bare] == [None] * 3
    assert [replace(score, agreement=None) for score in watched] == bare
    raw, full, blind = (score.agreement for score in watched)
    assert raw == 1.0, "who sees the original frames agrees with their shadow"
    assert full is not None and blind is not None
    assert 0 < blind < full


def test_bits_and_losses_are_counted(drive: Drive) -> None:
    lossy = ChannelConfig(bits=12, noise="erasures", noise_rate=1.0)
    scores = drive([JOB, replace(JOB, condition="raw"), replace(JOB, condition="full"), replace(JOB, channel=lossy)])
    assert [(score.bits_mean, score.bits_most) for score in scores] == [(85, 85), (0, 0), (170, 170), (12, 12)]
    assert [score.lost for score in scores] == [0, 0, 0, 1]


def test_a_packet_that_noise_made_nonsense_counts_as_lost_though_it_arrived(drive: Drive) -> None:
    memory = Memory()
    flips = ChannelConfig(mask_interval="step", noise="flips", noise_rate=0.3)
    (score,) = drive([replace(JOB, channel=flips, steps=30)], record=lambda job, clock: memory)
    nonsense = [step for step in memory.steps if step.arrived and not step.mask.any()]
    assert all(step.arrived and any(step.packet) for step in memory.steps)
    assert score.lost == len(nonsense) / 30 > 0


def test_a_score_is_what_the_recorded_metrics_come_to(drive: Drive) -> None:
    memory = Memory()
    (score,) = drive([JOB], record=lambda job, clock: memory)
    assert score.steps == len(memory.steps) == JOB.steps
    for metric in CAR_RACING.spec.metrics:
        values = np.array([step.metrics[metric.name] for step in memory.steps])
        assert score.metrics[metric.name] == pytest.approx(metric.of_trial(values), rel=1e-12)


def test_a_score_says_how_it_was_driven_and_is_the_same_with_a_recorder_and_without(drive: Drive) -> None:
    fast = replace(JOB, condition="blind", task=make_task("car-racing", {"speed": 100.0}), steps=120)
    memory = Memory()
    (score,), (recorded,) = drive([fast]), drive([fast], record=lambda job, clock: memory)
    assert score == recorded
    failing = [False, *(bool(step.metrics["off_road"]) for step in memory.steps)]
    begun = sum(now and not before for before, now in pairwise(failing))
    assert begun > 0, "who sees nothing leaves the road"
    assert score.behaviour["failures"] == pytest.approx(begun * 60 / (120 * fast.task.spec.step_seconds))
    assert score.behaviour["deviation"] > drive([replace(fast, condition="raw")])[0].behaviour["deviation"]


def test_time_passes_by_the_tasks_steps(drive: Drive) -> None:
    memory = Memory()
    told: list[int] = []

    def record(job: Job, clock: Clock) -> Memory:
        told.append(clock())
        return memory

    drive([JOB], record=record)
    assert told == [0]
    assert [step.time_ns for step in memory.steps] == [step * 20_000_000 for step in range(JOB.steps)]
    assert [step.response_ns for step in memory.steps] == [step.time_ns for step in memory.steps]


def test_a_block_of_self_paced_trials_goes_from_seed_to_seed(tmp_path: Path) -> None:
    model, memory = tiny_model(tmp_path / "model", LEVELS), Memory()
    job = replace(JOB, condition="raw", task=Shades(), trial_seed=40, driver="tiny_tasks:onlooker_of_shades", steps=5)
    (score,) = simulate([job], model, {}, record=lambda job, clock: memory)
    assert [step.stimulus for step in memory.steps] == block_seeds(40, 5)
    right = [step.action == shade_of(step.stimulus) for step in memory.steps]
    assert (score.steps, score.metrics["correct"]) == (5, sum(right) / 5)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"seed": -1}, {"person": -1}])
def test_a_job_that_cannot_be_driven_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        replace(JOB, **wrong)  # type: ignore[arg-type]


def test_an_unknown_condition_ends_the_simulation_and_names_the_nearest(drive: Drive) -> None:
    with pytest.raises(ConfigError, match="did you mean 'random'"):
        drive([JOB, replace(JOB, condition="randum")])


def test_no_frame_or_latent_depends_on_its_company(model: LatentModel) -> None:
    rng = np.random.default_rng(0)
    frames = list(rng.integers(256, size=(3 * GROUP - 1, 64, 64, 3), dtype=np.uint8))
    latents = list(rng.standard_normal((len(frames), 32)).astype(np.float32))
    for work, items in ((model.encode_frames, frames), (model.decode_latents, latents)):
        done = in_groups(work, items)
        assert len(done) == len(items)
        for _ in range(5):
            order = rng.permutation(len(items))[: rng.integers(1, len(items) + 1)]
            again = in_groups(work, [items[i] for i in order])
            assert [each.tobytes() for each in again] == [done[i].tobytes() for i in order]
        assert in_groups(work, []) == []


def test_what_is_recorded_of_a_drive_verifies_and_changes_nothing(
    tmp_path: Path, model: LatentModel, fitted: dict[str, FittedModel], drive: Drive
) -> None:
    noisy = ChannelConfig(noise="flips", noise_rate=0.01)
    driven = [JOB, replace(JOB, condition="raw"), replace(JOB, condition="random", channel=noisy)]

    def record(job: Job, clock: Clock) -> sessions.Recorder:
        config = StartConfig("p01", channel=job.channel, task=job.task, driver="simulated", headless=True)
        info = replace(
            SESSION,
            session_id=sessions.new_session_id(),
            protocol="evaluation",
            driver=config.driver,
            trial_run=config.trial_run,
            config={**resolved(config, 0), "protocol": {}, "order": None},
            software=software(),
            model_sha256=model.sha256,
            fitted_sha256=fitted["pico"].sha256,
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


def test_a_recording_that_cannot_be_opened_gives_every_trial_back(
    model: LatentModel, fitted: dict[str, FittedModel]
) -> None:
    task = Counted()

    def record(job: Job, clock: Clock) -> Memory:
        if job.trial_seed == 12:
            raise OSError("no room")
        return Memory()

    job = replace(JOB, task=task)
    with pytest.raises(OSError, match="no room"):
        list(simulate([job, replace(job, trial_seed=12)], model, fitted, record=record))
    assert 11 in task.begun
    assert sorted(task.closed) == sorted(task.begun)


def test_trials_and_recordings_are_given_back_when_a_simulation_is_abandoned(
    tmp_path: Path, model: LatentModel, fitted: dict[str, FittedModel]
) -> None:
    task = Counted()

    def record(job: Job, clock: Clock) -> sessions.Recorder:
        return sessions.Recorder(tmp_path, replace(SESSION, session_id=sessions.new_session_id()))

    job = replace(JOB, task=task)
    scores = simulate([replace(job, steps=1), job], model, fitted, record=record)
    next(scores)
    scores.close()  # type: ignore[attr-defined]  # it is a generator
    assert sorted(task.closed) == sorted(task.begun) == [11, 11]
    statuses = []
    for path in sessions.find_recordings(tmp_path):
        with sessions.open(path) as session:
            statuses.append(session.status)
    assert sorted(statuses) == ["aborted", "complete"]
