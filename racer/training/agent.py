"""From a task to an agent that encodes its frames: it imitates the task's simulated people, round by round.

Trials are done in lockstep, so that the frames of all of them pass the agent together. Seeds of training lie between
3,000,000 and 3,999,999, those of held-out trials from 4,000,000 on, where neither sittings nor sweeps nor the training
of latent models go; held-out trials are the same for all agents.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression.channel import Bypass
from compression.coders.agent import AGENT, NAME, fitted_agent
from compression.coders.range_coding import require_constriction
from compression.errors import MaskError
from compression.fitting.agent import AgentConfig, Gathered, Progress, open_work, train_agent
from compression.fitting.agent_card import measure
from compression.fitting.fitted import FittedModel, FittedRecord, dump_fitted
from compression.model.agent import Lagged, QuantisedAgent, agent_sizes
from compression.model.latent_model import LatentModel, chosen_device, use_one_thread
from compression.tensor_files import parse_tensors
from disk.writing import make_folder, write_whole
from racer.drivers.driver import Driver
from racer.drivers.registry import SIMULATED, make_driver, who_drives
from racer.errors import ConfigError, RacerError
from racer.loop.episode import Act, Acted, Row, Tally, episode
from racer.tasks.latent_model import load_task_model
from racer.tasks.registry import make_task
from racer.tasks.task import Task, TaskSpec

FIRST_TRAINED, FIRST_HELD_OUT = 3_000_000, 4_000_000
"""Seeds of trials and people."""
MOST_TRIALS = 1000
"""Most trials in a round."""
LENGTH = 2
"""How long trials are, in lengths of a round."""
WANDER, BURST = 0.02, (3, 15)
"""In the first round: probability per step of starting a burst of one wrong action, and its steps."""
_GATHERED = 0.9
"""Share of the time until an agent is trained."""


@dataclass(frozen=True)
class AgentTraining:
    """What `racer agent train` can be told."""

    task: str
    out: Path
    """File to write."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The task's settings, the same in all trials; others follow its training points."""
    model: Path | None = None
    """Folder of the latent model that the file is for; None for the task's."""
    driver: str = SIMULATED
    """Who is imitated."""
    trials: int = 24
    """Trials in each round."""
    held_out_trials: int = 16
    config: AgentConfig = field(default_factory=AgentConfig)
    work: Path | None = None
    """Where rounds and stages are kept; `<out>.work` if None."""
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not 1 <= self.trials <= MOST_TRIALS or not 1 <= self.held_out_trials <= MOST_TRIALS:
            raise ConfigError(f"trials must lie between 1 and {MOST_TRIALS}")
        if self.out.exists() or self.out.is_symlink():
            raise ConfigError(f"{self.out} exists and was left as it is; give another --out")


@dataclass(frozen=True)
class Done:
    """Trials that were driven."""

    seen: Gathered
    metrics: dict[str, float]
    """Result in each metric, averaged over trials."""


def plan(training: AgentTraining) -> dict[str, Any]:
    """Return what a training would do, without doing anything. Raises as `train`."""
    spec, model = _checked(training)
    config = training.config
    return {
        "task": spec.name,
        "driver": who_drives(training.driver, spec.name),
        "latents": agent_sizes(model.sizes, config.latents).latents,
        "frames_at_most": config.rounds * training.trials * LENGTH * spec.steps,
        "held_out_frames_at_most": training.held_out_trials * LENGTH * spec.steps,
        "agent_steps": config.steps // config.rounds * config.rounds,
        "decoder_steps": config.decoder_steps,
    }


