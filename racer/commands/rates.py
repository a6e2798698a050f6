"""`racer rates`: how well every coder lets simulated people do a task, at how many bits per step."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from racer.commands.options import (
    AddressOption,
    Device,
    DeviceOption,
    EngineChoice,
    EngineOption,
    FillChoice,
    FillOption,
    Interval,
    IntervalOption,
    JobsOption,
    JsonOption,
    MaskOption,
    ModelOption,
    NoiseChoice,
    TaskOption,
    check_seed,
    chosen_engine,
)
from racer.commands.output import print_json, progress_bar
from racer.commands.rates_table import print_rates

if TYPE_CHECKING:
    from racer.rates.sweep import Sweep, SweepResult
    from racer.rates.write import Written
    from racer.tasks.task import Task


def rates(
    task: TaskOption = "car-racing",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help=(
                "A setting of the task and its values, as NAME=VALUE,VALUE; may be repeated; every combination is "
                "driven. Default: the task's operating points."
            ),
        ),
    ] = None,
    model: ModelOption = None,
    drivers: Annotated[
        str,
        typer.Option(
            help=(
                "Who drives, comma-separated: `simulated` (the task's own family), families of `racer driver list`, "
                "or your own as `package.module:factory`. Of several, results name the one that a coder serves "
                "worst among those that it was not fitted to."
            )
        ),
    ] = "simulated",
    coders: Annotated[
        str,
        typer.Option(
            help=(
                "Coders, comma-separated. Default: all. Raw frames, all features and the null rows, which learn "
                "nothing, are always driven."
            )
        ),
    ] = "",
    bits: Annotated[
        str, typer.Option(help="Slots in bits per step, comma-separated.")
    ] = "1,2,3,5,8,12,18,27,42,85,170",
    participants: Annotated[int, typer.Option(min=1, max=10_000, help="Number of simulated people.")] = 12,
    episodes: Annotated[
        int,
        typer.Option(
            "--episodes", "--tracks", min=1, max=1000, help="Episodes per person, each from a seed of its own."
        ),
    ] = 5,
    steps: Annotated[
        int | None,
        typer.Option(min=1, max=100_000, help="Steps per episode. Default: one and a half times the task's."),
    ] = None,
    whole: Annotated[
        bool,
        typer.Option("--whole", help="Drive every trial to its end, such as a whole lap, in place of so many steps."),
    ] = False,
    noise: Annotated[
        list[NoiseChoice] | None, typer.Option(help="Noise on the channel; may be repeated. Default: none.")
    ] = None,
    noise_rate: Annotated[
        list[float] | None,
        typer.Option(
            help="Share of bits flipped or packets lost, or the deviation of Gaussian noise; may be repeated. Every "
            "kind is driven at every rate."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(callback=check_seed, help="Seed of people, episodes and noise.")] = 0,
    mask: MaskOption = None,
    mask_interval: IntervalOption = Interval.episode,
    fill: FillOption = FillChoice.hold,
    action_delay: Annotated[
        int, typer.Option(help="Steps, up to 5, after which senders learn of an action; the task knows at once.")
    ] = 0,
    action_loss: Annotated[
        float, typer.Option(help="Share of the actions that the sender never learns of; at 1 it learns of none.")
    ] = 0.0,
    fixed_masks: Annotated[
        bool,
        typer.Option(
            "--fixed-masks",
            help="Drive every fixed half of the blocks as well (70 of 8 blocks), for the rows `best-fixed` and "
            "`worst-fixed`, each chosen on the other families.",
        ),
    ] = False,
    shadow: Annotated[
        bool,
        typer.Option(
            "--shadow",
            help="Measure in every step whether the same driver would have done the same on the original frame.",
        ),
    ] = False,
    margin: Annotated[
        float,
        typer.Option(
            help="Share of the normalised score, above 0 and below 1, within which a coder is said to keep it; set it "
            "before you look."
        ),
    ] = 0.05,
    seal_file: Annotated[
        Path | None,
        typer.Option("--seal", help="Make a sealed set of the one family in --drivers, from --seed; drive nothing."),
    ] = None,
    sealed_file: Annotated[
        Path | None,
        typer.Option(
            "--sealed",
            help="Drive the people and tracks of a sealed set, for the final table: it opens once, for these coders, "
            "settings and code.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to write to; a sweep begun there is continued.")] = Path("rates"),
    jobs: JobsOption = None,
    engine: EngineOption = EngineChoice.local,
    address: AddressOption = None,
    device: DeviceOption = Device.cpu,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print how much there is to drive and how long it will take, and stop.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Drive every coder at every slot, and plot the task's metrics against bits per step."""
    from dataclasses import replace
    from datetime import UTC, datetime

    from compression.model.latent_model import chosen_device
    from racer.analysis import require_analysis
    from racer.errors import ConfigError
    from racer.rates.grid import Noise, RatesConfig, sweep_settings
    from racer.rates.judged_plot import agreement_lines
    from racer.rates.sealed import open_sealed
    from racer.rates.sweep import prepare_sweep, run_sweep
    from racer.rates.write import refuse_foreign, write_judged, write_rates
    from racer.report.budgets import NoBudgetsError, first_of_each, sweep_figures
    from racer.tasks.registry import make_task

    if bool(noise) != bool(noise_rate):
        raise ConfigError("--noise and --noise-rate belong together: give each at least once, or neither")
    if not 0 < margin < 1:
        raise ConfigError(f"--margin must lie above 0 and below 1; got {margin:g}")
    if seal_file is not None:
        _seal(seal_file, task, _names(drivers), seed, as_json)
        return
    if sealed_file is not None:
        drivers, seed = _of_sealed(sealed_file, task, drivers, seed, dry_run)
    points = sweep_settings(task, settings or ())
    tasks = [make_task(task, point.values) for point in points]
    spec = tasks[0].spec
    config = RatesConfig(
        task=task,
        settings=points,
        drivers=_names(drivers),
        bits=_whole_numbers(bits),
        noise=tuple(Noise(kind.value, rate) for kind in noise or () for rate in noise_rate or ()),
        participants=participants,
        episodes=episodes,
        steps=_steps(tasks, steps, whole),
        seed=seed,
        mask_interval=mask_interval.value,
        fill=fill.value,
        action_delay=action_delay,
        action_loss=action_loss,
        shadow=shadow,
        sealed=sealed_file is not None,
        device=chosen_device(device.value).type,
    )
    if engine is EngineChoice.ray and config.device != "cpu":
        raise ConfigError("--device names a device of this machine, and Ray runs elsewhere: leave one of the two out")
    if not dry_run:
        require_analysis()
        refuse_foreign(out, spec)
    masks = mask or ()
    sweep = prepare_sweep(config, _names(coders), masks if spec.paced else first_of_each(masks), model, fixed_masks)
    with chosen_engine(engine, jobs, address) as driving:
        if dry_run:
            _print_estimate(sweep, driving.workers, as_json)
            return
        opened = open_sealed(sealed_file, sweep, datetime.now(UTC)) if sealed_file is not None else None
        if not as_json:
            _print_skipped(sweep)
            _print_unfair(sweep)
        with progress_bar("cells", shown=not as_json) as advance:
            reached = [0]

            def progress(done: int, total: int) -> None:
                advance(done - reached[0], total)
                reached[0] = done

            driven = run_sweep(sweep, out, driving, progress)
    written = write_rates(sweep, driven, out, margin, opened)
    judged = []
    try:
        judged = sweep_figures(sweep.plan.config, mask or (), model) if opened is None else []
    except (ConfigError, NoBudgetsError) as error:
        print(f"racer: no figure of answers: {error}", file=sys.stderr)
    written = replace(written, files=(*written.files, *write_judged(judged, out)))
    if as_json:
        told = {"sealed": vars(opened)} if opened is not None else {}
        print_json(_as_json(sweep, driven, written) | told)
    else:
        if judged:
            print("\nprobability of one's own answer to the original, people of families that no mask was trained on")
            print("(in brackets the bits that the paper counts, a rate that no packet takes):")
            for line in agreement_lines(judged[0]):
                print(f"  {line}")
        print_rates(sweep, driven, written, out)
        if opened is not None:
            print(f"Sealed set of {opened.sealed_utc}, opened {opened.opened_utc}; drivers {opened.family}")


