"""Frames to train a latent model on: a task done by its own simulated people, or pictures from a folder.

People act as they do, with bursts of one wrong action, so that bad places are seen too. No seed of a trial, person or
burst is shared by the splits, nor with sittings, whose seeds lie below 1,000,000, sweeps, whose lie above 10^9, or
coders, which learn from seeds of 1,500,000 and more (`racer.training.labelled`) or of 3,000,000 and more. A task that
waits for answers gets them by chance: its pictures follow from seeds, and a run is a block of them.

Each run is a file of its own, so that a collection that was interrupted goes on where it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from disk.reading import open_plain, read_plain
from disk.writing import make_folder, whole_stream, write_whole
from racer.drivers.registry import SIMULATED, make_driver
from racer.errors import ConfigError, RacerError
from racer.loop.episode import seed_after
from racer.tasks.image_files import FEWEST_PICTURES, SUFFIXES, read_picture
from racer.tasks.registry import make_task
from racer.tasks.task import Task
from racer.workers import in_parallel

FIRST_SEED = {"train": 1_000_000, "held_out": 2_000_000}
"""First seed of trials and of people, by split."""
LENGTHS = (2, 2, 3, 5)
"""How long runs are, in lengths of a round."""
WANDER = (0.0, 0.005, 0.01, 0.02)
"""Probabilities per step of starting a burst of one wrong action."""
BURST = (5, 25)
"""Steps of a burst."""
_SHOWN_RUNS, _SHOWN_STEPS = 3, 50
"""Trials, and steps of each, from which frames to look at are taken."""
_MOST_SETTINGS = 2**20
Progress = Callable[[float], None]
"""Callback (fraction done, in [0, 1])."""


@dataclass(frozen=True)
class CollectConfig:
    """How much to collect."""

    runs: int = 320
    """Trials to train on, each from a seed of its own; blocks of trials where each is a single picture."""
    held_out_runs: int = 40
    """The same, that nothing is trained on."""
    driver: str = SIMULATED
    """Who acts."""

    def __post_init__(self) -> None:
        if not 2 <= self.runs <= 100_000 or not 2 <= self.held_out_runs <= 100_000:
            raise ConfigError("runs and held-out runs must lie between 2 and 100000")


@dataclass(frozen=True)
class Run:
    """One trial to collect."""

    task: str
    settings: tuple[tuple[str, Any], ...]
    driver: str
    seed: int
    steps: int
    wander: float
    path: Path


@dataclass(frozen=True)
class Collected:
    """The frames of one split."""

    frames: NDArray[np.uint8]
    """uint8[N, H, W, C], mapped from a file."""
    actions: NDArray[np.uint8]
    """uint8[N], taken on seeing them."""
    starts: NDArray[np.int64]
    """int64[E + 1], where trials begin, and the end."""
    truth: NDArray[np.float64]
    """float64[N, K], what lies behind each frame, as the task's trials tell; K is 0 where they do not."""
    seeds: tuple[int, ...]
    """Seeds of the trials, one each; for a block, the seed of its first trial."""
    settings: tuple[tuple[tuple[str, Any], ...], ...] = ()
    """The task's settings in each trial: names and values."""


def plan_runs(task: str, settings: Mapping[str, Any], config: CollectConfig, split: str, folder: Path) -> list[Run]:
    """Return the runs of a split: the task's training points in turn, with the settings given on top."""
    spec = make_task(task, settings).spec
    points = [{**point, **settings} for point in spec.training_points or spec.operating_points]
    runs = []
    for index in range(config.runs if split == "train" else config.held_out_runs):
        seed = FIRST_SEED[split] + index
        rng = np.random.default_rng([seed, 1])
        runs.append(
            Run(
                task=task,
                settings=tuple(points[index % len(points)].items()),
                driver=config.driver,
                seed=seed,
                steps=int(rng.choice(LENGTHS)) * spec.steps,
                wander=float(rng.choice(WANDER)),
                path=folder / f"{split}_{index:06d}.npz",
            )
        )
    return runs


