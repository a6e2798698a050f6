"""`racer rates`: how far every coder lets simulated people drive, at how many bits per step."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from racer.commands.options import FillChoice, FillOption, Interval, IntervalOption, JsonOption, MaskOption, NoiseChoice
from racer.commands.output import print_json, progress_bar

if TYPE_CHECKING:
    from racer.rates.curves import Curve, LeastBits
    from racer.rates.engines import Engine
    from racer.rates.sweep import Driven, Sweep
    from racer.rates.write import Written


class EngineChoice(StrEnum):
    """Where the cells are driven."""

    local = "local"
    ray = "ray"


def rates(
    coders: Annotated[str, typer.Option(help="Names with commas between; every coder there is if left out.")] = "",
    bits: Annotated[
        str, typer.Option(help="Slots, bits per step, with commas between.")
    ] = "1,2,3,5,8,12,18,27,42,85,170",
    participants: Annotated[int, typer.Option(min=1, max=10_000, help="Simulated people.")] = 12,
    tracks: Annotated[int, typer.Option(min=1, max=1000, help="Tracks for each of them, their own.")] = 5,
    steps: Annotated[int, typer.Option(min=1, max=100_000, help="Steps per drive.")] = 150,
    speed: Annotated[
        list[float] | None, typer.Option(help="Speed that the throttle holds; may be repeated. 50 and 60 if left out.")
    ] = None,
    noise: Annotated[
        list[NoiseChoice] | None, typer.Option(help="What happens to packets; may be repeated. None if left out.")
    ] = None,
    noise_rate: Annotated[
        list[float] | None,
        typer.Option(
            help="Share of bits flipped or packets lost, or the deviation of Gaussian noise; may be repeated. Every "
            "kind is driven at every rate."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="People, tracks and noise follow from it.")] = 0,
    mask: MaskOption = None,
    mask_interval: IntervalOption = Interval.episode,
    fill: FillOption = FillChoice.hold,
    out: Annotated[Path, typer.Option(help="Folder to write to; a sweep begun there is gone on with.")] = Path("rates"),
    jobs: Annotated[int | None, typer.Option(min=1, max=256, help="Processes; one per processor if left out.")] = None,
    engine: Annotated[EngineChoice, typer.Option(help="`ray` drives on a Ray cluster.")] = EngineChoice.local,
    address: Annotated[str | None, typer.Option(help="Of the Ray cluster; one on this machine if left out.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how much there is to drive, and how long it takes.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Drive every coder at every slot, and plot road progress against bits per step."""
    from racer.errors import ConfigError
    from racer.rates.grid import Noise, RatesConfig
    from racer.rates.sweep import prepare_sweep, run_sweep
    from racer.rates.write import refuse_foreign, write_rates

    if bool(noise) != bool(noise_rate):
        raise ConfigError("--noise and --noise-rate belong together: give each at least once, or neither")
    if address is not None and engine is not EngineChoice.ray:
        raise ConfigError("--address is that of a Ray cluster: add --engine ray, or leave it out")
    config = RatesConfig(
        bits=_whole_numbers(bits),
        speeds=tuple(speed) if speed else RatesConfig.speeds,
        noise=tuple(Noise(kind.value, rate) for kind in noise or () for rate in noise_rate or ()),
        participants=participants,
        tracks=tracks,
        steps=steps,
        seed=seed,
        mask_interval=mask_interval.value,
        fill=fill.value,
    )
    if not dry_run:
        refuse_foreign(out)
    sweep = prepare_sweep(config, [name.strip() for name in coders.split(",") if name.strip()], mask or ())
    driving = _engine(engine, jobs, address)
    try:
        if dry_run:
            _print_estimate(sweep, driving.workers, as_json)
            return
        if not as_json:
            _print_skipped(sweep)
        with progress_bar("cells", shown=not as_json) as advance:
            reached = [0]

            def progress(done: int, total: int) -> None:
                advance(done - reached[0], total)
                reached[0] = done

            driven = run_sweep(sweep, out, driving, progress)
    finally:
        driving.close()
    written = write_rates(sweep, driven, out)
    if as_json:
        print_json(_as_json(sweep, driven, written))
    else:
        _print_rates(sweep, driven, written, out)


def _whole_numbers(text: str) -> tuple[int, ...]:
    from racer.errors import ConfigError

    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--bits takes whole numbers with commas between, such as 3,12,85; got {text!r}") from error


def _engine(choice: EngineChoice, jobs: int | None, address: str | None) -> Engine:
    import os

    from racer.rates.engines import LocalEngine, RayEngine

    if choice is EngineChoice.ray:
        return RayEngine(address, jobs)
    return LocalEngine(jobs or min(os.cpu_count() or 1, 256))


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


def _as_json(sweep: Sweep, driven: Driven, written: Written) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "cells": len(driven.scores),
        "driven": driven.driven,
        "damaged_lines": driven.damaged,
        "skipped": [asdict(skipped) for skipped in sweep.grid.skipped],
        "files": [str(path) for path in written.files],
        "curves": [asdict(curve) for curve in written.curves],
    }


def _print_rates(sweep: Sweep, driven: Driven, written: Written, out: Path) -> None:
    from racer.rates.curves import ANCHOR
    from racer.rates.write import PROGRESS_PICTURE

    for speed in dict.fromkeys(curve.speed for curve in written.curves):
        for noise in dict.fromkeys(curve.noise for curve in written.curves):
            shown = [curve for curve in written.curves if (curve.speed, curve.noise) == (speed, noise)]
            print(f"\nspeed {speed:g}, {noise}")
            print(f"{'':16}{'road':>7}  {'off':>5}  {'95 % of raw':>14}  {'99 % of raw':>14}  bits against {ANCHOR}")
            for curve in shown:
                print(_row(curve))
    soft = sorted(sweep.grid.soft)
    if soft:
        print(f"\n* exceeds the slot: {', '.join(soft)}")
    kept = len(driven.scores) - driven.driven
    print(f"\nDrove {driven.driven} cells" + f"; {kept} were there" * bool(kept))
    if driven.damaged and driven.driven:
        print(f"damaged lines in the results file: {driven.damaged}; their cells were driven again")
    print(f"Wrote {', '.join(path.name for path in written.files)} to {out}")
    print(f"Next: look at {out / PROGRESS_PICTURE}")


def _row(curve: Curve) -> str:
    """Return a line of the table: a coder at its most bits, and what it needs."""
    last = curve.points[-1]
    name = curve.coder + "*" * last.soft
    least = [_least(each) for each in curve.least_bits] or ["", ""]
    progress, off_road = 100 * last.progress.value, 100 * last.off_road.value
    line = f"{name:<16}{progress:6.1f}%  {off_road:4.0f}%  {least[0]:>14}  {least[1]:>14}"
    difference = curve.difference
    if difference is None:
        return line.rstrip()
    if difference.percent is None:
        return f"{line}  - ({difference.reason})"
    interval = difference.interval
    ends = " (no interval)" if interval is None else f" [{interval.low:+.0f}, {interval.high:+.0f}]"
    return f"{line}  {difference.percent:+.0f} %{ends}"


def _least(least: LeastBits) -> str:
    """Return how many bits suffice, such as `5 [3, 12]`."""
    if least.bits is None:
        return "-"
    ends = "" if least.low is None else f" [{least.low:.4g}, {'-' if least.high is None else f'{least.high:.4g}'}]"
    return f"{least.bits:.4g}{ends}"