def train(training: AgentTraining, progress: Progress = lambda stage, done: None) -> dict[str, Any]:
    """Train an agent, write its file and return its card. A training that was interrupted goes on where it was.

    Raises:
        RacerError, CompressionError: If it cannot be trained; what is done is kept in the work folder.
    """
    use_one_thread()
    spec, model = _checked(training)
    config = training.config
    family = who_drives(training.driver, spec.name)
    told = {
        "task": training.task,
        "settings": dict(training.settings),
        "driver": training.driver,
        "trials": training.trials,
        "model_sha256": model.sha256,
    }
    device = chosen_device(training.device)
    work = open_work(training.work or training.out.with_name(training.out.name + ".work"), config, told)
    tasks = _tasks(training, spec)

    def gather(number: int, acting: QuantisedAgent | None) -> Gathered:
        seeds = _seeds(training, number)
        return do_trials(tasks, seeds, LENGTH * spec.steps, model, training.driver, acting).seen

    fit = train_agent(model.sizes, gather, config, work, device, lambda stage, done: progress(stage, _GATHERED * done))
    seeds = tuple(seed for number in range(config.rounds) for seed in _seeds(training, number))
    record = FittedRecord(
        NAME, model.sha256, (), (), seeds, asdict(config), task=spec.name, drivers=(family,) if family else ()
    )
    progress("held-out trials", _GATHERED)
    held_out = range(FIRST_HELD_OUT, FIRST_HELD_OUT + training.held_out_trials)
    fitted = fitted_agent(_loaded(dump_fitted(fit.tensors, record), record), model.sizes)
    acting = replace(fitted.acting, step=fit.rate_model.step)
    by_agent = do_trials(tasks, held_out, LENGTH * spec.steps, model, training.driver, acting)
    by_driver = do_trials(tasks, held_out, LENGTH * spec.steps, model, training.driver, None, wander=0.0)
    card = {
        **measure(fitted, fit.rate_model, by_agent.seen.frames),
        "alpha": float(f"{fit.alpha:.6g}"),
        "trials": training.held_out_trials,
        "agent": by_agent.metrics,
        "driver": by_driver.metrics,
    }
    data = dump_fitted(fit.tensors, replace(record, config={**asdict(config), "card": card}))
    try:
        make_folder(training.out.parent)
        write_whole(training.out, data, overwrite=False)
    except FileExistsError as error:
        raise ConfigError(f"{training.out} exists and was left as it is; give another name with --out") from error
    except OSError as error:
        raise RacerError(
            f"cannot write {training.out}: {error.strerror}; what was trained is kept: make room, and run it again"
        ) from error
    progress("done", 1.0)
    return card


def read_card(path: Path, model: LatentModel) -> tuple[FittedRecord, dict[str, Any]]:
    """Return the record of an agent's file, and its card.

    Raises:
        MaskError: If it is none that can be used with the latent model.
    """
    record = AGENT.read(path, model).record
    card = record.config.get("card")
    if not isinstance(card, dict) or not all(isinstance(card.get(key), dict) for key in ("agent", "driver")):
        raise MaskError(f"{path} holds an agent without its data card; make it again with `{AGENT.made_by}`")
    return record, card


def do_trials(
    tasks: Sequence[Task],
    seeds: Sequence[int],
    steps: int,
    model: LatentModel,
    driver: str,
    acting: QuantisedAgent | None,
    wander: float = WANDER,
) -> Done:
    """Do trials in lockstep; whoever is imitated says in every step what to do.

    Args:
        tasks: Taken in turn.
        seeds: Of the trials, and of the people who say what to do.
        steps: The most of a trial.
        model: The latent model; nothing crosses it.
        driver: Who says what to do, as for `--driver`.
        acting: Who acts; None: who says what to do, with bursts of one wrong action.
        wander: Probability per step of starting such a burst.
    """
    with ExitStack() as stack:
        lanes = []
        for number, seed in enumerate(seeds):
            lane = _Lane(tasks[number % len(tasks)], seed, steps, model, driver, wander)
            stack.callback(lane.close)
            lanes.append(lane)
        while under_way := [lane for lane in lanes if lane.waiting]:
            if acting is None:
                actions = [lane.wandering() for lane in under_way]
            else:
                latents = acting.rounded(acting.latents(np.stack([lane.frames[-1] for lane in under_way])))
                before = np.stack([lane.lagged.before(latent) for lane, latent in zip(under_way, latents, strict=True)])
                actions = acting.act(latents, before).tolist()
            for lane, action in zip(under_way, actions, strict=True):
                lane.act(action)
    frames = [np.stack(lane.frames) for lane in lanes]
    starts = np.cumsum([0, *map(len, frames)], dtype=np.int64)
    told = np.array([action for lane in lanes for action in lane.told], np.uint8)
    values = [lane.tally.values() for lane in lanes]
    means = {name: round(float(np.mean([value[name] for value in values])), 6) for name in values[0]}
    return Done(Gathered(np.concatenate(frames), told, starts), means)