def collect(
    task: str,
    settings: Mapping[str, Any],
    folder: Path,
    config: CollectConfig,
    jobs: int | None = None,
    progress: Progress = lambda done: None,
) -> dict[str, Collected]:
    """Collect the frames of a task, by split: `train` and `held_out`. The same arguments give the same frames.

    Args:
        task: Its name.
        settings: Of the task, the same in all runs; others follow its training points.
        folder: Keeps the runs; what is there already is not collected again.
        config: How much.
        jobs: Processes; one per processor if None.
        progress: Told how far it is.

    Raises:
        RacerError: If the task cannot be done, or the folder belongs to another collection or cannot be written.
    """
    if (made := make_task(task, settings)).spec.sequential:
        make_driver(config.driver, made, FIRST_SEED["train"])  # before anything is written
    _claim(folder, {"task": task, "settings": dict(settings), **asdict(config)})
    plans = {split: plan_runs(task, settings, config, split, folder) for split in FIRST_SEED}
    everything = [run for runs in plans.values() for run in runs]
    missing = [run for run in everything if not run.path.exists()]
    done = len(everything) - len(missing)
    for _ in in_parallel(collect_run, missing, jobs or os.cpu_count() or 1, "a run"):
        done += 1
        progress(done / len(everything))
    try:
        return {split: _gather(runs, folder / f"{split}_frames.npy") for split, runs in plans.items()}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise RacerError(
            f"{folder} holds damaged frames ({type(error).__name__}); remove it, and they are collected again"
        ) from error


def frames_to_show(task: str, count: int = 10) -> NDArray[np.uint8]:
    """Return held-out frames, uint8[count, H, W, C], far apart, of a task as its own simulated people see it.

    Raises:
        RacerError: If the task is not here, needs settings, or cannot be done.
    """
    made = make_task(task)
    rows_of = _sequence if made.spec.sequential else _block
    frames: list[NDArray[np.uint8]] = []
    for run in plan_runs(task, {}, CollectConfig(held_out_runs=_SHOWN_RUNS), "held_out", Path()):
        point = make_task(task, dict(run.settings))
        frames += [frame for frame, _, _ in islice(rows_of(point, run), _SHOWN_STEPS)]
    return np.stack([frames[place] for place in np.linspace(0, len(frames) - 1, count).astype(int)])


def collect_run(run: Run) -> None:
    """Do one trial, or a block of them, and write its frames, actions and truth."""
    task = make_task(run.task, dict(run.settings))
    rows = list(_sequence(task, run) if task.spec.sequential else _block(task, run))
    frames, actions, truth = zip(*rows, strict=True)
    with whole_stream(run.path) as file:
        np.savez(file, frames=np.stack(frames), actions=np.array(actions, np.uint8), truth=np.stack(truth))


_Row = tuple[NDArray[np.uint8], int, NDArray[np.float64]]
"""A frame, the action taken on seeing it, and the truth behind it."""


def _sequence(task: Task, run: Run) -> Iterator[_Row]:
    rng = np.random.default_rng([run.seed, 2])
    driver = make_driver(run.driver, task, run.seed)
    driver.reset()
    wrong_steps = wrong_action = 0
    with closing(task.start(run.seed)) as trial:
        for _ in range(run.steps):
            frame = trial.frame()
            action = driver.act(frame)
            if wrong_steps == 0 and rng.random() < run.wander:
                wrong_steps, wrong_action = int(rng.integers(*BURST)), int(rng.integers(len(task.spec.actions)))
            if wrong_steps > 0:
                wrong_steps, action = wrong_steps - 1, wrong_action
            yield frame, action, _truth_of(trial)
            if trial.step(action).over:
                return


def _block(task: Task, run: Run) -> Iterator[_Row]:
    rng = np.random.default_rng([run.seed, 2])
    seed, trial = run.seed, task.start(run.seed)
    try:
        for number in range(run.steps):
            action = int(rng.integers(len(task.spec.actions)))
            yield trial.frame(), action, _truth_of(trial)
            if trial.step(action).over:
                trial.close()
                seed = seed_after(seed, run.seed, number + 1)
                trial = task.start(seed)
    finally:
        trial.close()