def _seal(path: Path, task: str, drivers: tuple[str, ...], seed: int, as_json: bool) -> None:
    from datetime import UTC, datetime

    from racer.errors import ConfigError
    from racer.rates.sealed import seal

    if len(drivers) != 1:
        raise ConfigError("--seal takes one family, and one that nothing is fitted on: name it with --drivers")
    made = seal(path, task, drivers[0], seed, datetime.now(UTC))
    if as_json:
        print_json({"file": str(path)} | made.model_dump())
        return
    print(f"Sealed people of {made.family} doing {made.task} in {path}; nothing was driven")
    print(f"Next, once only: racer rates --sealed {path} --coders NAMES --out FOLDER")


def _of_sealed(path: Path, task: str, drivers: str, seed: int, dry_run: bool) -> tuple[str, int]:
    """Return the driver and the seed of a sealed set, having refused whatever does not go with one."""
    from racer.errors import ConfigError
    from racer.rates.sealed import read_sealed

    sealed = read_sealed(path)
    if dry_run:
        raise ConfigError("--dry-run would open the sealed set, which opens only once: estimate without --sealed")
    if sealed.task != task:
        raise ConfigError(f"{path} is of {sealed.task}: add --task {sealed.task}")
    if drivers not in ("simulated", sealed.family) or seed not in (0, sealed.seed):
        raise ConfigError(f"{path} says who drives and where: leave --drivers and --seed out")
    return sealed.family, sealed.seed


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _whole_numbers(text: str) -> tuple[int, ...]:
    from racer.errors import ConfigError

    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--bits takes whole numbers with commas between, such as 3,12,85; got {text!r}") from error


