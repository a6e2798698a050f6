"""A sweep: what is missing of its grid is driven, kept cell by cell, and written down when all is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from compression.coders.blocks import fixed_coders
from compression.coders.coder import Coder, coder_names, find_coder
from compression.errors import CoderError, CompressionError
from compression.fitting.fitted import FittedModel
from compression.model.latent_model import LatentModel, chosen_device, use_one_thread
from compression.uplink import uplink_bits
from racer.drivers.registry import SIMULATED, family_of, was_fitted_on
from racer.engines import Engine
from racer.errors import ConfigError
from racer.file_bundle import FileBundle
from racer.loop.conditions import ChannelConfig, build_channel, check_use, load_fitted_models, read_fitted
from racer.loop.episode import POOL, block_seeds
from racer.loop.lockstep import LANES
from racer.rates.driving import CellScore, Plan, drive
from racer.rates.grid import (
    BEST_FIXED,
    FULL,
    MOST_FIXED,
    NULLS,
    RAW,
    WORST_FIXED,
    Cell,
    Grid,
    RatesConfig,
    Skipped,
    make_grid,
)
from racer.rates.provenance import brought_by, hashes_of, settings_of
from racer.rates.results import ResultsError, ResultsFile
from racer.tasks.latent_model import load_task_model
from racer.tasks.registry import make_task
from racer.tasks.task import Task, TaskSpec

Progress = Callable[[int, int], None]
"""Callback (cells done, cells in all)."""


@dataclass(frozen=True)
class Sweep:
    """A sweep that can be driven."""

    plan: Plan
    grid: Grid
    spec: TaskSpec
    """The task's specification."""
    fitted_on: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Families, or drivers of one's own, that a coder was fitted to, by coder; none where its file does not say."""

    @property
    def unfair(self) -> dict[str, tuple[str, ...]]:
        """The drivers of this sweep, by coder, that the coder was fitted on, or on others of their family."""
        drivers = self.plan.config.drivers
        found = {
            coder: tuple(driver for driver in drivers if was_fitted_on(driver, families))
            for coder, families in self.fitted_on
        }
        return {coder: seen for coder, seen in found.items() if seen}

    @property
    def hashes(self) -> dict[str, str]:
        """What each coder and driver brings along; see `racer.rates.provenance.hashes_of`."""
        return dict(self.plan.hashes)

    @property
    def uplink_bits(self) -> int:
        """Bits that every action costs on its way back."""
        return uplink_bits(len(self.spec.actions))


@dataclass(frozen=True)
class SweepResult:
    """A sweep that is finished."""

    scores: tuple[CellScore, ...]
    """Scores of every cell of the grid, in order."""
    driven: int
    """Cells driven by this run; the others were there."""
    damaged: int
    """Lines of the results file that counted for nothing."""
    others: int
    """Cells in the results file that are no part of this grid."""


def prepare_sweep(
    config: RatesConfig,
    coders: Sequence[str] = (),
    masks: Sequence[Path] = (),
    folder: Path | None = None,
    fixed_masks: bool = False,
) -> Sweep:
    """Return a sweep of these coders; of all that there are if none is named. The null rows are driven in any case.

    A coder that cannot be had for the latent model is left out: it lacks its fitted file, or needs what the model has
    not.

    Args:
        config: What is driven. Driver `simulated` becomes the family that the task names.
        coders: Names. A coder that is not named and was fitted for another use of the channel is left out as well.
        masks: Fitted files; those that come with the model serve where none is given.
        folder: Of the latent model; None for the one that comes with the task.
        fixed_masks: Whether to drive every coder that always sends the same half of the blocks as well.

    Raises:
        CoderError: If there is no such coder.
        DriverError: If a driver cannot be made.
        ConfigError: If a coder is named twice, a named one was fitted for another use, or a file serves none.
        MaskError, WeightsError: If a file cannot be used.
        DeviceError: If the device is not here.
    """
    use_one_thread()
    chosen_device(config.device)
    task = make_task(config.task, config.settings[0].values)
    config = replace(config, drivers=tuple(_resolved(name, task) for name in config.drivers))
    model = load_task_model(task.spec, folder)
    # What is driven in any case may be named all the same.
    named = [name for name in coders or coder_names() if name not in (RAW, FULL)]
    if len(set(named)) != len(named):
        raise ConfigError("name each coder once")
    halves = [name for bits in config.bits for name in fixed_coders(model.sizes, bits)] if fixed_masks else []
    if fixed_masks and (len(config.drivers) < 2 or not halves):
        raise ConfigError(
            "the best fixed mask is chosen on other drivers than it is scored on, in slots that hold half of the "
            "blocks (such as 85 bits): name two families or more with --drivers, and such a slot with --bits"
        )
    if len(set(halves)) > MOST_FIXED:
        raise ConfigError(
            f"the latent model's {model.sizes.blocks} blocks have {len(set(halves))} halves, and --fixed-masks drives "
            f"{MOST_FIXED} at most: leave it out"
        )
    found = [find_coder(name) for name in dict.fromkeys([*NULLS, *named, *halves])]
    given = {fitted.record.objective: fitted for fitted in (read_fitted(path, model) for path in masks)}
    channel = ChannelConfig(max(config.bits), config.mask_interval, config.fill)
    lacking = {coder.name: _lack(coder, given, channel, model, named=coder.name in coders) for coder in found}
    found = [coder for coder in found if not lacking[coder.name]]
    grid = make_grid(config, found, model.sizes)
    fitted = load_fitted_models(grid.coders, masks, model)
    check_use(fitted, channel)
    _check_unseen(config, task.spec, fitted)
    left_out = tuple(Skipped(name, config.bits, reason) for name, reason in lacking.items() if reason)
    plan = Plan(
        config,
        grid.coders,
        FileBundle.read(masks, folder),
        tuple(settings_of(config, task.spec, model).items()),
        tuple(hashes_of(config.drivers, task, found, fitted).items()),
    )
    families = {name: _fitted_on(each, given, task.spec) for name, each in fitted.items()}
    if model.tuning:  # whoever the decoder was tuned to has a part in all that it draws
        tuned_to = {
            name: families.get(name, model.tuning.drivers)
            for name in (*grid.coders, BEST_FIXED, WORST_FIXED)
            if name != RAW
        }
        families |= {
            name: tuple(sorted({*own, *model.tuning.drivers})) if own else () for name, own in tuned_to.items()
        }
    return Sweep(plan, replace(grid, skipped=grid.skipped + left_out), task.spec, tuple(families.items()))