def read_pictures(folder: Path, size: int, grey: bool) -> Collected:
    """Return the pictures of a folder as frames, each reduced to a square of `size` pixels.

    Raises:
        ConfigError: If there are fewer than 20, or one of them cannot be read.
    """
    try:
        paths = sorted(each for each in folder.iterdir() if each.suffix.lower() in SUFFIXES and _is_plain(each))
    except OSError as error:
        raise ConfigError(f"cannot list {folder}: {error.strerror}; nothing was written: check the name") from error
    if len(paths) < FEWEST_PICTURES:
        raise ConfigError(
            f"{folder} holds {len(paths)} pictures, and training takes {FEWEST_PICTURES} or more; nothing was written"
        )
    frames = np.empty((len(paths), size, size, 1 if grey else 3), np.uint8)
    for index, path in enumerate(paths):
        frames[index] = read_picture(path, size, grey)
    none = np.zeros(len(frames), np.uint8)
    return Collected(frames, none, np.arange(len(frames) + 1), np.zeros((len(frames), 0)), ())


def split_pictures(pictures: Collected, seed: int, held_out: float = 0.1) -> dict[str, Collected]:
    """Return pictures to train on, and others that nothing is trained on."""
    order = np.random.default_rng(seed).permutation(len(pictures.frames))
    count = max(2, round(held_out * len(order)))

    def part(chosen: NDArray[np.intp]) -> Collected:
        chosen = np.sort(chosen)
        return Collected(
            pictures.frames[chosen], pictures.actions[chosen], np.arange(len(chosen) + 1), pictures.truth[chosen], ()
        )

    return {"train": part(order[count:]), "held_out": part(order[:count])}


def _is_plain(path: Path) -> bool:
    """Return whether a path is a file and no link to one."""
    return path.is_file() and not path.is_symlink()


def _truth_of(trial: Any) -> NDArray[np.float64]:
    truth = getattr(trial, "truth", None)
    return np.zeros(0) if truth is None else np.asarray(truth(), np.float64)


def _claim(folder: Path, settings: dict[str, Any]) -> None:
    """Make a folder for a collection, or refuse one that belongs to another."""
    mark = folder / "collection.json"
    told = json.dumps(settings, sort_keys=True, default=str)
    try:
        make_folder(folder)
        if mark.exists():
            if read_plain(mark, _MOST_SETTINGS) != told.encode():
                raise RacerError(
                    f"{folder} holds frames of another collection and was left as it is; name another --work, or "
                    "remove it"
                )
            return
        write_whole(mark, told.encode())
    except OSError as error:
        raise RacerError(f"cannot write to {folder}: {error.strerror}; name another --work") from error


def _gather(runs: list[Run], path: Path) -> Collected:
    """Return the frames of runs, in one file that is mapped and not read."""
    actions, truth, lengths = [], [], []
    for run in runs:
        with _loaded(run) as part:
            actions.append(part["actions"])
            truth.append(part["truth"])
            lengths.append(len(part["actions"]))
    starts = np.cumsum([0, *lengths], dtype=np.int64)
    with _loaded(runs[0]) as part:
        shape = (int(starts[-1]), *part["frames"].shape[1:])
    if not path.exists():
        with whole_stream(path) as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for run in runs:
                with _loaded(run) as part:
                    file.write(np.ascontiguousarray(part["frames"], np.uint8).data)
    with BufferedReader(open_plain(path)) as file:
        np.lib.format.read_magic(file)
        stored, _, dtype = np.lib.format.read_array_header_1_0(file)
        if stored != shape or dtype != np.uint8:
            raise ValueError("frames of another shape")
        mapped = np.memmap(file, np.uint8, "r", file.tell(), shape)
    return Collected(
        mapped,
        np.concatenate(actions),
        starts,
        np.concatenate(truth),
        tuple(run.seed for run in runs),
        tuple(run.settings for run in runs),
    )


@contextmanager
def _loaded(run: Run) -> Iterator[Any]:
    """Give the arrays of a run, by name."""
    with BufferedReader(open_plain(run.path)) as file, np.load(file, allow_pickle=False) as part:
        yield part