def _steps(tasks: Sequence[Task], steps: int | None, whole: bool) -> int:
    from racer.errors import ConfigError
    from racer.rates.grid import STEPS_FACTOR
    from racer.tasks.task import Reaching

    spec = tasks[0].spec
    if not whole:
        return steps or round(STEPS_FACTOR * spec.steps)
    if steps is not None:
        raise ConfigError("--whole drives trials to their end: leave --steps out")
    if not spec.whole_steps:
        raise ConfigError(f"trials of {spec.name} have no end: leave --whole out")
    if any(isinstance(task, Reaching) and task.reach(spec.whole_steps) < 1 for task in tasks):
        raise ConfigError(
            f"nobody comes to the end of a trial of {spec.name} within {spec.whole_steps} steps under these settings: "
            "leave --whole out and name --steps"
        )
    return spec.whole_steps


def _print_estimate(sweep: Sweep, workers: int, as_json: bool) -> None:
    from dataclasses import asdict

    from racer.rates.estimate import estimate

    found = estimate(sweep, workers)
    if as_json:
        print_json(asdict(found) | {"skipped": [asdict(skipped) for skipped in sweep.grid.skipped]})
        return
    _print_skipped(sweep)
    print(f"{found.cells} cells, {found.episodes} episodes, {found.steps} steps at most")
    print(f"about {_duration(found.seconds)} with {workers} at a time on a machine like this; nothing was written")


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    return (
        f"{seconds:.0f} seconds"
        if minutes < 2
        else f"{minutes:.0f} minutes"
        if minutes < 120
        else f"{minutes / 60:.1f} hours"
    )


def _print_skipped(sweep: Sweep) -> None:
    for skipped in sweep.grid.skipped:
        print(f"left out {skipped.coder} at {', '.join(map(str, skipped.bits))} bits: {skipped.reason}")


def _print_unfair(sweep: Sweep) -> None:
    for coder, drivers in sweep.unfair.items():
        seen = " and ".join(drivers)
        print(f"{coder} was fitted to the driving of {seen}: there its rows, marked +, are no evidence for others")
    for coder, families in sweep.fitted_on:
        if not families:
            print(f"{coder} does not say whose driving it was fitted to: its rows may be of the same people")


def _as_json(sweep: Sweep, driven: SweepResult, written: Written) -> dict[str, Any]:
    from dataclasses import asdict

    from racer.rates.write import curve_numbers, family_numbers

    return {
        "cells": len(driven.scores),
        "driven": driven.driven,
        "damaged_lines": driven.damaged,
        "skipped": [asdict(skipped) for skipped in sweep.grid.skipped],
        "files": [str(path) for path in written.files],
        "fitted_on_drivers": {coder: list(drivers) for coder, drivers in sweep.unfair.items()},
        "curves": [curve_numbers(curve) for curve in written.curves],
        "worst_families": [family_numbers(each) for each in written.worst],
    }