def run_sweep(sweep: Sweep, out: Path, engine: Engine, progress: Progress = lambda done, total: None) -> SweepResult:
    """Drive what is missing, and return the scores of the whole grid.

    Args:
        sweep: What is driven.
        out: Folder of the results file.
        engine: Drives.
        progress: Told how far it is.

    Raises:
        ResultsError: If the results file cannot be used.
        RacerError, CompressionError: If a cell cannot be driven; what was finished is kept.
    """
    cells = sweep.grid.cells
    with ResultsFile(out, dict(sweep.plan.settings), sweep.spec.metrics) as results:
        missing = _missing(sweep, results)
        done = len(cells) - len(missing)
        progress(done, len(cells))
        together = max(LANES // sweep.plan.config.episodes, 1)
        for score in engine.spread(partial(drive, sweep.plan), missing, together, "people"):
            results.append(score, brought_by(score.cell.point, sweep.hashes))
            done += 1
            progress(done, len(cells))
        # The grid's own cells know which of their settings were named, and those of the file do not.
        scores = tuple(
            replace(results.scores[cell][0], cell=cell) for cell in sorted(cells, key=lambda cell: cell.order)
        )
        return SweepResult(scores, len(missing), results.damaged, len(results.scores) - len(cells))


def _missing(sweep: Sweep, results: ResultsFile) -> list[Cell]:
    """Return the cells that are not there yet.

    Raises:
        ResultsError: If one that is there was driven with another fitted file or code, or from other seeds.
    """
    config = sweep.plan.config
    seeds: dict[int, tuple[int, ...]] = {}
    missing = []
    for cell in sweep.grid.cells:
        if cell not in results.scores:
            missing.append(cell)
            continue
        score, brought = results.scores[cell]
        person = cell.participant
        if brought != brought_by(cell.point, sweep.hashes):
            raise ResultsError(
                f"{results.path} holds results of {cell.point.coder} and {cell.point.driver} with another fitted file "
                "or another version of them; nothing was changed: give another --out"
            )
        if person not in seeds:
            seeds[person] = config.person(person).seeds
        if score.seeds != seeds[person]:
            raise ResultsError(
                f"{results.path} holds results from other seeds than follow from --seed, so no sweep wrote them; "
                "nothing was changed: give another --out"
            )
    return missing


def _resolved(driver: str, task: Task) -> str:
    """Return a driver's name with `simulated` replaced by what it stands for, so that it makes the same cells."""
    kind, colon, rest = driver.partition(":")
    return f"{family_of(SIMULATED, task).name}{colon}{rest}" if kind == SIMULATED else driver


def _fitted_on(fitted: FittedModel, given: Mapping[str, FittedModel], spec: TaskSpec) -> tuple[str, ...]:
    """Return the families whose driving something was fitted to; none where nobody knows."""
    if fitted.record.drivers or fitted in given.values() or not spec.driver:
        return fitted.record.drivers
    # What comes with a model and does not say is of a time when there was one family.
    return (spec.driver,)


def _lack(
    coder: Coder, given: Mapping[str, FittedModel], channel: ChannelConfig, model: LatentModel, named: bool
) -> str:
    """Return why a coder cannot be driven with a latent model; nothing if it can."""
    fitted = None
    if coder.needs is not None:
        try:
            fitted = given.get(coder.needs) or coder.read_shipped(model)
        except CoderError as error:  # a package that it needs is not installed
            return str(error)
        if fitted is None:
            return (
                f"it needs a file fitted to {coder.needs}, and none comes with this latent model: give one with --mask"
            )
        try:
            check_use({coder.name: fitted}, channel)
        except ConfigError:
            if named:
                raise
            return "its mask was trained for another mask interval or fill: give one with --mask"
    wide = replace(channel, bits=max(channel.bits, coder.least_bits(model.sizes)))
    try:
        build_channel(coder.name, wide, model, np.random.default_rng(0), fitted)
    except CompressionError as error:
        return str(error)
    return ""


def _check_unseen(config: RatesConfig, spec: TaskSpec, fitted: Mapping[str, FittedModel]) -> None:
    """Raise ConfigError if a coder was fitted to a trial that it would be driven on."""
    people = (config.person(number) for number in range(config.participants))
    begun = {seed for person in people for seed in person.seeds}
    for name, model in fitted.items():
        met = begun
        if not spec.paced:  # an episode is a block of trials, all of one pool
            pools = {seed // POOL for seed in model.record.seeds}
            near = [first for first in begun if first // POOL in pools]
            met = {seed for first in near for seed in block_seeds(first, config.steps)}
        if seen := met.intersection(model.record.seeds):
            raise ConfigError(
                f"{name} was fitted to a trial from seed {min(seen)}, which this sweep has too: give another --seed"
            )
