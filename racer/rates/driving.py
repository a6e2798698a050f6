"""Driving cells of a sweep: what every process that takes part does, here or on another machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, tee

from compression.coders.coder import find_coder
from compression.fitting.fitted import FittedModel
from compression.model.latent_model import LatentModel, use_one_thread
from racer.file_bundle import FileBundle, mixed_versions
from racer.loop.batched import Job, Score, simulate
from racer.loop.conditions import ChannelConfig, load_fitted_models
from racer.rates.grid import Cell, RatesConfig, TaskSettings
from racer.rates.provenance import hashes_of, settings_of
from racer.tasks.latent_model import load_task_model
from racer.tasks.registry import make_task
from racer.tasks.task import Task


@dataclass(frozen=True)
class CellScore:
    """Result of a cell."""

    cell: Cell
    seeds: tuple[int, ...]
    """Seed of each episode."""
    episodes: tuple[Score, ...]


@dataclass(frozen=True)
class Plan:
    """All that a process needs to know to drive any cell."""

    config: RatesConfig
    coders: tuple[str, ...]
    """`raw`, `full` and the coders of the sweep."""
    files: FileBundle
    """Files that it cannot find by itself."""
    settings: tuple[tuple[str, str | int], ...]
    """Settings of the process that began the sweep."""
    hashes: tuple[tuple[str, str], ...] = ()
    """What each coder and driver brings along; see `hashes_of`."""


def drive(plan: Plan, cells: Iterable[Cell]) -> Iterator[CellScore]:
    """Drive cells and yield their scores in order. The same plan and cell give the same score in every process.

    Raises:
        MixedVersionsError: If this process would give other numbers.
        RacerError, CompressionError: If a cell cannot be driven.
    """
    model, fitted = _ends(plan)
    ahead, behind = tee(cells)
    scores = simulate((job for cell in ahead for job in _jobs(plan.config, cell)), model, fitted)
    for cell in behind:
        seeds = plan.config.person(cell.participant).seeds
        yield CellScore(cell, seeds, tuple(islice(scores, len(seeds))))


def drive_all(plan: Plan, cells: Sequence[Cell]) -> list[CellScore]:
    """Drive cells and return their scores in order; raises as `drive`."""
    return list(drive(plan, cells))


def _jobs(config: RatesConfig, cell: Cell) -> Iterator[Job]:
    """Yield what a cell consists of: an episode for each seed."""
    person, point = config.person(cell.participant), cell.point
    task = _task(config.task, point.settings)
    channel = ChannelConfig(
        # Where the slot changes nothing any will do.
        bits=point.bits or max(config.bits),
        mask_interval=config.mask_interval,
        fill=config.fill,
        noise=point.noise.kind,
        noise_rate=point.noise.rate,
        action_delay=config.action_delay,
        action_loss=config.action_loss,
    )
    for seed, dice in zip(person.seeds, person.dice, strict=True):
        yield Job(point.coder, channel, task, seed, point.driver, person.seed, config.steps, dice, config.shadow)


@lru_cache(maxsize=64)
def _task(name: str, settings: TaskSettings) -> Task:
    return make_task(name, settings.values)


@lru_cache(maxsize=2)
def _ends(plan: Plan) -> tuple[LatentModel, dict[str, FittedModel]]:
    """Load what this process needs once."""
    use_one_thread()
    task = _task(plan.config.task, plan.config.settings[0])
    with plan.files.unpacked() as (paths, folder):
        model = load_task_model(task.spec, folder).on(plan.config.device)
        mine = settings_of(plan.config, task.spec, model)
        differing = [setting for setting, value in plan.settings if mine.get(setting) != value]
        if differing:
            raise mixed_versions(", ".join(differing))
        fitted = load_fitted_models(plan.coders, paths, model)
    found = hashes_of(plan.config.drivers, task, [find_coder(name) for name in plan.coders[2:]], fitted)
    differing = [name for name, brought in plan.hashes if found[name] != brought]
    if differing:
        raise mixed_versions(", ".join(differing))
    return model, fitted
