"""Whole laps under one coder, every family: `racer rates --whole` without the null rows but `blind`, which take hours.

    python scripts/studies/whole_laps.py --bits 5 --participants 8 --out build/laps

Everything else is that of `racer rates`: people, tracks, files written, statistics. A run that was stopped goes on.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from racer.engines import LocalEngine
from racer.rates.grid import BLIND, RAW, RatesConfig, sweep_settings
from racer.rates.sweep import prepare_sweep, run_sweep
from racer.rates.write import write_rates
from racer.tasks.registry import make_task

FAMILIES = "pursuit,path-tracking,two-point,edge-following,satisficing,pixel-policy"


def main() -> None:
    """Drive, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coders", default="predictive")
    parser.add_argument("--drivers", default=FAMILIES)
    parser.add_argument("--bits", default="5")
    parser.add_argument("--speeds", default="50")
    parser.add_argument("--steps", type=int, help="of a drive (default: a whole lap's)")
    parser.add_argument("--participants", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--action-delay", type=int, default=0)
    parser.add_argument("--action-loss", type=float, default=0.0)
    parser.add_argument("--mask", type=Path, action="append", default=[])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("build/laps"))
    args = parser.parse_args()
    coders = tuple(args.coders.split(","))
    config = RatesConfig(
        "car-racing",
        sweep_settings("car-racing", [f"speed={args.speeds}"]),
        args.steps or make_task("car-racing").spec.whole_steps,
        tuple(args.drivers.split(",")),
        tuple(int(bits) for bits in args.bits.split(",")),
        participants=args.participants,
        episodes=1,
        seed=args.seed,
        action_delay=args.action_delay,
        action_loss=args.action_loss,
    )
    sweep = prepare_sweep(config, coders, args.mask)
    cells = tuple(cell for cell in sweep.grid.cells if cell.point.coder in (RAW, BLIND, *coders))
    sweep = replace(sweep, grid=replace(sweep.grid, cells=cells))
    driven = run_sweep(sweep, args.out, LocalEngine(args.jobs), lambda done, total: print(done, total, flush=True))
    for curve in write_rates(sweep, driven, args.out).curves:
        for point in curve.points:
            shares = (*point.metrics.values(), point.finished, point.normalised)
            told = "  ".join(
                "-"
                if each is None
                else f"{100 * each.value:.1f}"
                + (f" [{100 * each.interval.low:.0f}, {100 * each.interval.high:.0f}]" if each.interval else "")
                for each in shares
            )
            kept = point.kept
            within = f"  within 5 %: p {kept.p}, flips {kept.p_flip:.3f}" if kept else ""
            print(f"{curve.place:30} {curve.coder:12} {point.bits:4} bits  {told}{within}")


if __name__ == "__main__":
    main()