class _Lane:
    """One trial under way."""

    waiting: bool
    """Whether there is a frame to be answered."""

    def __init__(self, task: Task, seed: int, steps: int, model: LatentModel, driver: str, wander: float) -> None:
        self._driver: Driver = make_driver(driver, task, seed)
        self._driver.reset()
        self._rng, self._wander, self._wrong = np.random.default_rng([seed, 1]), wander, (0, 0)
        self._actions = len(task.spec.actions)
        self.lagged = Lagged()
        self.tally = Tally(task.spec)
        self.frames: list[NDArray[np.uint8]] = []
        self.told: list[int] = []
        """What the driver would do on seeing each frame."""
        self._episode = episode(task, seed, steps, Bypass(model), lambda: 0, latents=False)
        self._advance(None)

    def wandering(self) -> int:
        """Return what the driver would do, or a wrong action."""
        left, wrong = self._wrong
        if not left and self._rng.random() < self._wander:
            left, wrong = int(self._rng.integers(*BURST)), int(self._rng.integers(self._actions))
        self._wrong = max(0, left - 1), wrong
        return wrong if left else self.told[-1]

    def act(self, action: int) -> None:
        """Act, and go on to the next frame."""
        self._advance(Acted(action, 0, 0))

    def close(self) -> None:
        """Give the trial back."""
        self._episode.close()

    def _advance(self, answer: Acted | None) -> None:
        self.waiting = False
        while True:
            try:
                request = self._episode.send(answer)
            except StopIteration:
                return
            answer = None
            if isinstance(request, Row):
                self.tally.add(request.step.metrics, request.over)
            elif isinstance(request, Act):
                self.waiting = True
                self.frames.append(request.original)
                self.told.append(self._driver.act(request.original))
                return


def _checked(training: AgentTraining) -> tuple[TaskSpec, LatentModel]:
    task = make_task(training.task, training.settings)
    spec = task.spec
    if not spec.paced:
        raise ConfigError(
            f"task {spec.name} waits for answers, and agents are trained in tasks that move on by themselves; nothing "
            "was written: choose another task"
        )
    make_driver(training.driver, task, FIRST_TRAINED)
    model = load_task_model(spec, training.model)
    agent_sizes(model.sizes, training.config.latents)
    require_constriction()  # what is trained is coded at the end
    return spec, model


def _tasks(training: AgentTraining, spec: TaskSpec) -> list[Task]:
    points = spec.training_points or spec.operating_points
    return [make_task(training.task, {**point, **training.settings}) for point in points]


def _seeds(training: AgentTraining, number: int) -> range:
    """Return the seeds of a round. Agents of other seeds meet other trials, as far as they go round."""
    rounds = (FIRST_HELD_OUT - FIRST_TRAINED) // MOST_TRIALS
    block = (training.config.seed * training.config.rounds + number) % rounds
    first = FIRST_TRAINED + MOST_TRIALS * block
    return range(first, first + training.trials)


def _loaded(data: bytes, record: FittedRecord) -> FittedModel:
    return FittedModel(parse_tensors(data)[0], record, hashlib.sha256(data).hexdigest())
